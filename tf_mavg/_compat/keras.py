"""Private names of Keras 3 and tf_keras, one function a trick; tests/compat probes each.

It imports neither Keras: each function is given the one that it is to work on.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from typing import TYPE_CHECKING, Any, Final

import tensorflow as tf

from tf_mavg._native import SureContext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

# Functions that open a file of Keras and then ask the model for what to write.
_WRITERS: Final = {
    "keras": [
        ("keras.src.saving.saving_lib", "save_model"),
        ("keras.src.saving.saving_lib", "save_weights_only"),
        ("keras.src.legacy.saving.legacy_h5_format", "save_model_to_hdf5"),
    ],
    "tf_keras": [
        ("tf_keras.src.saving.saving_lib", "save_model"),
        ("tf_keras.src.saving.saving_lib", "save_weights_only"),
        ("tf_keras.src.saving.legacy.hdf5_format", "save_model_to_hdf5"),
        ("tf_keras.src.saving.legacy.saved_model.save", "save"),
    ],
}


def call_before_saving(keras: ModuleType, check: Callable[[Any, bool], None]) -> None:
    """Has a function called before a model's file is opened, which empties it; once and for all.

    Keras asks neither model nor optimizer before it opens a file: an error that they raise comes
    when the file that was there is lost.

    Args:
      keras: The module `keras` or `tf_keras`.
      check: Called with the model, and whether the format is HDF5 in the old layout, which holds an
        optimizer's variables without their names; it raises to keep the file as it is.
    """
    for module_name, name in _WRITERS[keras.__name__]:
        module = importlib.import_module(module_name)
        setattr(module, name, _checked(getattr(module, name), check, name == "save_model_to_hdf5"))


def _checked(
    write: Callable[..., Any],
    check: Callable[[Any, bool], None],
    is_old: bool,  # noqa: FBT001 - private.
) -> Callable[..., Any]:
    @functools.wraps(write)
    def check_and_write(model: Any, *args: Any, **kwargs: Any) -> Any:
        # Where the old layout leaves out the optimizer it is nobody's concern.
        if not is_old or kwargs.get("include_optimizer", args[2] if len(args) > 2 else True):  # noqa: PLR2004 - by position.
            check(model, is_old)
        return write(model, *args, **kwargs)

    return check_and_write


def call_after_compiling(keras: ModuleType, tell: Callable[[Any], None]) -> None:
    """Has a function called with each model that was compiled; once and for all.

    A Keras that loads a model makes the optimizer of a configuration, compiles the model with it
    and builds it, and does not tell it of which model it is.
    """
    owner = next(kind for kind in keras.Model.__mro__ if "compile" in vars(kind))
    compile_alone = owner.compile

    @functools.wraps(compile_alone)
    def compile_and_tell(model: Any, *args: Any, **kwargs: Any) -> Any:
        result = compile_alone(model, *args, **kwargs)
        tell(model)
        return result

    owner.compile = compile_and_tell


def untracked(keras: ModuleType, method: Callable[..., Any]) -> Callable[..., Any]:
    """Marks a method of a Keras 3 object that sets attributes without Keras's tracking of them.

    Keras would take weights in an attribute of an optimizer for the optimizer's own variables.
    """
    tracking = keras.src.utils.tracking
    return tracking.no_automatic_dependency_tracking(method)  # type: ignore[no-any-return]


class WithoutWeights(
    tf.__internal__.tracking.DelegatingTrackableMixin,  # type: ignore[misc]
    tf.__internal__.tracking.Trackable,  # type: ignore[misc]
):
    """An optimizer as object checkpoints should see it: without its list of the trained weights.

    Keras 3 tracks the list, and a checkpoint that knows weights by their position in it gives them
    to other weights when a layer has been frozen since, together with their averages.
    """

    def __init__(self, optimizer: Any) -> None:
        """Stands for `optimizer`, and for the one that it wraps, if any."""
        super().__init__(optimizer)
        inner = getattr(optimizer, "inner_optimizer", None)
        self._inner = None if inner is None else WithoutWeights(inner)

    def _trackable_children(self, save_type: str = "checkpoint", **kwargs: Any) -> dict[str, Any]:
        children = dict(super()._trackable_children(save_type, **kwargs))
        children.pop("_trainable_variables", None)
        if self._inner is not None and "inner_optimizer" in children:
            children["inner_optimizer"] = self._inner
        return children

    def _lookup_dependency(self, name: str, *args: Any, **kwargs: Any) -> Any:
        found = super()._lookup_dependency(name, *args, **kwargs)
        return self._inner if self._inner is not None and name == "inner_optimizer" else found


def keras_variable(keras: ModuleType, variable: Any, name: str) -> Any:
    """A variable of Keras 3 that stands for one of TensorFlow, which it makes its own."""
    return keras.Variable(
        variable, dtype=variable.dtype.name, trainable=False, autocast=False, name=name
    )


def layers_of(layer: Any) -> list[Any]:
    """A layer or model, and all layers in it, at whatever depth; each once."""
    return list({id(one): one for one in layer._flatten_layers()}.values())


def callbacks_of(arguments: dict[str, Any]) -> list[Any]:
    """The callbacks of the fit that calls `model.evaluate` with these arguments by name."""
    return list(getattr(arguments.get("callbacks"), "callbacks", ()))


def compiled_with(
    model: Any, optimizer: Any, other: Any
) -> contextlib.AbstractContextManager[None]:
    """A context in which a model seems to be compiled with another optimizer: it is saved so.

    Args:
      model: The model.
      optimizer: An optimizer that trains it, alone or in a LossScaleOptimizer; an attribute, or in
        a list or a dictionary that is one.
      other: The optimizer to be seen in its place.
    """
    members = list(vars(model).values())
    wrappers = [one for one in members if getattr(one, "inner_optimizer", None) is optimizer]
    config = getattr(model, "_compile_config", None)
    owners = [vars(model), *map(vars, wrappers), {} if config is None else config.config]
    undo: list[Callable[[], Any]] = []

    def enter() -> None:
        # What tf_keras saves as a checkpoint of TensorFlow.
        for name in [key for key, value in vars(model).items() if value is optimizer]:
            if model._lookup_dependency(name) is optimizer:
                track = functools.partial(model._track_trackable, name=name, overwrite=True)
                undo.append(functools.partial(track, optimizer))
                track(other)
        for owner in owners:
            for key, value in list(owner.items()):
                seen = _exchanged(value, optimizer, other)
                if seen is not value:
                    undo.append(functools.partial(owner.__setitem__, key, value))
                    owner[key] = seen

    def leave(_: BaseException | None) -> None:
        while undo:
            undo[-1]()
            undo.pop()

    return SureContext(enter, leave)


def _exchanged(value: Any, optimizer: Any, other: Any) -> Any:
    """A value, or one that has another optimizer in its place or among its members."""
    if value is optimizer:
        return other
    if isinstance(value, list | tuple) and any(one is optimizer for one in value):
        return [other if one is optimizer else one for one in value]
    if isinstance(value, dict) and any(one is optimizer for one in value.values()):
        return {key: other if one is optimizer else one for key, one in value.items()}
    return value


@contextlib.contextmanager
def without_optimizer(model: Any) -> Iterator[None]:
    """A context in which a model seems not to be compiled: its weights are saved alone."""
    optimizer = model.__dict__["optimizer"]
    model.__dict__["optimizer"] = None  # Past the model's __setattr__, which would track it.
    try:
        yield
    finally:
        model.__dict__["optimizer"] = optimizer
