"""The Keras 3 optimizer that wraps another one and keeps averages of the weights it trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import keras
import tensorflow as tf

from tf_mavg._keras.optimizer import AveragingOptimizer
from tf_mavg._keras.support import path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@keras.saving.register_keras_serializable(package="tf_mavg")
class MovingAverage(AveragingOptimizer, keras.optimizers.Optimizer):  # type: ignore[misc]
    """Wraps an optimizer and keeps moving averages of the weights that it trains.

    It is an optimizer itself: for `compile`, a custom `train_step` or a loop of one's own, with or
    without XLA, inside a `LossScaleOptimizer` or around one. After each step of the wrapped
    optimizer, and only after a real one, it does in one fused op

        average -= (average - weight) * (1 - average_decay)

    A step that loss scaling skips, or that only accumulates gradients, moves no average. Averages
    start at the weights. The weights themselves are trained as without it; `swapped` evaluates the
    averages. What it does not define is the wrapped optimizer's: `optimizer.beta_1`.
    """

    _keras = keras
    _base_arguments: ClassVar[dict[str, Any]] = {"learning_rate": 0.0}

    @property
    def loss_scale_factor(self) -> float | None:
        """The wrapped optimizer's fixed loss scale."""
        return self.inner_optimizer.loss_scale_factor  # type: ignore[no-any-return]

    def __setattr__(self, name: str, value: Any) -> None:
        """Hands `loss_scale_factor` on: an outer LossScaleOptimizer sets it to take over."""
        if name != "loss_scale_factor":
            super().__setattr__(name, value)
        elif "_weight_averages" in self.__dict__:  # Not the base class, setting its default.
            if isinstance(self.inner_optimizer, keras.optimizers.LossScaleOptimizer):
                message = (
                    "The loss must be scaled once. Received: a LossScaleOptimizer around a "
                    "MovingAverage that wraps another one; if compile() added the outer one, pass "
                    "it auto_scale_loss=False."
                )
                raise ValueError(message)
            self.inner_optimizer.loss_scale_factor = value

    def scale_loss(self, loss: Any) -> Any:
        """Scales the loss as the wrapped optimizer does."""
        return self.inner_optimizer.scale_loss(loss)

    @keras.src.utils.tracking.no_automatic_dependency_tracking  # type: ignore[untyped-decorator]
    def build(self, variables: Iterable[keras.Variable]) -> None:
        """Builds the wrapped optimizer, and averages that start at the weights; only once."""
        variables = list(variables)
        # Keras calls it without any when it loads an .h5 file, and could then never train.
        if self.built or not variables:
            return
        with tf.init_scope():  # It may be called while a training step is traced.
            if not self.inner_optimizer.built:
                self.inner_optimizer.build(variables)
            super().build(variables)
            self._make_averages(variables)

    def apply(self, grads: Iterable[Any], trainable_variables: Iterable[Any] | None = None) -> None:
        """Applies gradients with the wrapped optimizer, then updates the averages.

        Raises:
          RuntimeError: While averages and weights are swapped; inside a tf.function when it runs,
            as tf.errors.InvalidArgumentError.
        """
        grads = list(grads)
        variables = None if trainable_variables is None else list(trainable_variables)
        if not grads:
            return
        if not self.built:
            if variables is None:
                self.inner_optimizer.apply(grads)  # It has the words for what is missing.
            self.build(variables)
        self._start_late()
        can_skip = _skips_steps(self.inner_optimizer)
        with tf.control_dependencies(self._checked().check_not_swapped("No step can be taken")):
            before = tf.identity(self.iterations) if can_skip else None
            self.inner_optimizer.apply(grads, variables)
        if can_skip:
            tf.cond(tf.not_equal(self.iterations, before), self._update, lambda: None)
        else:
            self._update()

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Any]]) -> Any:
        """As `apply`, of pairs of gradient and variable; returns `iterations`."""
        super().apply_gradients(grads_and_vars)
        return self.iterations

    def _make_average(self, weight: Any, start: Callable[[Any, Any], tf.Tensor], dtype: str) -> Any:
        name = f"{path_of(weight).replace('/', '_')}_average"
        return self.add_variable(shape=weight.shape, initializer=start, dtype=dtype, name=name)


def _skips_steps(optimizer: Any) -> bool:
    """Whether not every call of an optimizer is a step: it scales losses or adds up gradients."""
    return hasattr(optimizer, "inner_optimizer") or bool(optimizer.gradient_accumulation_steps)
