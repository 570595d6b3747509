"""Averages of object checkpoints, whatever kind of average wrote them: split ones and others.

A file may hold an average as float32 or another dtype, or as halves: slots of their own, which come
one after the other. A restore of what an average can take as it is, is TensorFlow's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tf_mavg._averages.remainders import set_halves, set_value
from tf_mavg._compat.tensorflow import (
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
        # By id of an entry: its upper half and its remainder, where one has come.
        self._read: dict[int, tuple[Any, Any]] = {}

    def restore(self, position: Any, entry: Entry, *, is_remainder: bool) -> None:
        """Restores what a checkpoint has at a position: an average, or its remainder.

        Args:
          position: The position.
          entry: The average that it is for.
          is_remainder: Whether it is the remainder of a split one.
        """
        dtype = dtype_in_checkpoint(position)
        whole = entry.remainder if is_remainder and entry.is_split else entry.average
        takes_it = dtype == base_dtype(whole) and not entry.is_split
        if not tf.compat.v1.executing_eagerly_outside_functions():
            if dtype == base_dtype(whole):
                position.restore(whole)
            return
        if takes_it or dtype is None:
            position.restore(whole)
            return
        # Where the file has no remainder, there is none.
        bind_restored(position, [whole, *(one for one in entry.wholes if one is not whole)])
        if is_remainder and not entry.is_split and base_dtype(whole) != tf.float32:
            return  # An average in half precision has no room for it.
        value = value_in_checkpoint(position)
        if not is_remainder and dtype != tf.bfloat16:
            set_value(entry, value)
            return
        if self._restore != position.restore_uid:
            self._restore, self._read = position.restore_uid, {}
        high, remainder = self._read.pop(id(entry), (None, None))
        high, remainder = (high, value) if is_remainder else (value, remainder)
        if high is None or remainder is None:
            self._read[id(entry)] = high, remainder
        if high is not None:
            set_halves(entry, high, remainder)
