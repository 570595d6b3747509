"""How far averages are from their variables: what tells in time that one of both has diverged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from tf_mavg._averages.components.remainders import component_value
from tf_mavg._compat.distribute import has_a_component_a_replica, name_of
from tf_mavg._compat.references import read_in_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tf_mavg._averages.entry import Entry


def squared_distances(entries: Sequence[Entry], *, swapped: bool) -> tf.Tensor:
    """The sum of squares of average minus variable, of each entry.

    Swapped or not, it is the same, unless a variable holds a rounded copy of its average. Where
    replicas have a component each, it is the first one's that has an average in this process. It
    takes memory for the largest component three times over.

    Args:
      entries: The averages.
      swapped: Whether they have changed places with their variables; split ones must know.

    Returns:
      A float64 tensor of shape [len(entries)].

    Raises:
      RuntimeError: If another worker has an average.
    """
    return tf.stack([_squared_distance(entry, swapped=swapped) for entry in entries])


def _squared_distance(entry: Entry, *, swapped: bool) -> tf.Tensor:
    if not entry.pairs:
        message = (
            "Distances are computed by the worker that has the averages. Received: "
            f"{name_of(entry.variable)!r}, whose average another worker has; make the averages "
            'with placement="replicated".'
        )
        raise RuntimeError(message)
    pairs = entry.pairs[:1] if has_a_component_a_replica(entry.variable) else entry.pairs
    sums = []
    for position, pair in enumerate(pairs):
        variable = pair[0 if swapped else 1]
        with tf.device(variable.device):
            # Half precision in float32, as updates compute it; sums in float64.
            dtype = tf.float64 if variable.dtype.base_dtype == tf.float64 else tf.float32
            average = component_value(entry, position, dtype, swapped=swapped)
            difference = average - read_in_order(variable, dtype)
            sums.append(2.0 * tf.nn.l2_loss(tf.cast(difference, tf.float64)))
    return tf.add_n(sums)
