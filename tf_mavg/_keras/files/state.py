"""What goes in and out of the MovingAverage optimizers: variables, configuration, files.

Files hold the wrapped optimizer's state as that optimizer writes it, and averages beside it; see
matching.py. Object checkpoints hold the wrapped optimizer and the holder of averages. While
averages and weights are swapped, none of it can be saved or loaded.
"""

from __future__ import annotations

import contextlib
import copy
import warnings
from typing import TYPE_CHECKING, Any, ClassVar

from tf_mavg._averages.swap.held import HeldValues
from tf_mavg._averages.update.pace import several
from tf_mavg._keras.files.matching import (
    SavedAverages,
    match_paths,
    read_averages,
    without_averages,
    write_averages,
)
from tf_mavg._keras.support import path_of
from tf_mavg._ops.variables import tensorflow_variable
from tf_mavg.decays import Decay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import tensorflow as tf

    from tf_mavg._averages.averages import Averages
    from tf_mavg._averages.entry import Entry
    from tf_mavg._averages.update.pace import OneOrMore
    from tf_mavg._compat.keras import WithoutWeights
    from tf_mavg._keras.decays import Decays
    from tf_mavg._keras.extra import ExtraVariables


class AveragingState:
    """Base of `AveragingOptimizer`: the wrapped optimizer's state and the averages, in and out."""

    # The module keras or tf_keras.
    _keras: ClassVar[Any]
    # The arguments of the optimizer.
    name: str
    inner_optimizer: Any
    average_decay: OneOrMore[float | Decay]
    num_updates: str | None
    average_dtype: str | None
    placement: str
    rounding: str
    seed: int
    exclude: Sequence[str] | Callable[[Any], bool] | None
    overwrite_weights: bool
    start_missing_averages: bool

    holder: Averages
    _tracked: WithoutWeights
    _decays: Decays
    # The weights that it was built with, the first so many of which are trained, and those of them
    # that have averages.
    _weights: Sequence[Any]
    _trained: int
    _extra: ExtraVariables
    _averaged: Sequence[Any]
    # The count of the averages' steps, if there is one.
    _counts: Sequence[Any]
    _is_built: bool
    # What the base class tracks, and checkpoints need not hold.
    _untold: frozenset[str] = frozenset()

    @property
    def variables(self) -> Any:
        """The state of the wrapped optimizer, the averages, and the count of steps if there is one.

        Behind the averages are the remainders of those that are split.

        Raises:
          RuntimeError: While averages and weights are swapped, when it would be saved wrongly.
        """
        self.holder.state.check_can_save()
        self._prepare()
        own = self.inner_optimizer.variables
        averages, remainders = [], []
        for index in range(self.holder.of_each):
            for weight in self._averaged:
                averages.append(self.holder.average(weight, index))
                remainder = self.holder.remainder(weight, index)
                remainders.extend([] if remainder is None else [remainder])
        # tf_keras has a list of its own.
        return type(own)([*own, *averages, *remainders, *self._counts])

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Sets `variables`, which must exist, to as many values.

        Raises:
          ValueError: If there are more or fewer values, or one has another shape.
        """
        variables = self.variables
        if len(weights) != len(variables):
            message = (
                f"`weights` must have a value for each of the optimizer's {len(variables)} "
                f"variables. Received: {len(weights)}."
            )
            raise ValueError(message)
        for variable, value in zip(variables, weights, strict=True):
            variable.assign(value)

    def check_can_save(self, *, without_names: bool = False) -> None:
        """Raises RuntimeError if a file would hold values in the wrong places.

        Args:
          without_names: Whether it is a file of the old layout, which cannot say what is where.
        """
        self.holder.state.check_can_save()
        if without_names and self.holder.state.is_swapped:
            message = (
                "A file of the old HDF5 layout cannot hold averages in the place of weights; save "
                "a .keras or .weights.h5 file, or leave `with optimizer.swapped_for_saving():`."
            )
            raise RuntimeError(message)

    def save_own_variables(self, store: Any) -> None:
        """Saves the wrapped optimizer's state under its own keys, then the averages."""
        self.check_can_save()
        self._prepare()
        self.inner_optimizer.save_own_variables(store)
        position = {id(weight): i for i, weight in enumerate(self._weights)}
        values = [
            {position[id(w)]: self.holder.array(w, index) for w in self._averaged}
            for index in range(self.holder.of_each)
        ]
        in_place = self.holder.state.swapped_index
        if self._averaged:
            steps = self.holder.steps.first
            count = None if steps is None else int(steps.numpy())
            split = frozenset(
                position[id(w)] for w in self._averaged if self.holder.remainder(w) is not None
            )
            saved = SavedAverages(self._paths(), self._trained, values, in_place, count, split)
            write_averages(store, saved)

    def load_own_variables(self, store: Any) -> None:
        """Loads what `save_own_variables` saved, or the wrapped optimizer's state alone.

        Each weight gets its own average, whatever the order. Without averages in the file they
        start at the loaded weights.

        Raises:
          ValueError: If the file's averages cannot be told apart, or some are missing and the
            optimizer was not made with `start_missing_averages`. Nothing of it has changed then.
        """
        self.holder.state.check_can_save()
        saved, own = read_averages(store), without_averages(store)
        if not self._is_built:
            if saved is not None:
                message = (
                    f"The file's {saved.count} averages are not loaded, because the "
                    "optimizer is not built: call optimizer.build(model.trainable_variables) first."
                )
                warnings.warn(message, stacklevel=2)
            self.inner_optimizer.load_own_variables(own)
            return
        self._keep_own()  # Averages that are to start later still do, should this be refused.
        created = self.holder.create(self._averaged)
        entries = [entry for of_weight in created for entry in of_weight]
        values, is_same_order = ({}, True) if saved is None else self._match(saved)
        missing = [entry for entry in entries if entry not in values]
        if missing:
            self._check_can_start(missing)
        if is_same_order:
            self._load_wrapped(own)
        else:
            message = (
                f"The state of {self.inner_optimizer.name!r} is not loaded: the file has it for "
                "other weights, or in another order."
            )
            warnings.warn(message, stacklevel=2)
        self.holder.set_values(values)
        self.holder.steps.set(0 if saved is None else saved.steps or 0)
        self._start_at_loaded_weights(missing)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """An optimizer of its own, for copies of the weights.

        Keras 3 would copy by way of a file, without the state; tf_keras could not.

        Raises:
          RuntimeError: While averages and weights are swapped; or before it is built, if a
            checkpoint has been restored into it.
        """
        self.holder.state.check_can_save()
        if not self._is_built and self.holder.count:
            message = (
                "An optimizer into which a checkpoint has been restored must be built before it is "
                f"copied. Received: one that has {self.holder.count} averages, and no weights yet; "
                "call build(model.trainable_variables) first."
            )
            raise RuntimeError(message)
        extra: Any = self._extra.given
        if self._is_built:  # A function would return the variables of which this has averages.
            extra = copy.deepcopy(list(self._weights[self._trained :]), memo)
        config = self._settings() | {"exclude": copy.copy(self.exclude), "extra_variables": extra}
        copied = memo[id(self)] = type(self).from_config(config)
        if self._is_built:
            copied.build(copy.deepcopy(list(self._weights[: self._trained]), memo))
            for variable, source in zip(copied.variables, self.variables, strict=True):
                variable.assign(source)
        return copied

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this optimizer again; of `extra_variables` the paths."""
        extra = self._paths()[self._trained :] if self._is_built else self._extra.paths()
        return self._settings() | {"extra_variables": extra}

    def _settings(self) -> dict[str, Any]:
        serialize = self._keras.saving.serialize_keras_object
        exclude: Any = self.exclude
        if callable(exclude):
            exclude = serialize(exclude)
        given = self.average_decay
        decays = [serialize(one) if isinstance(one, Decay) else one for one in several(given)]
        return {
            "name": self.name,
            "optimizer": serialize(self.inner_optimizer),
            "average_decay": decays if isinstance(given, list) else decays[0],
            "num_updates": self.num_updates,
            "average_dtype": self.average_dtype,
            "placement": self.placement,
            "exclude": list(exclude) if isinstance(exclude, list | tuple) else exclude,
            "overwrite_weights": self.overwrite_weights,
            "start_missing_averages": self.start_missing_averages,
            "start": self.holder.pace.start,
            "every": self.holder.pace.every,
            "overwrite_every": self.holder.pace.overwrite_every,
            "if_not_finite": self.holder.if_not_finite,
            "sparse": self.holder.sparse,
            "rounding": self.rounding,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """Makes the optimizer from what `get_config` returned."""
        config, optimizers = dict(config), cls._keras.optimizers
        # The optimizer not as any object: in an old .h5 file only its Keras knows what it means.
        # But tf_keras does not know all of its own: Lion, Adafactor.
        known = {
            name: value
            for name, value in vars(optimizers).items()
            if isinstance(value, type) and issubclass(value, optimizers.Optimizer)
        }
        deserialize = cls._keras.saving.deserialize_keras_object
        makers = {
            "optimizer": (optimizers.deserialize, {**known, **(custom_objects or {})}),
            "exclude": (deserialize, custom_objects),
            "average_decay": (deserialize, custom_objects),
        }
        for key, (make, objects) in makers.items():
            if isinstance(config[key], dict):
                config[key] = make(config[key], custom_objects=objects)
        decays = config["average_decay"]
        if isinstance(decays, list):
            config["average_decay"] = [
                deserialize(one, custom_objects=custom_objects) if isinstance(one, dict) else one
                for one in decays
            ]
        return cls(**config)

    # What tf.train.Checkpoint asks for. It saves the wrapped optimizer and the averages, and what
    # others track here: a LossScaleOptimizer of tf_keras tracks its scale in what it wraps.

    def _trackable_children(self, save_type: str = "checkpoint", **kwargs: Any) -> dict[str, Any]:
        children = super()._trackable_children(save_type, **kwargs)  # type: ignore[misc]
        told = {name: child for name, child in children.items() if name not in self._untold}
        told |= {"inner_optimizer": self._tracked, "averages": self.holder.tracked}
        if save_type != "checkpoint":
            told |= self._decays.variables  # Functions read them.
        return told

    def _lookup_dependency(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "inner_optimizer":
            return self.__dict__.get("_tracked")
        if name == "averages" and "holder" in self.__dict__:
            return self.holder.tracked
        if name in self._untold:
            return None
        return super()._lookup_dependency(name, *args, **kwargs)  # type: ignore[misc]

    def _prepare(self) -> None:
        """Has the averages be those of the weights that it was built with, each with a value."""
        if self._is_built and not self.holder.state.is_swapped:
            self._keep_own()
            self.holder.start_late()

    def _keep_own(self) -> None:
        if self.holder.count != len(self._averaged) and not self.holder.state.is_swapped:
            self.holder.keep(self._averaged)  # A checkpoint had more.

    def _paths(self) -> list[str]:
        return [path_of(weight) for weight in self._weights]

    def _match(self, saved: SavedAverages) -> tuple[dict[Entry, Any], bool]:
        """The values of a file by the averages that get them.

        Returns:
          The values, and whether the file is of the same weights in the same order.
        """
        if self.holder.pace.counts and saved.steps is None:
            message = (
                "The file must hold the count of the averages' steps, on which their decay depends "
                "now. Received: averages of a plain decay; train on with that, or load the file "
                "without the optimizer's state."
            )
            raise ValueError(message)
        if saved.in_place is not None:
            message = (
                "A file to train on from must hold each value in its own place. Received: one of "
                "swapped_for_saving(), with averages in the place of weights; evaluate it with "
                "load_model(path, compile=False)."
            )
            raise ValueError(message)
        found = match_paths(saved.built, self._paths())
        position = {id(weight): i for i, weight in enumerate(self._weights)}
        values, missing = {}, []
        for weight, entries in zip(self._averaged, self.holder.create(self._averaged), strict=True):
            for entry in entries:
                value = saved.value(entry.index, found.get(position[id(weight)]))
                if value is not None and tuple(value.shape) == tuple(entry.variable.shape):
                    values[entry] = value
                else:
                    missing.append((weight, value))
        if missing and not self.start_missing_averages:
            weight, value = missing[0]
            lacks = "none" if value is None else f"one of shape {tuple(value.shape)}"
            message = (
                f"The file must hold the optimizer's {len(values) + len(missing)} averages, or "
                f"none. Received: {saved.count}. For {path_of(weight)!r} of shape "
                f"{tuple(weight.shape)} it has {lacks}; to start each missing average at its "
                "weight, make the optimizer with start_missing_averages=True."
            )
            raise ValueError(message)
        of_trained = {
            now: then for now, then in found.items() if now < self._trained or then < saved.trained
        }
        return values, of_trained == {i: i for i in range(saved.trained)}

    def _load_wrapped(self, own: dict[str, Any]) -> None:
        """Loads the wrapped optimizer's state whole, or not at all."""
        with contextlib.ExitStack() as stack:
            if self.start_missing_averages:
                stack.enter_context(_warned(self.inner_optimizer.name))
            stack.enter_context(_put_back_by_failure(self.inner_optimizer.variables))
            self.inner_optimizer.load_own_variables(own)

    def _shown(self, variable: tf.Variable, name: str) -> Any:
        """What users get of a variable: of an average, or of the count of steps."""
        del name
        return variable

    def _check_can_start(self, entries: Sequence[Entry]) -> None:
        """Raises ValueError if averages cannot start at weights that are being loaded."""

    def _start_at_loaded_weights(self, entries: Sequence[Entry]) -> None:
        """Starts averages that a file did not have."""
        raise NotImplementedError


@contextlib.contextmanager
def _put_back_by_failure(variables: Sequence[Any]) -> Iterator[None]:
    """A context after which all variables have been loaded or none has changed."""
    held = HeldValues()
    held.hold(map(tensorflow_variable, variables))
    try:
        yield
    except BaseException:
        held.put_back()
        raise


@contextlib.contextmanager
def _warned(name: str) -> Iterator[None]:
    """A context in which a state that does not fit new weights is left out."""
    try:
        yield
    except ValueError as error:
        message = f"The state of {name!r} is not loaded, because some weights are new: {error}"
        warnings.warn(message, stacklevel=2)
