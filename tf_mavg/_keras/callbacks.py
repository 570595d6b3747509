"""The callbacks that evaluate and save averages inside fit, for Keras 3 and tf_keras alike.

Keras calls no callback when an evaluation fails, so a swap that a callback begins could stay. The
swap is therefore made around the model's own `evaluate`, for those calls that fit makes.
"""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def make_callbacks(keras: Any, optimizer_class: Any, loss_scale_class: Any) -> tuple[Any, Any]:
    """Makes the callback classes of one Keras.

    Args:
      keras: The module `keras` or `tf_keras`.
      optimizer_class: Its MovingAverage.
      loss_scale_class: Its LossScaleOptimizer.

    Returns:
      The classes EvaluateAverages and AverageModelCheckpoint.
    """

    def moving_average_of(model: Any) -> Any:
        """The MovingAverage that trains a model, alone or in a LossScaleOptimizer."""
        optimizer = getattr(model, "optimizer", None)
        if isinstance(optimizer, loss_scale_class):
            optimizer = optimizer.inner_optimizer
        if not isinstance(optimizer, optimizer_class):
            message = (
                f"The model must be compiled with a {optimizer_class.__name__} of {keras.__name__}."
                f" Received: {optimizer!r}."
            )
            raise ValueError(message)  # noqa: TRY004 - the model is at fault, not its type.
        return optimizer

    class EvaluateAverages(keras.callbacks.Callback):  # type: ignore[misc]
        """Evaluates averages inside fit: its `val_` metrics are those of the averages.

        Weights and averages change places before each validation and back after it, bit for bit,
        also when it fails. The weights at the end of fit are the trained ones. For an evaluation
        outside fit, use `with optimizer.swapped():`.
        """

        def on_train_begin(self, logs: Any = None) -> None:
            """Puts the swap around the evaluations of this fit."""
            super().on_train_begin(logs)
            _evaluate_with_averages(self.model, moving_average_of(self.model), EvaluateAverages)

        def on_train_end(self, logs: Any = None) -> None:
            """Leaves the model as it was."""
            super().on_train_end(logs)
            self.model.__dict__.pop("evaluate", None)

        def on_test_begin(self, logs: Any = None) -> None:
            """Refuses an evaluation of which it does not know when it ends."""
            super().on_test_begin(logs)
            if not moving_average_of(self.model).is_swapped:
                message = (
                    f"{type(self).__name__} serves the validation of fit; around model.evaluate "
                    "use `with optimizer.swapped():`."
                )
                raise RuntimeError(message)

    class AverageModelCheckpoint(EvaluateAverages, keras.callbacks.ModelCheckpoint):  # type: ignore[misc]
        """ModelCheckpoint that saves the averages in the place of the weights.

        Like EvaluateAverages it makes the `val_` metrics those of the averages, so that
        `save_best_only` keeps the best averages. The file holds the model as if compiled with the
        wrapped optimizer and loads without tf_mavg. Training goes on from the trained weights.
        """

        def _save_model(self, *args: Any, **kwargs: Any) -> None:
            average = moving_average_of(self.model)
            with _trained_by_wrapped(self.model, average), average.swapped():
                super()._save_model(*args, **kwargs)

    return EvaluateAverages, AverageModelCheckpoint


def _evaluate_with_averages(model: Any, average: Any, callback_class: type) -> None:
    model.__dict__.pop("evaluate", None)  # Another callback's, or of a fit that was interrupted.
    evaluate = model.evaluate

    def evaluate_averages(*args: Any, **kwargs: Any) -> Any:
        callbacks = getattr(kwargs.get("callbacks"), "callbacks", ())
        is_of_fit = any(isinstance(member, callback_class) for member in callbacks)
        if not is_of_fit or average.is_swapped:
            return evaluate(*args, **kwargs)
        with average.swapped():
            return evaluate(*args, **kwargs)

    # Past the model's __setattr__, which would track it.
    model.__dict__["evaluate"] = evaluate_averages


@contextlib.contextmanager
def _trained_by_wrapped(model: Any, average: Any) -> Iterator[None]:
    """A context in which a model seems to be compiled with the optimizer that `average` wraps."""
    wrapped = average.inner_optimizer
    # No public way to save it so. The names are those of both Keras's attributes.
    places = [
        (model.__dict__, "optimizer"),
        (model._compile_config.config, "optimizer"),  # noqa: SLF001
        *((model.optimizer.__dict__, key) for key in ("inner_optimizer", "_optimizer")),
        (model.optimizer.__dict__, "_trackable"),
    ]
    with contextlib.ExitStack() as stack:
        # What tf_keras saves as a checkpoint of TensorFlow.
        if model._lookup_dependency("optimizer") is average:  # noqa: SLF001
            track = functools.partial(model._track_trackable, name="optimizer", overwrite=True)  # noqa: SLF001
            stack.callback(track, average)
            track(wrapped)
        for owner, key in places:
            if owner.get(key) is average:
                stack.callback(owner.__setitem__, key, average)
                owner[key] = wrapped
        yield
