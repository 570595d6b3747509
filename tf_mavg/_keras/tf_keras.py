"""tf_keras: the optimizer that wraps another one and averages the weights it trains; callbacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf
import tf_keras

from tf_mavg._compat.keras import call_after_compiling, call_before_saving
from tf_mavg._keras.batch_norm import recompute_statistics
from tf_mavg._keras.fit.callbacks import (
    AverageEvaluation,
    AverageSaving,
    check_can_save,
    tell_optimizers,
)
from tf_mavg._keras.fit.logs import AverageLogging
from tf_mavg._keras.optimizer import AveragingOptimizer
from tf_mavg._keras.support import path_of, register_schedules

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tf_mavg._averages.entry import Entry

_PUBLIC_PLACE = "tf_mavg.tf_keras"


@tf_keras.saving.register_keras_serializable(package="tf_mavg")
class MovingAverage(AveragingOptimizer, tf_keras.optimizers.Optimizer):  # type: ignore[misc]
    """`tf_mavg.keras.MovingAverage` for the optimizers of tf_keras, Keras 2: the same behaviour.

    It wraps a `tf_keras.optimizers.Optimizer`, not one of `tf_keras.optimizers.legacy`.
    """

    __module__ = _PUBLIC_PLACE
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
        variables = list(var_list)
        if self._is_built or not variables:
            return
        self._build(variables)
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
          ValueError: With sparse="lazy", if the optimizer writes other rows than gradients name.
        """
        pairs = list(grads_and_vars)
        if not pairs:
            return self.iterations
        self.build([variable for _, variable in pairs])
        is_step = None
        if self._scales_loss() and self.inner_optimizer.dynamic:
            pairs, is_step = self._summed(pairs, *args, **kwargs)
            args, kwargs = (), {**kwargs, "skip_gradients_aggregation": True}
        with self._guard():
            self._catch_up(pairs)
            result = self.inner_optimizer.apply_gradients(pairs, *args, **kwargs)
        if is_step is None:
            self._update()
        else:
            tf.cond(is_step, self._update, lambda: None)
        return result

    def _summed(
        self,
        pairs: list[tuple[Any, tf.Variable]],
        skip_gradients_aggregation: bool = False,  # noqa: FBT001, FBT002 - as LossScaleOptimizer's.
        **kwargs: Any,
    ) -> tuple[list[tuple[Any, tf.Variable]], tf.Tensor]:
        """Gradients summed over replicas, and whether a LossScaleOptimizer takes a step with them.

        It counts a step that it skips as well, and tells nobody; but it skips just those whose
        sums are not finite.
        """
        if not skip_gradients_aggregation and kwargs.get("experimental_aggregate_gradients", True):
            pairs = list(self.inner_optimizer.inner_optimizer.aggregate_gradients(pairs))
        finite = [
            tf.reduce_all(tf.math.is_finite(getattr(gradient, "values", gradient)))
            for gradient, _ in pairs
            if gradient is not None
        ]
        return pairs, tf.reduce_all(tf.stack(finite)) if finite else tf.constant(value=True)

    def _trackable_children(self, save_type: str = "checkpoint", **kwargs: Any) -> dict[str, Any]:
        children = super()._trackable_children(save_type, **kwargs)
        if save_type != "checkpoint":  # A plain optimizer is loaded, which must find its own count.
            children |= {"_iterations": self._iterations, "_variables": self._variables}
        return children

    def _scales_loss(self) -> bool:
        return isinstance(
            self.__dict__.get("inner_optimizer"), tf_keras.mixed_precision.LossScaleOptimizer
        )

    def _check_can_start(self, entries: Sequence[Entry]) -> None:
        if self._is_traced:
            message = (
                f"The file has no average of {path_of(entries[0].variable)!r}, which could not "
                "start at its weight, since tf_keras loads the weights later and training may go "
                "on unseen; load into a model that has not been trained, or load the weights "
                "alone and call optimizer.restart()."
            )
            raise ValueError(message)

    def _start_at_loaded_weights(self, entries: Sequence[Entry]) -> None:
        self.holder.start_later(entries)  # tf_keras loads an optimizer before the layers.


class LogAverages(AverageLogging, tf_keras.callbacks.Callback):  # type: ignore[misc]
    __doc__ = AverageLogging.__doc__
    __module__ = _PUBLIC_PLACE


class EvaluateAverages(AverageEvaluation, tf_keras.callbacks.Callback):  # type: ignore[misc]
    __doc__ = AverageEvaluation.__doc__
    __module__ = _PUBLIC_PLACE
    _keras = tf_keras
    _optimizer_class = MovingAverage


class AverageModelCheckpoint(AverageSaving, EvaluateAverages, tf_keras.callbacks.ModelCheckpoint):  # type: ignore[misc]
    __doc__ = AverageSaving.__doc__
    __module__ = _PUBLIC_PLACE


def update_batch_norm(
    model: Any, data: Any, *, batch_size: int = 32, steps: int | None = None
) -> None:
    """`tf_mavg.keras.update_batch_norm` for models of tf_keras, Keras 2: the same behaviour.

    What Keras 2 draws at random has no state in the model that could be put back.
    """
    kinds = (
        tf_keras.layers.BatchNormalization,
        tf_keras.layers.experimental.SyncBatchNormalization,
    )
    recompute_statistics(tf_keras, kinds, model, data, batch_size, steps)


call_before_saving(tf_keras, check_can_save)
call_after_compiling(tf_keras, tell_optimizers)
register_schedules(tf_keras)
