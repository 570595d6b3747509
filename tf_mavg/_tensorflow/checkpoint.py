"""Object checkpoints that hold averages in the place of the variables, and resume from that.

Such a file carries a mark, which is part of the holder's own state: a restore that is not the
manager's thereby gives the state "swapped", which refuses training until somebody swaps back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tf_mavg._averages.swap.apart import check_apart
from tf_mavg._averages.swap.signals import together
from tf_mavg._compat.distribute import is_sharded, name_of
from tf_mavg._compat.tensorflow import (
    checkpoint_objects,
    is_copied_for_saving,
    note_checkpoint_step,
    was_restored,
)
from tf_mavg._ops.variables import tensorflow_variable
from tf_mavg._tensorflow.holding import HasAverages, holders_of
from tf_mavg._tensorflow.rollback import unchanged_by_failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tf_mavg._averages.averages import Averages
    from tf_mavg._averages.entry import Entry


class SwappingCheckpointManager(tf.train.CheckpointManager):  # type: ignore[misc]
    """A `tf.train.CheckpointManager` whose checkpoints hold each average where its variable was.

    To evaluate, restore the model alone: it then holds the averages.

        tf.train.Checkpoint(model=model).restore(path).expect_partial()

    To resume training exactly, restore with the manager, which puts each value in its own place.

        checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer, averages=ema)
        manager = tf_mavg.SwappingCheckpointManager(checkpoint, ema, "training", max_to_keep=3)
        manager.restore()
        ...
        manager.save()

    Checkpoints are as complete as those of `tf.train.CheckpointManager`: one that was being
    written when the program was killed is not the latest.
    """

    def __init__(
        self,
        checkpoint: tf.train.Checkpoint,
        averages: HasAverages | Sequence[HasAverages],
        directory: str,
        max_to_keep: int | None = 5,
        *args: Any,
        start_missing_averages: bool = False,
        **kwargs: Any,
    ) -> None:
        """Manages the checkpoints of a directory.

        Args:
          checkpoint: What to save. It must track the variables and their averages.
          averages: The `ExponentialMovingAverage`, the `MovingAverageOptimizer`, or the
            `MovingAverage` of a Keras; or a list of several, such as a GAN's two. All of them are
            in the place of their variables in a checkpoint, and all are restored, or none.
          directory: Path of the folder to write in.
          max_to_keep: How many checkpoints to keep; None for all.
          *args: Further arguments of `tf.train.CheckpointManager`, in its order.
          start_missing_averages: Whether `restore` accepts a checkpoint without the averages of
            some or all variables, as any `tf.train.Checkpoint` writes, and starts each missing
            average from its variable.
          **kwargs: Further arguments of `tf.train.CheckpointManager`, by name.

        Raises:
          RuntimeError: In a graph of TensorFlow 1.
          TypeError: If `averages` is none of these.
          ValueError: If `checkpoint` does not track the averages, or a variable that has one, or
            two of several average one variable.
        """
        if not tf.executing_eagerly():
            message = (
                "SwappingCheckpointManager works in eager mode. In a graph of TensorFlow 1, use "
                "MovingAverageOptimizer.swapping_saver()."
            )
            raise RuntimeError(message)
        holders = holders_of("averages", averages)
        super().__init__(checkpoint, directory, max_to_keep, *args, **kwargs)
        self._holders = holders
        self._start_missing_averages = start_missing_averages
        self._check_tracks()

    def save(self, *args: Any, **kwargs: Any) -> str | None:
        """Saves as `tf.train.CheckpointManager.save`.

        Raises:
          RuntimeError: If averages and variables are swapped, also by a restore that was not this
            class's, or there are no averages yet.
          ValueError: If the checkpoint does not track the averages, or a variable that has one, or
            two of several average one variable.
        """
        if any(holder.state.is_restored for holder in self._holders):
            message = (
                "Averages and variables are in each other's places, because a checkpoint of this "
                "manager was restored without it; restore it with the manager."
            )
            raise RuntimeError(message)
        self._check_tracks()
        entries = [entry for holder in self._holders for entry in holder.entries()]
        both = [variable for e in entries for variable in (e.variable, *e.wholes)]
        with together([holder.swaps.swapped_for_saving() for holder in self._holders]):
            path = super().save(*args, **kwargs)
            if not is_copied_for_saving(self.checkpoint, both):
                self.sync()  # It reads them now, where the averages are in place.
            return path  # type: ignore[no-any-return]

    def restore(self, path: str | None = None) -> str | None:
        """Restores a checkpoint that a swapping manager wrote, each value to its own place.

        Variables must exist: build the model before it. Averages that the checkpoint holds are
        made. If it fails, nothing has changed.

        Args:
          path: The checkpoint; by default the latest of the directory.

        Returns:
          The path; None if there is no checkpoint.

        Raises:
          AssertionError: If the checkpoint lacks the value of a variable or an average.
          ValueError: If it was not written by a swapping manager, a shape differs, or it lacks the
            count of steps on which a decay depends.
          RuntimeError: If averages and variables are swapped.
        """
        path = path or self.latest_checkpoint
        if path is None:
            return None
        for holder in self._holders:
            if not holder.state.is_restored:  # Then this restore ends that state.
                holder.state.check_can_save()
        self._check_tracks()
        since, unchanged = unchanged_by_failure(self.checkpoint, self._holders)
        with unchanged:
            status = self.checkpoint.restore(path)
            for holder in self._holders:
                self._check_marked(holder, path, since)
            missing = [self._missing(holder, path, since) for holder in self._holders]
            check_apart(self._holders)  # It may have made averages.
            if not self._start_missing_averages:
                status.assert_existing_objects_matched()
            for holder, entries in zip(self._holders, missing, strict=True):
                # A variable without an average in the file has its own value there already.
                index = holder.state.swapped_index
                holder.start([entry for entry in entries if entry.index == index])
                if index is not None:
                    if holder.entries(index):
                        holder.swaps.swap()
                    else:  # The file has averages of other variables alone.
                        holder.state.put_back(None)
                holder.start([entry for entry in entries if entry.index != index])
        note_checkpoint_step(self)
        return path

    def restore_or_initialize(self) -> str | None:
        """As `tf.train.CheckpointManager.restore_or_initialize`, with `restore`."""
        path = self.restore()
        if path is None and self._init_fn is not None:
            self._init_fn()
        return path

    def _check_tracks(self) -> None:
        """Raises ValueError unless the checkpoint reaches the averages and their variables."""
        check_apart(self._holders)
        tracked: set[int] = set()
        for one in checkpoint_objects(self.checkpoint):
            tracked.add(id(tensorflow_variable(one)))
            if is_sharded(one):  # tf_keras hands its optimizers each shard as a variable.
                tracked.update(map(id, one.variables))
        way_out = "pass both to tf.train.Checkpoint, as in Checkpoint(model=model, averages=ema)."
        if any(id(holder.state) not in tracked for holder in self._holders):
            message = f"The checkpoint must track the averages. Received: one without; {way_out}"
            raise ValueError(message)
        for entry in (entry for holder in self._holders for entry in holder.entries()):
            if id(entry.variable) not in tracked:
                message = (
                    "The checkpoint must track every variable that has an average. Received: one "
                    f"without {name_of(entry.variable)!r}; {way_out}"
                )
                raise ValueError(message)

    def _check_marked(self, holder: Averages, path: str, since: int) -> None:
        """Raises ValueError unless a restore has found the averages in the place of variables."""
        state = holder.state
        if was_restored(state.averages_in_place, since) and state.is_swapped:
            holder.swaps.check_has(state.swapped_index or 0)
            return
        if not self._start_missing_averages:
            message = (
                "The checkpoint must be one of a SwappingCheckpointManager, with averages in the "
                f"place of variables. Received: {path!r}, which has each value in its own place; "
                "restore it with tf.train.Checkpoint, or make the manager with "
                "start_missing_averages=True."
            )
            raise ValueError(message)
        state.put_back(None)  # A plain checkpoint.

    def _missing(self, holder: Averages, path: str, since: int) -> list[Entry]:
        """The averages that the checkpoint lacks; looks after the count of steps, too.

        Raises:
          AssertionError: If it lacks some, and they are not to be started.
          ValueError: If it lacks the count of steps on which the decay depends.
        """
        missing = [entry for entry in holder.entries() if not holder.was_restored(entry, since)]
        if missing and not self._start_missing_averages:
            message = (
                f"The checkpoint {path!r} lacks {len(missing)} of {len(holder.entries())} "
                f"averages, the first of {name_of(missing[0].variable)!r}; to start each of them "
                "from its variable, make the manager with start_missing_averages=True."
            )
            raise AssertionError(message)
        steps = holder.steps.first
        if steps is not None and not was_restored(steps, since):
            if len(missing) < len(holder.entries()):
                message = (
                    "The checkpoint must hold the count of the averages' steps, on which their "
                    f"decay depends now. Received: {path!r}, with averages of a plain decay; train "
                    "on with that, or restore it without them."
                )
                raise ValueError(message)
            holder.steps.set(0)  # They start anew.
        return missing
