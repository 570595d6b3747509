"""The tf_keras optimizer that wraps another one and keeps averages of the weights it trains."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import tensorflow as tf
import tf_keras

from tf_mavg._keras.optimizer import AveragingOptimizer
from tf_mavg._keras.support import path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


@tf_keras.saving.register_keras_serializable(package="tf_mavg")
class MovingAverage(AveragingOptimizer, tf_keras.optimizers.Optimizer):  # type: ignore[misc]
    """`tf_mavg.keras.MovingAverage` for the optimizers of tf_keras, Keras 2: the same behaviour.

    It wraps a `tf_keras.optimizers.Optimizer`, not one of `tf_keras.optimizers.legacy`.
    """

    _keras = tf_keras

    @property
    def iterations(self) -> Any:
        """The wrapped optimizer's count of calls, those that loss scaling skipped among them."""
        return self.inner_optimizer.iterations

    @iterations.setter
    def iterations(self, variable: Any) -> None:
        self.inner_optimizer.iterations = variable

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuses a second LossScaleOptimizer, which makes itself known by an attribute."""
        if name == "_is_wrapped_by_loss_scale_optimizer" and self._scales_loss():
            message = (
                "The loss must be scaled once. Received: a LossScaleOptimizer around a "
                "MovingAverage that wraps another one; if compile() added the outer one, wrap the "
                "optimizer without the inner one."
            )
            raise ValueError(message)
        super().__setattr__(name, value)

    def build(self, var_list: Iterable[tf.Variable]) -> None:
        """Builds the wrapped optimizer, and averages that start at the weights; only once."""
        if self._weight_averages is not None:
            return
        variables = list(var_list)
        with tf.init_scope():
            self.inner_optimizer.build(variables)
            super().build(variables)
            self._make_averages(variables)
        self._built = True

    def compute_gradients(self, *args: Any, **kwargs: Any) -> list[tuple[Any, Any]]:
        """Computes gradients with the wrapped optimizer; arguments and result are its own."""
        return self.inner_optimizer.compute_gradients(*args, **kwargs)  # type: ignore[no-any-return]

    def apply_gradients(
        self, grads_and_vars: Iterable[tuple[Any, tf.Variable]], *args: Any, **kwargs: Any
    ) -> Any:
        """Applies gradients with the wrapped optimizer, then updates the averages.

        Arguments and result are the wrapped optimizer's.

        Raises:
          RuntimeError: While averages and weights are swapped; inside a tf.function when it runs,
            as tf.errors.InvalidArgumentError.
        """
        pairs = list(grads_and_vars)
        if not pairs:
            return self.iterations
        self.build([variable for _, variable in pairs])
        self._start_late()
        with (
            tf.control_dependencies(self._checked().check_not_swapped("No step can be taken")),
            self._update_after_steps(),
        ):
            return self.inner_optimizer.apply_gradients(pairs, *args, **kwargs)

    @contextlib.contextmanager
    def _update_after_steps(self) -> Iterator[None]:
        """A context in which a step of the wrapped optimizer is followed by one of the averages.

        A LossScaleOptimizer takes a step in a branch of a conditional, counts it when it skips it
        too, and tells nobody; so the update is put into the branch.
        """
        stepping = self.inner_optimizer
        if self._scales_loss():
            stepping = stepping.inner_optimizer
        apply_gradients = stepping.apply_gradients

        def apply_and_update(*args: Any, **kwargs: Any) -> Any:
            result = apply_gradients(*args, **kwargs)
            self._update()
            return result

        stepping.__dict__["apply_gradients"] = apply_and_update
        try:
            yield
        finally:
            del stepping.__dict__["apply_gradients"]

    def _scales_loss(self) -> bool:
        return isinstance(self.inner_optimizer, tf_keras.mixed_precision.LossScaleOptimizer)

    def _make_average(self, weight: Any, start: Callable[[Any, Any], tf.Tensor], dtype: str) -> Any:
        name = f"{self.name}/{path_of(weight)}"
        return tf.Variable(start(weight.shape, dtype), trainable=False, name=name)
