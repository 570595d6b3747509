"""Takes snapshots in fit, for Keras 3 and tf_keras alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from tf_mavg._compat.keras import without_optimizer
from tf_mavg._keras.finding import averaging_optimizers_of
from tf_mavg._posthoc.snapshots import Snapshots

if TYPE_CHECKING:
    import os


class SnapshotSaving:
    """Takes snapshots of power function averages in fit, for `tf_mavg.posthoc.reconstruct`.

    Each is a `.weights.h5` file of the model alone, with an average in the place of the weights; it
    is loaded into a model that is not compiled. The model that is trained must be compiled with a
    MovingAverage that has a `PowerFunction` among its decays.
    """

    model: Any

    def __init__(
        self, directory: str | os.PathLike[str], save_freq: Literal["epoch"] | int = "epoch"
    ) -> None:
        """Takes no snapshot yet.

        Args:
          directory: Where snapshots are kept; see `tf_mavg.posthoc.Snapshots`.
          save_freq: "epoch" to take them at the end of each epoch; or after how many batches.

        Raises:
          ValueError: If `save_freq` is neither.
        """
        super().__init__()
        if save_freq != "epoch" and (not isinstance(save_freq, int) or save_freq < 1):
            message = (
                '`save_freq` must be "epoch" or a number of batches, 1 or more. '
                f"Received: save_freq={save_freq!r}."
            )
            raise ValueError(message)
        self._directory = directory
        self._save_freq = save_freq
        self._batches = 0  # Since the last snapshot.
        self._last_batch = -1  # Of this epoch.

    def on_train_begin(self, logs: Any = None) -> None:
        """Looks at what is averaged."""
        super().on_train_begin(logs)  # type: ignore[misc]
        optimizers = averaging_optimizers_of(self.model)
        optimizer = getattr(self.model, "optimizer", None)
        of_model = (optimizer, getattr(optimizer, "inner_optimizer", None))
        if len(optimizers) != 1 or optimizers[0] not in of_model:
            message = (
                "The model must be compiled with a MovingAverage, and have no other one. "
                f"Received: {getattr(self.model, 'optimizer', None)!r}."
            )
            raise ValueError(message)
        self._optimizer = optimizers[0]
        self._snapshots = Snapshots(self._directory, self._optimizer, self._write, ".weights.h5")
        self._snapshots.may_save = True

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Takes snapshots after so many batches."""
        super().on_train_batch_end(batch, logs)  # type: ignore[misc]
        # Keras may call this once for several batches.
        self._batches += batch - (self._last_batch if batch > self._last_batch else -1)
        self._last_batch = batch
        if self._save_freq != "epoch" and self._batches >= self._save_freq:
            self._batches = 0
            self._save()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Takes snapshots at the end of an epoch."""
        super().on_epoch_end(epoch, logs)  # type: ignore[misc]
        if self._save_freq == "epoch":
            self._save()

    def _save(self) -> None:
        if self._snapshots.count() >= 1:  # Before, there is no average.
            self._snapshots.save()

    def _write(self, path: str) -> None:
        with without_optimizer(self.model):
            self.model.save_weights(path)
