"""The callbacks that evaluate and save averages inside fit, for Keras 3 and tf_keras alike.

Keras calls no callback when an evaluation fails, so a swap that a callback begins could stay. The
swap is therefore made around the model's own `evaluate`, for those calls that fit makes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from tf_mavg._compat.keras import callbacks_of, compiled_with
from tf_mavg._keras.best import BestAverages
from tf_mavg._keras.finding import averaging_optimizers_of
from tf_mavg._keras.optimizer import AveragingOptimizer

if TYPE_CHECKING:
    from collections.abc import Callable


def averaging_optimizer_of(model: Any) -> AveragingOptimizer | None:
    """The MovingAverage that trains a model, alone or in a LossScaleOptimizer; or None."""
    optimizer = getattr(model, "optimizer", None)
    for one in (optimizer, getattr(optimizer, "inner_optimizer", None)):
        if isinstance(one, AveragingOptimizer):
            return one
    return None


def check_can_save(model: Any, without_names: bool) -> None:  # noqa: FBT001 - Keras calls it.
    """Raises RuntimeError if a file of a model would hold values in the wrong places."""
    optimizer = averaging_optimizer_of(model)
    if optimizer is not None:
        optimizer.check_can_save(without_names=without_names)


def tell_optimizers(model: Any) -> None:
    """Tells the MovingAverages of a model that was compiled of which model they are."""
    for optimizer in averaging_optimizers_of(model):
        optimizer.look_for_extra_variables(model)


class AverageEvaluation:
    """Evaluates averages inside fit: its `val_` metrics are those of the averages.

    Weights and averages change places before each validation and back after it, bit for bit, also
    when it fails. The weights at the end of fit are the trained ones. Where an EarlyStopping
    restores the weights of the best epoch, the averages are that epoch's too. For an evaluation
    outside fit, use `with optimizer.swapped():`.
    """

    # The Keras, and its MovingAverage.
    _keras: ClassVar[Any]
    _optimizer_class: ClassVar[type]
    model: Any

    def on_train_begin(self, logs: Any = None) -> None:
        """Puts the swap around the evaluations of this fit."""
        super().on_train_begin(logs)  # type: ignore[misc]
        average = self._optimizer()
        self._best = BestAverages(average)
        model = self.model
        model.__dict__.pop("evaluate", None)  # Another callback's, or of an interrupted fit.
        # Past the model's __setattr__, which would track it.
        model.__dict__["evaluate"] = self._evaluate_by(model.evaluate, average)

    def on_train_end(self, logs: Any = None) -> None:
        """Leaves the model as it was."""
        super().on_train_end(logs)  # type: ignore[misc]
        self._best.restore()
        self.model.__dict__.pop("evaluate", None)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Notes whether the last epoch was the best."""
        self._best.settle()
        super().on_epoch_begin(epoch, logs)  # type: ignore[misc]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Keeps the averages of an epoch until it is known whether it was the best."""
        self._best.keep(epoch)
        super().on_epoch_end(epoch, logs)  # type: ignore[misc]

    def on_test_begin(self, logs: Any = None) -> None:
        """Refuses an evaluation whose end no callback is told of when it fails."""
        super().on_test_begin(logs)  # type: ignore[misc]
        if not self._optimizer().is_swapped:
            message = (
                f"{type(self).__name__} serves the validation of fit; around model.evaluate "
                "use `with optimizer.swapped():`."
            )
            raise RuntimeError(message)

    def _optimizer(self) -> Any:
        optimizer = averaging_optimizer_of(self.model)
        if not isinstance(optimizer, self._optimizer_class):
            message = (
                f"The model must be compiled with a MovingAverage of {self._keras.__name__}. "
                f"Received: {getattr(self.model, 'optimizer', None)!r}."
            )
            raise ValueError(message)  # noqa: TRY004 - the model is at fault, not its type.
        return optimizer

    def _evaluate_by(self, evaluate: Callable[..., Any], average: Any) -> Callable[..., Any]:
        """The model's `evaluate`, of averages where the fit of this callback calls it."""

        def evaluate_averages(*args: Any, **kwargs: Any) -> Any:
            members = callbacks_of(kwargs)
            if self not in members or average.is_swapped:
                return evaluate(*args, **kwargs)
            stopping = self._keras.callbacks.EarlyStopping
            self._best.stoppers = [
                one for one in members if isinstance(one, stopping) and one.restore_best_weights
            ]
            with average.swapped():
                return evaluate(*args, **kwargs)

        return evaluate_averages


class AverageSaving:
    """ModelCheckpoint that saves the averages in the place of the weights.

    Like EvaluateAverages it makes the `val_` metrics those of the averages, so that
    `save_best_only` keeps the best averages. The file holds the model as if compiled with the
    wrapped optimizer and loads without tf_mavg. Training goes on from the trained weights.
    """

    model: Any

    def _save_model(self, *args: Any, **kwargs: Any) -> None:
        average = self._optimizer()  # type: ignore[attr-defined]
        with compiled_with(self.model, average, average.inner_optimizer), average.swapped():
            super()._save_model(*args, **kwargs)  # type: ignore[misc]
