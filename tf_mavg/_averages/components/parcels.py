"""Values that one replica has and all workers get, to the last bit.

A parcel travels as a sum over all replicas, which TensorFlow has for every kind of device: the
owner adds the bits of its value as integers, the others add zeros. The same sum of floating-point
numbers would lose the sign of -0.0 and could change denormal numbers and NaNs.

A parcel says whose value it is. Workers that disagree about it, or about who has it, all fail.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import tensorflow as tf

from tf_mavg._compat.distribute import name_of, replica_at_hand
from tf_mavg._compat.tensorflow import unconverted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# How long a worker waits for the others, a batch: they may be at work on their own, and a network
# may be slow.
_SECONDS: Final = 60
# What travels at once, and lies in memory thrice meanwhile. One value may be larger.
_BATCH_BYTES: Final = 2**26
_WORD: Final = tf.int64


@dataclass(frozen=True)
class Parcel:
    """A value of a variable that travels.

    Attributes:
      variable: Whose it is, on every worker.
      dtype: Its dtype.
      index: The replica of this process that has it; None if it is another worker's.
      source: The plain variable that has it here, if one does.
    """

    variable: Any
    dtype: tf.DType
    index: int | None
    source: tf.Variable | None

    @property
    def bytes(self) -> int:
        """How large the value is."""
        return int(self.variable.shape.num_elements() * self.dtype.size)


def deliver(strategy: Any, parcels: Sequence[Parcel]) -> Iterator[tuple[Parcel, list[tf.Tensor]]]:
    """Sends parcels to all replicas; all workers call it with parcels of the same variables.

    Args:
      strategy: A strategy with several workers; it must not be in replica context.
      parcels: What to send, in the same order everywhere.

    Yields:
      Each parcel, with its value for each replica of this process.

    Raises:
      RuntimeError: If another worker sends other parcels, nobody or several have a value, or
        another worker sends nothing within a minute.
    """
    for batch in _batches(parcels):
        for parcel, sums in zip(batch, _sums(strategy, batch), strict=True):
            _check_header(parcel, sums[0][:2], strategy.num_replicas_in_sync)
            yield parcel, [_from_words(one[2:], parcel) for one in sums]


def _batches(parcels: Sequence[Parcel]) -> Iterator[list[Parcel]]:
    batch: list[Parcel] = []
    for parcel in parcels:
        if batch and sum(one.bytes for one in [*batch, parcel]) > _BATCH_BYTES:
            yield batch
            batch = []
        batch.append(parcel)
    if batch:
        yield batch


def _sums(strategy: Any, batch: Sequence[Parcel]) -> list[tuple[tf.Tensor, ...]]:
    """Of each parcel, the sum of what all replicas add, for each replica of this process."""
    options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=_SECONDS)

    @unconverted
    def add_up() -> list[tf.Tensor]:
        replica = replica_at_hand()
        words = [_to_words(parcel, has_it=parcel.index == replica) for parcel in batch]
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, words, options)  # type: ignore[no-any-return]

    try:
        sums = strategy.run(add_up)
    except tf.errors.OpError as error:
        message = (
            "All workers must swap, save and restore averages at the same point of the program, "
            "because each has a share of them. Received: another worker that does something else, "
            "has averages of other variables, or has stopped; restart them, since their "
            "communication has failed."
        )
        raise RuntimeError(message) from error
    return [strategy.experimental_local_results(one) for one in sums]


def _to_words(parcel: Parcel, *, has_it: bool) -> tf.Tensor:
    """What a replica adds: whether it has the value, whose value it is, then the value's bits."""
    count = -(-parcel.bytes // _WORD.size)
    header = tf.constant([has_it, _label(parcel)], _WORD)
    if not has_it or parcel.source is None:
        return tf.concat([header, tf.zeros([count], _WORD)], 0)
    octets = tf.bitcast(tf.reshape(parcel.source.read_value(), [-1, 1]), tf.uint8)
    padded = tf.pad(tf.reshape(octets, [-1]), [[0, count * _WORD.size - parcel.bytes]])
    return tf.concat([header, tf.bitcast(tf.reshape(padded, [-1, _WORD.size]), _WORD)], 0)


def _from_words(words: tf.Tensor, parcel: Parcel) -> tf.Tensor:
    octets = tf.reshape(tf.bitcast(words, tf.uint8), [-1])[: parcel.bytes]
    shaped = tf.reshape(octets, [*parcel.variable.shape, parcel.dtype.size])
    return tf.bitcast(shaped, parcel.dtype)


def _label(parcel: Parcel) -> int:
    """A number that tells variables apart, on all workers the same.

    Of the name without the numbers that Keras adds: they differ where one worker has made more
    layers than the others.
    """
    name = re.sub(r"_\d+(?=[/:]|$)", "", name_of(parcel.variable))
    what = (name, parcel.variable.shape.as_list(), parcel.dtype.name)
    return zlib.crc32(repr(what).encode())


def _check_header(parcel: Parcel, header: tf.Tensor, replicas: int) -> None:
    """Raises RuntimeError unless all replicas have sent this parcel, and one of them its value."""
    owners, labels = header.numpy().tolist()
    name = name_of(parcel.variable)
    if labels != replicas * _label(parcel):
        received = f"{name!r} here, and another variable in another worker"
    elif owners != 1:
        received = f"{owners} replicas that have the average of {name!r}"
    else:
        return
    message = (
        "All workers must make averages of the same variables, by the same calls in the same "
        f"order. Received: {received}; call create_averages() with all variables at one point of "
        "the program, before a restore."
    )
    raise RuntimeError(message)
