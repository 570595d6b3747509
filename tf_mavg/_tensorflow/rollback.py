"""A restore that fails changes nothing: variables, averages and marks are as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tf_mavg._averages.swap.held import HeldValues
from tf_mavg._averages.swap.signals import uninterrupted
from tf_mavg._averages.swap.state import SwapState
from tf_mavg._compat.distribute import components_of
from tf_mavg._compat.tensorflow import checkpoint_objects, forget_deferred, next_restore
from tf_mavg._native import SureContext
from tf_mavg._ops.variables import distinct, is_variable, tensorflow_variable

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Sequence

    from tf_mavg._averages.averages import Averages


def unchanged_by_failure(
    root: Any, holders: Sequence[Averages]
) -> tuple[int, contextlib.AbstractContextManager[None]]:
    """What a restore of a checkpoint needs, so that all of it happens or nothing.

    It holds the variables' buffers, which an assignment replaces and does not overwrite. What is no
    variable, such as a lookup table or a data set's iterator, is not put back.

    Args:
      root: The `tf.train.Checkpoint` that is restored.
      holders: Averages, some of which the restore may make.

    Returns:
      A number below that of the restore; and the context to restore in, which puts all back that
      there was before this call, should it be left by an exception.
    """
    _ = root.save_counter  # It would be made by the restore.
    objects = checkpoint_objects(root)
    # An average that is found by its variable's name is not among the objects.
    written = [
        *objects,
        *(part for one in holders for entry in one.entries() for part in entry.wholes),
    ]
    # Component by component: a read of the whole may wait for other workers.
    held = HeldValues()
    held.hold(
        component
        for one in distinct(map(tensorflow_variable, written))  # Keras 3 has some of its own.
        if is_variable(one)
        for component in components_of(one)
        if component.is_initialized()
    )
    counts = [holder.count for holder in holders]
    # Of all holders: a file may have the mark of another one.
    states = [
        (one, one.swapped_index, one.is_restored) for one in objects if isinstance(one, SwapState)
    ]
    since = next_restore()

    def leave(error: BaseException | None) -> None:
        if error is None:
            return
        with uninterrupted():
            forget_deferred(objects, since)
            for holder, count in zip(holders, counts, strict=True):
                holder.forget(count)
            held.put_back()
            for holder in holders:
                holder.steps.agree()
            for state, swapped, restored in states:
                state.put_back(swapped, restored=restored)

    return since, SureContext(lambda: None, leave)
