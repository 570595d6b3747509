"""A fixed list of weights and their averages, as the Keras optimizers keep them.

It knows TensorFlow only. Each average has the dtype of its weight, or is float32 for a weight of
half precision; the latter changes places by a rounded copy, and its weight is held meanwhile.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import tensorflow as tf

from tf_mavg import ops
from tf_mavg._pairs import base_dtype

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SWAPPED = "while averages and weights are swapped; leave `with optimizer.swapped():` first."


class WeightAverages:
    """Averages of weights: started, updated and swapped all together.

    What a traced training step must know of a later swap is in two variables: a flag to assert, and
    one whose shape changes, because XLA drops assertions but compiles anew for another shape.
    """

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
        self._is_swapped = False
        self._saves_swapped = False
        with tf.init_scope():
            self._swapped_flag = tf.Variable(initial_value=False, trainable=False)
            # Of shape [0], and [1] while swapped.
            self._swapped_shape = tf.Variable(tf.zeros([0]), shape=[None], trainable=False)

    @property
    def is_swapped(self) -> bool:
        """Whether the weights hold the averages."""
        return self._is_swapped

    def start(self) -> None:
        """Gives each average the value that its weight has now."""
        for average, weight in zip(self._averages, self._weights, strict=True):
            average.assign(tf.cast(weight, average.dtype))

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

    def check_not_swapped(self, what: str) -> list[tf.Operation]:
        """Refuses to go on if averages and weights are swapped, now or when a graph is run.

        Args:
          what: What is refused, as the subject and verb of a sentence.

        Returns:
          In a graph, the operations that what is refused must wait for.

        Raises:
          RuntimeError: If they are swapped now.
        """
        if self._is_swapped:
            message = f"{what} {SWAPPED}"
            raise RuntimeError(message)
        if tf.executing_eagerly():
            return []
        flag = self._swapped_flag.read_value()
        asserted = tf.debugging.Assert(tf.logical_not(flag), [f"{what} {SWAPPED}"])
        shape = self._swapped_shape.read_value()
        compiled = tf.ensure_shape(shape, [0], name="weights_hold_averages_until_swapped_back")
        return [asserted, compiled.op]

    @contextlib.contextmanager
    def swapped(self) -> Iterator[None]:
        """A context in which the weights hold the averages; it always swaps back.

        Raises:
          RuntimeError: If already swapped, or inside a graph.
        """
        if not tf.executing_eagerly():
            message = "swapped() must be entered in eager mode, not while a function is traced."
            raise RuntimeError(message)
        self.check_not_swapped("swapped() cannot be entered")
        self._swap()
        try:
            yield
        finally:
            self._swap_back()

    @contextlib.contextmanager
    def swapped_for_saving(self) -> Iterator[None]:
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
        with self.swapped():
            self._saves_swapped = True
            try:
                yield
            finally:
                self._saves_swapped = False

    def check_can_save(self) -> None:
        """Raises RuntimeError if a checkpoint would hold values in the wrong places."""
        if self._is_swapped and not self._saves_swapped:
            message = f"The state cannot be saved or loaded {SWAPPED}"
            raise RuntimeError(message)

    def _swap(self) -> None:
        # Read without a copy: an assignment of another tensor leaves this one to its reader.
        self._held = [weight.read_value() for _, weight in self._rounded]
        self._exchange()
        self._set_swapped(value=True)
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
        self._set_swapped(value=False)

    def _exchange(self) -> None:
        if self._exchanged:
            averages, weights = zip(*self._exchanged, strict=True)
            ops.swap_variables(averages, weights)

    def _set_swapped(self, *, value: bool) -> None:
        self._is_swapped = value
        self._swapped_flag.assign(value)
        self._swapped_shape.assign(tf.zeros([int(value)]))
