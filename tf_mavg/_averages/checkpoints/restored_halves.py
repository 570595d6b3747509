"""Averages of object checkpoints, whatever kind of average wrote them: split ones and others.

A file may hold an average as float32 or another dtype, or as halves: slots of their own, which come
one after the other. A restore of what an average can take as it is, is TensorFlow's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tf_mavg._averages.components.remainders import set_halves, set_value
from tf_mavg._compat.tensorflow import (
    add_restored,
    bind_restored,
    dtype_in_checkpoint,
    value_in_checkpoint,
)
from tf_mavg._ops.variables import base_dtype

if TYPE_CHECKING:
    from tf_mavg._averages.entry import Entry


class RestoredHalves:
    """What the restore at hand has read of the halves of averages."""

    def __init__(self) -> None:
        """Nothing."""
        self._restore = -1
        # By id of an entry, where one half has come: its upper half, its remainder, and what the
        # assignments returned that gave it the first one.
        self._read: dict[int, tuple[Any, Any, list[Any]]] = {}

    def restore(self, position: Any, entry: Entry, *, is_remainder: bool) -> None:
        """Restores what a checkpoint has at a position: an average, or its remainder.

        Args:
          position: The position.
          entry: The average that it is for.
          is_remainder: Whether it is the remainder of a split one.
        """
        dtype = dtype_in_checkpoint(position)
        whole = entry.remainder if is_remainder and entry.is_split else entry.average
        if dtype is None or (dtype == base_dtype(whole) and not entry.is_split):
            position.restore(whole)
            return
        # Where the file has no remainder, there is none.
        bind_restored(position, [whole, *(one for one in entry.wholes if one is not whole)])
        value = value_in_checkpoint(position)
        if is_remainder or dtype == tf.bfloat16:
            self._restore_half(position, entry, value, is_remainder=is_remainder)
        else:
            add_restored(position, set_value(entry, value))

    def _restore_half(
        self, position: Any, entry: Entry, value: tf.Tensor, *, is_remainder: bool
    ) -> None:
        """Gives an average the value that its halves have so far, in any order."""
        if self._restore != position.restore_uid:
            self._restore, self._read = position.restore_uid, {}
        high, remainder, before = self._read.pop(id(entry), (None, None, []))
        high, remainder = (high, value) if is_remainder else (value, remainder)
        done: list[Any] = []
        if high is not None:
            with tf.control_dependencies(before):  # A Session runs all that a restore adds.
                done = set_halves(entry, high, remainder)
            add_restored(position, done)
        if high is None or remainder is None:
            self._read[id(entry)] = high, remainder, done
