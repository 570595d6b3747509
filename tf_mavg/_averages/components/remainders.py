"""Split averages: a float32 average kept as its variable's bfloat16 and a remainder beside it.

The bfloat16 is the average that everybody sees: it changes places with its variable. The remainder,
of 16 bits, stays where it is and completes the bits of the average, wherever that is. See
`tf_mavg.ops.split`.

Who sets an average sets both. Where the variable that holds the average is set behind the holder's
back, the remainder stays, and changes the value by less than bfloat16 rounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tf_mavg._averages.components.owned import array_of
from tf_mavg._compat.references import read_in_order
from tf_mavg._ops.split import join, split
from tf_mavg._ops.variables import base_dtype, tensorflow_variable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from tf_mavg._averages.entry import Entry


def set_value(entry: Entry, value: Any) -> list[Any]:
    """Gives an average a value, all bits of it that it can hold; what assignments return."""
    if not entry.is_split:
        return [entry.average.assign(tf.cast(value, entry.average.dtype))]
    high, remainder = split(value)
    return [entry.average.assign(high), entry.remainder.assign(remainder)]


def set_halves(entry: Entry, high: tf.Tensor, remainder: tf.Tensor | None) -> list[Any]:
    """Gives an average the value that halves of a split one have, or the upper half alone."""
    if entry.is_split:
        remainder = tf.zeros(tf.shape(high), tf.int16) if remainder is None else remainder
        return [entry.average.assign(high), entry.remainder.assign(remainder)]
    # A bfloat16 has no room for more than the upper half.
    if remainder is None or base_dtype(entry.average) == tf.bfloat16:
        return set_value(entry, high)
    return set_value(entry, join(high, remainder))


def clear(remainders: Iterable[Any]) -> list[Any]:
    """Gives averages the value of their upper halves; what the assignments return."""
    return [one.assign(tf.zeros_like(one.read_value())) for one in remainders if one is not None]


def component_value(entry: Entry, position: int, dtype: tf.DType, *, swapped: bool) -> tf.Tensor:
    """A component of an average, with all of its bits.

    Args:
      entry: The average.
      position: That of its pair.
      dtype: What to cast it to.
      swapped: Whether it has changed places with its variable.
    """
    holds = entry.pairs[position][1 if swapped else 0]
    if not entry.is_split:
        return read_in_order(holds, dtype)
    remainder = entry.remainders[position]
    high = read_in_order(holds, base_dtype(holds))
    return tf.cast(join(high, read_in_order(remainder, tf.int16)), dtype)


def value_of(entry: Entry, *, swapped: bool) -> tf.Tensor:
    """The value of an average, with all of its bits; arguments as of `component_value`."""
    holds = tensorflow_variable(entry.variable if swapped else entry.average)
    if not entry.is_split:
        return tf.convert_to_tensor(holds)
    return join(tf.convert_to_tensor(holds), tf.convert_to_tensor(entry.remainder))


def array_with_remainder(entry: Entry) -> NDArray[Any]:
    """The value of an average as an array; all workers call it if several share it."""
    if not entry.is_split:
        return array_of(entry.average)
    return join(array_of(entry.average), array_of(entry.remainder)).numpy()  # type: ignore[no-any-return]
