"""The callbacks that evaluate and save averages inside fit, for Keras 3 and tf_keras alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from tf_mavg._averages.swap.signals import together
from tf_mavg._compat.keras import callbacks_of, compiled_with
from tf_mavg._keras.files.whole import written_whole
from tf_mavg._keras.finding import averaging_optimizers_of
from tf_mavg._keras.fit.best import BestAverages
from tf_mavg._keras.fit.evaluation import evaluate_each
from tf_mavg._keras.swapping import all_swapped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def check_can_save(model: Any, without_names: bool) -> None:  # noqa: FBT001 - Keras calls it.
    """Raises RuntimeError if a file of a model would hold values in the wrong places."""
    for optimizer in averaging_optimizers_of(model):
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

    The argument `optimizer` is the MovingAverage whose averages count, or several. By default it is
    each that the model was compiled with or has as an attribute, also in a list or a dictionary: a
    GAN's two. All of them swap, or none.

    Where weights have several averages, `index` says which are evaluated: one, or a list. The
    metrics of the first keep their names, those of others are called `val_average_1_loss`. With
    `also_weights` the trained weights are evaluated as well, as `val_weights_loss`. Each takes one
    more pass over the validation data, which must be the same in each pass: not of a generator.

    Attributes:
      indices: Which averages are evaluated.
      also_weights: Whether the weights are, too.
      evaluates_weights: Whether they are right now.
    """

    # The Keras, and its MovingAverage.
    _keras: ClassVar[Any]
    _optimizer_class: ClassVar[type]
    model: Any

    def __init__(
        self,
        *args: Any,
        optimizer: Any = None,
        index: int | Sequence[int] = 0,
        also_weights: bool = False,
        **kwargs: Any,
    ) -> None:
        """Takes what is said above; other arguments are those of the Keras's own callback.

        Raises:
          TypeError: If `optimizer` is not a MovingAverage of this Keras, nor several.
          ValueError: If `index` is an empty list.
        """
        super().__init__(*args, **kwargs)
        self.indices = list(index) if isinstance(index, list | tuple) else [index]
        if not self.indices:
            message = "`index` must name at least one of the averages. Received: an empty list."
            raise ValueError(message)
        self.also_weights = also_weights
        self.evaluates_weights = False
        several = isinstance(optimizer, list | tuple)
        self._given = list(optimizer) if several else [optimizer]
        if optimizer is None:
            self._given = []
        elif not self._given or not self._are_ours(self._given):
            message = (
                f"`optimizer` must be a MovingAverage of {self._keras.__name__}, or a list of such."
                f" Received: {optimizer!r}."
            )
            raise TypeError(message)

    def on_train_begin(self, logs: Any = None) -> None:
        """Puts the swap around the evaluations of this fit."""
        super().on_train_begin(logs)  # type: ignore[misc]
        optimizers = self.optimizers()
        for index in self.indices:
            for one in optimizers:
                one.holder.check_index(index)
        self._best = BestAverages(optimizers)
        model = self.model
        model.__dict__.pop("evaluate", None)  # Another callback's, or of an interrupted fit.
        # Past the model's __setattr__, which would track it.
        model.__dict__["evaluate"] = self._evaluate_by(model.evaluate)

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
        if not (self.evaluates_weights or _are_swapped(self.optimizers())):
            message = (
                f"{type(self).__name__} serves the validation of fit; around model.evaluate "
                "use `with optimizer.swapped():`."
            )
            raise RuntimeError(message)

    def optimizers(self) -> list[Any]:
        """The MovingAverages whose averages are evaluated.

        Raises:
          ValueError: If the model has none of this Keras.
        """
        optimizers = self._given or averaging_optimizers_of(self.model)
        if not optimizers or not self._are_ours(optimizers):
            message = (
                f"The model must be compiled with a MovingAverage of {self._keras.__name__}. "
                f"Received: {getattr(self.model, 'optimizer', None)!r}."
            )
            raise ValueError(message)
        return optimizers

    def _are_ours(self, optimizers: Sequence[Any]) -> bool:
        return all(isinstance(one, self._optimizer_class) for one in optimizers)

    def _evaluate_by(self, evaluate: Callable[..., Any]) -> Callable[..., Any]:
        """The model's `evaluate`, of averages where the fit of this callback calls it."""

        def evaluate_averages(*args: Any, **kwargs: Any) -> Any:
            members = callbacks_of(kwargs)
            if self not in members or _are_swapped(self.optimizers()):
                return evaluate(*args, **kwargs)
            stopping = self._keras.callbacks.EarlyStopping
            self._best.stoppers = [
                one for one in members if isinstance(one, stopping) and one.restore_best_weights
            ]
            evaluators = [one for one in members if isinstance(one, AverageEvaluation)]
            return evaluate_each(evaluators, lambda: evaluate(*args, **kwargs))

        return evaluate_averages


class AverageSaving:
    """ModelCheckpoint that saves the averages in the place of the weights.

    Like EvaluateAverages it makes the `val_` metrics those of the averages, so that
    `save_best_only` keeps the best averages. The file holds the model as if compiled with the
    wrapped optimizer and loads without tf_mavg. Training goes on from the trained weights. A file
    is written beside an older one of its path, and takes its place when it is complete.

    Its arguments `optimizer`, `index` and `also_weights` are those of EvaluateAverages; it saves
    the averages of the first index. To save each of several, use a callback with a path for each.
    The metrics that have their own names are then those of the first callback: to keep the best of
    another one, let it monitor `val_average_1_loss`, with `mode`.
    """

    model: Any

    def _save_model(self, *args: Any, **kwargs: Any) -> None:
        optimizers = self.optimizers()  # type: ignore[attr-defined]
        seen = [compiled_with(self.model, one, one.inner_optimizer) for one in optimizers]
        swapped = all_swapped(optimizers, self.indices[0])  # type: ignore[attr-defined]
        with together(seen), swapped, written_whole(self.model):
            super()._save_model(*args, **kwargs)  # type: ignore[misc]


def _are_swapped(optimizers: Sequence[Any]) -> bool:
    return all(optimizer.is_swapped for optimizer in optimizers)
