"""Object checkpoints that hold averages in the place of the variables, and resume from that."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final, Protocol

import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Iterator

# The attribute by which a checkpoint tracks whether it holds averages in the place of variables.
_MARK: Final = "holds_averages_in_place"


class Swappable(Protocol):
    """What has averages: an ExponentialMovingAverage or a keras.MovingAverage."""

    def swapped_for_saving(self) -> contextlib.AbstractContextManager[None]:
        """A context in which variables hold the averages and may be saved so."""


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
        averages: Swappable,
        directory: str,
        max_to_keep: int | None = 5,
        **kwargs: Any,
    ) -> None:
        """Manages the checkpoints of a directory.

        Args:
          checkpoint: What to save. It must track the variables and their averages.
          averages: The `ExponentialMovingAverage`, or the `tf_mavg.keras.MovingAverage`.
          directory: Path of the folder to write in.
          max_to_keep: How many checkpoints to keep; None for all.
          **kwargs: Further arguments of `tf.train.CheckpointManager`.
        """
        super().__init__(checkpoint, directory, max_to_keep, **kwargs)
        self._averages = averages
        # Part of every checkpoint of these objects, and true in those that this class writes.
        if not hasattr(checkpoint, _MARK):
            setattr(checkpoint, _MARK, tf.Variable(initial_value=False, trainable=False))
        self._mark = getattr(checkpoint, _MARK)

    def save(self, *args: Any, **kwargs: Any) -> str | None:
        """Saves as `tf.train.CheckpointManager.save`.

        Raises:
          RuntimeError: If averages and variables are swapped, also by a restore that was not this
            class's, or there are no averages yet.
        """
        if self._mark.numpy():
            message = (
                "Averages and variables are in each other's places, because a checkpoint of this "
                "manager was restored without it; restore it with the manager."
            )
            raise RuntimeError(message)
        with self._swapped():
            return super().save(*args, **kwargs)  # type: ignore[no-any-return]

    def restore(self, path: str | None = None) -> str | None:
        """Restores a checkpoint that a swapping manager wrote, each value to its own place.

        Variables and averages must exist: build the model, and make the averages, before it.

        Args:
          path: The checkpoint; by default the latest of the directory.

        Returns:
          The path; None if there is no checkpoint.

        Raises:
          AssertionError: If the checkpoint lacks the value of a variable or an average.
          ValueError: If it was not written by a swapping manager.
          RuntimeError: If averages and variables are swapped, or there are no averages yet.
        """
        path = path or self.latest_checkpoint
        if path is None:
            return None
        reader = tf.train.load_checkpoint(path)
        key = f"{_MARK}/.ATTRIBUTES/VARIABLE_VALUE"
        if not reader.has_tensor(key) or not reader.get_tensor(key):
            message = (
                "The checkpoint must be one of a SwappingCheckpointManager, with averages in the "
                f"place of variables. Received: {path!r}."
            )
            raise ValueError(message)
        # The file has them swapped, so reading it into swapped places puts each into its own.
        with self._swapped():
            self.checkpoint.restore(path).assert_existing_objects_matched()
        return path

    @contextlib.contextmanager
    def _swapped(self) -> Iterator[None]:
        with self._averages.swapped_for_saving():
            self._mark.assign(value=True)
            try:
                yield
            finally:
                self._mark.assign(value=False)

    def restore_or_initialize(self) -> str | None:
        """As `tf.train.CheckpointManager.restore_or_initialize`, with `restore`."""
        path = self.restore()
        if path is None and self._init_fn is not None:
            self._init_fn()
        return path
