"""Keras 3: the optimizer that wraps another one and averages the weights it trains; callbacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import keras
import tensorflow as tf

from tf_mavg._compat.distribute import replicas_must_merge
from tf_mavg._compat.keras import (
    call_after_compiling,
    call_before_saving,
    keras_variable,
    untracked,
)
from tf_mavg._keras.batch_norm import recompute_statistics
from tf_mavg._keras.fit.callbacks import (
    AverageEvaluation,
    AverageSaving,
    check_can_save,
    tell_optimizers,
)
from tf_mavg._keras.fit.logs import AverageLogging
from tf_mavg._keras.optimizer import AveragingOptimizer
from tf_mavg._keras.support import register_schedules

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tf_mavg._averages.entry import Entry

_PUBLIC_PLACE = "tf_mavg.keras"


@keras.saving.register_keras_serializable(package="tf_mavg")
class MovingAverage(AveragingOptimizer, keras.optimizers.Optimizer):  # type: ignore[misc]
    """Wraps an optimizer and keeps moving averages of the weights that it trains.

    It is an optimizer itself: for `compile`, a custom `train_step` or a loop of one's own, with or
    without XLA, inside a `LossScaleOptimizer` or around one. After each step of the wrapped
    optimizer, and only after a real one, it does in one fused op

        average -= (average - weight) * (1 - average_decay)

    A step that loss scaling skips, or that only accumulates gradients, moves no average. Averages
    start at the weights. The weights themselves are trained as without it; `swapped` evaluates the
    averages. What it does not define is the wrapped optimizer's, to read and to set:
    `optimizer.beta_1`, `optimizer.clipnorm`.
    """

    __module__ = _PUBLIC_PLACE
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
        elif "inner_optimizer" in self.__dict__:  # Not the base class, setting its default.
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

    def build(self, variables: Iterable[keras.Variable]) -> None:
        """Builds the wrapped optimizer, and averages that start at the weights; only once."""
        variables = list(variables)
        # Keras calls it without any when it loads an .h5 file, and could then never train.
        if not self._is_built and variables:
            self._build(variables)
            self.built = True

    _build = untracked(keras, AveragingOptimizer._build)  # noqa: SLF001 - of its own base class.

    def apply(self, grads: Iterable[Any], trainable_variables: Iterable[Any] | None = None) -> None:
        """Applies gradients with the wrapped optimizer, then updates the averages.

        Raises:
          RuntimeError: While averages and weights are swapped; inside a tf.function when it runs,
            as tf.errors.InvalidArgumentError. Or if Keras itself cannot accumulate gradients here.
          ValueError: With sparse="lazy", if the optimizer writes other rows than gradients name.
        """
        self._check_can_accumulate()
        grads = list(grads)
        variables = None if trainable_variables is None else list(trainable_variables)
        if not grads:
            return
        if not self._is_built:
            if variables is None:
                self.inner_optimizer.apply(grads)  # It has the words for what is missing.
            self.build(variables or ())
        can_skip = _skips_steps(self.inner_optimizer)
        with self._guard():
            before = tf.identity(self.iterations) if can_skip else None
            self._catch_up(
                list(zip(grads, variables or self._weights[: self._trained], strict=False))
            )
            self.inner_optimizer.apply(grads, variables)
        if can_skip:
            tf.cond(tf.not_equal(self.iterations, before), self._update, lambda: None)
        else:
            self._update()

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Any]]) -> Any:
        """As `apply`, of pairs of gradient and variable; returns `iterations`."""
        super().apply_gradients(grads_and_vars)
        return self.iterations

    def _check_can_accumulate(self) -> None:
        """Raises RuntimeError where Keras would add gradients up in a conditional of a replica."""
        steps = self.gradient_accumulation_steps
        if steps and replicas_must_merge():
            message = (
                "Keras 3 accumulates gradients in a conditional, in which the replicas of a "
                f"tf.function cannot meet. Received: gradient_accumulation_steps={steps} under "
                f"{type(tf.distribute.get_strategy()).__name__}; run the step eagerly, as by "
                "compile(run_eagerly=True), or add gradients up in variables of your own."
            )
            raise RuntimeError(message)

    def _shown(self, variable: tf.Variable, name: str) -> Any:
        if not isinstance(variable, tf.Variable):  # Another worker has it.
            return variable
        return keras_variable(keras, variable, name)

    def _start_at_loaded_weights(self, entries: Sequence[Entry]) -> None:
        self.holder.start(entries)  # Keras 3 loads an optimizer after all layers.


def _skips_steps(optimizer: Any) -> bool:
    """Whether not every call of an optimizer is a step: it scales losses or adds up gradients."""
    return hasattr(optimizer, "inner_optimizer") or bool(optimizer.gradient_accumulation_steps)


class LogAverages(AverageLogging, keras.callbacks.Callback):  # type: ignore[misc]
    __doc__ = AverageLogging.__doc__
    __module__ = _PUBLIC_PLACE


class EvaluateAverages(AverageEvaluation, keras.callbacks.Callback):  # type: ignore[misc]
    __doc__ = AverageEvaluation.__doc__
    __module__ = _PUBLIC_PLACE
    _keras = keras
    _optimizer_class = MovingAverage


class AverageModelCheckpoint(AverageSaving, EvaluateAverages, keras.callbacks.ModelCheckpoint):  # type: ignore[misc]
    __doc__ = AverageSaving.__doc__
    __module__ = _PUBLIC_PLACE


def update_batch_norm(
    model: Any, data: Any, *, batch_size: int = 32, steps: int | None = None
) -> None:
    """Recomputes the moving statistics of batch normalization for the weights of the moment.

    Statistics that a model gathered in training belong to the weights of that time. Averages of
    the weights need others:

        with optimizer.swapped():
            tf_mavg.keras.update_batch_norm(model, x)
            model.evaluate(x, y)

    As torch.optim.swa_utils.update_bn, it calls the model on each batch in training mode, so with
    dropout, too, and gives each layer the mean of the batches' means and variances: each batch
    counts as many times as it has rows, and a layer that is called several times a batch counts
    them all. Nothing else of the model changes, neither momentum nor states of random numbers.

    While averages are in the place of weights, the statistics are theirs: where the statistics are
    averaged, their averages change; else the old ones come back with the weights. Layers with
    `trainable=False`, and those that the model does not call in training mode, are left alone.

    Args:
      model: The model, built. It may have no such layer.
      data: Arrays, a tf.data.Dataset, a keras.utils.PyDataset or an iterable of batches. A batch,
        and a tuple of arrays, is `inputs`, `(inputs, targets)` or
        `(inputs, targets, sample_weights)`, as for `fit`.
      batch_size: The rows of a batch, where `data` are arrays.
      steps: How many batches to take at most; needed where they do not end.

    Raises:
      TypeError: If `model` is no model of this Keras.
      ValueError: If `data` has no batch, a layer is not built, or one renormalizes batches.
      RuntimeError: In a function or a graph, or for a model of several replicas.

    If it fails or is interrupted, nothing has changed.
    """
    kinds = (keras.layers.BatchNormalization,)
    recompute_statistics(keras, kinds, model, data, batch_size, steps)


call_before_saving(keras, check_can_save)
call_after_compiling(keras, tell_optimizers)
register_schedules(keras)
