"""The averages of the epoch whose weights an EarlyStopping restores at the end of fit.

An EarlyStopping keeps the weights of the epoch whose metric was best. Where the metric is that of
the averages, these belong to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import tensorflow as tf

# An epoch, and the values of its averages.
_Kept = tuple[int, list[tuple["tf.Variable", "tf.Tensor"]]]


class BestAverages:
    """Averages of the last epoch and of the best one, held without a copy while nobody writes."""

    def __init__(self, optimizers: Sequence[Any]) -> None:
        """Keeps averages of MovingAverages.

        Args:
          optimizers: The MovingAverages.
        """
        self.stoppers: list[Any] = []  # The EarlyStopping callbacks that restore weights.
        self._optimizers = optimizers
        self._last: _Kept | None = None
        self._best: _Kept | None = None

    def keep(self, epoch: int) -> None:
        """Keeps the averages of an epoch that ends."""
        self.settle()
        if self.stoppers:
            entries = [entry for one in self._optimizers for entry in one.holder.entries()]
            self._last = (
                epoch,
                [(average, average.read_value()) for entry in entries for average in entry.parts],
            )

    def settle(self) -> None:
        """Keeps the averages of the last epoch as the best if EarlyStopping took it for that."""
        if self._last is not None and any(
            one.best_weights is not None and one.best_epoch == self._last[0]
            for one in self.stoppers
        ):
            self._best = self._last
        self._last = None

    def restore(self) -> None:
        """Gives the averages the values of the best epoch, whose weights EarlyStopping restores."""
        self.settle()
        if self._best is None:
            return
        for average, value in self._best[1]:
            average.assign(value)
        self._best = None
