"""A fixed list of weights and their averages, as the Keras optimizers keep them.

It knows TensorFlow only. Each average has the dtype of its weight, or is float32 for a weight of
half precision; the latter changes places by a rounded copy, and its weight is held meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from tf_mavg import ops
from tf_mavg._averages.swap import SwapState
from tf_mavg._ops.variables import base_dtype

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Sequence


class WeightAverages(SwapState):
    """Averages of weights: started, updated and swapped all together."""

    _swapped_text = (
        "while averages and weights are swapped; leave `with optimizer.swapped():` first."
    )

    def __init__(self, averages: Sequence[tf.Variable], weights: Sequence[tf.Variable]) -> None:
        """Binds each average to its weight; both lists may be empty."""
        self._averages = list(averages)
        self._weights = list(weights)
        pairs = list(zip(self._averages, self._weights, strict=True))
        alike = [base_dtype(average) == base_dtype(weight) for average, weight in pairs]
        self._exchanged = [pair for pair, same in zip(pairs, alike, strict=True) if same]
        self._rounded = [pair for pair, same in zip(pairs, alike, strict=True) if not same]
        self._held: list[tf.Tensor] = []
        self._group: ops.PairGroups | None = None
        self._make_flags()

    def start(self) -> None:
        """Gives each average the value that its weight has now."""
        for average, weight in zip(self._averages, self._weights, strict=True):
            average.assign(tf.cast(weight, average.dtype))

    def overwrite_weights(self) -> None:
        """Gives each weight the value of its average, for good."""
        self.check_not_swapped("Weights cannot be overwritten")
        for average, weight in zip(self._averages, self._weights, strict=True):
            weight.assign(tf.cast(average, weight.dtype))

    def update(self, decay: float | tf.Tensor) -> None:
        """Moves all averages towards their weights."""
        if not self._averages:
            return
        if not tf.executing_eagerly():
            ops.apply_moving_average(self._averages, self._weights, decay)
            return
        if self._group is None:
            self._group = ops.PairGroups(self._averages, self._weights)
        self._group.apply_moving_average(decay)

    def swapped(self) -> contextlib.AbstractContextManager[None]:
        """A context in which the weights hold the averages; it always swaps back.

        Raises:
          RuntimeError: If inside a graph; on entry, if already swapped.
        """
        if not tf.executing_eagerly():
            message = "swapped() must be entered in eager mode, not while a function is traced."
            raise RuntimeError(message)
        return self._swapped_by(self._swap, self._swap_back)

    def swapped_for_saving(self) -> contextlib.AbstractContextManager[None]:
        """As `swapped`, but checkpoints may be saved: with averages in the place of weights.

        Raises:
          TypeError: If an average has another dtype than its weight, which it cannot hold then.
        """
        for average, weight in self._rounded:
            message = (
                "An average must have the dtype of its weight to be saved in its place. Received: "
                f"{average.name!r} of {average.dtype.name} for {weight.dtype.name}; make the "
                'optimizer with average_dtype="same".'
            )
            raise TypeError(message)
        return super().swapped_for_saving()

    def _swap(self) -> None:
        # Read without a copy: an assignment of another tensor leaves this one to its reader.
        self._held = [weight.read_value() for _, weight in self._rounded]
        self._exchange()
        try:
            for average, weight in self._rounded:
                weight.assign(tf.cast(average, weight.dtype))
        except BaseException:
            self._swap_back()
            raise

    def _swap_back(self) -> None:
        for (_, weight), value in zip(self._rounded, self._held, strict=True):
            weight.assign(value)
        self._held = []
        self._exchange()

    def _exchange(self) -> None:
        if self._exchanged:
            averages, weights = zip(*self._exchanged, strict=True)
            ops.swap_variables(averages, weights)
