"""The state of a MovingAverage optimizer: its variables, files, checkpoints and configuration."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, ClassVar

from tf_mavg._ops.variables import tensorflow_variable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tf_mavg._averages.weights import WeightAverages


class AveragingState:
    """Base of `AveragingOptimizer`: the wrapped optimizer's state and the averages, in and out.

    While averages and weights are swapped, none of it can be saved or loaded.
    """

    # The module keras or tf_keras.
    _keras: ClassVar[Any]
    # The arguments of the optimizer.
    name: str
    inner_optimizer: Any
    average_decay: float
    num_updates: str | None
    average_dtype: str | None
    exclude: list[str] | Callable[[Any], bool] | None
    overwrite_weights: bool

    _average_of: dict[Any, Any]  # Averages, by the key of their weight.
    _weight_averages: WeightAverages | None

    @property
    def variables(self) -> Any:
        """The state of the wrapped optimizer, then the averages.

        Raises:
          RuntimeError: While averages and weights are swapped, when it would be saved wrongly.
        """
        self._check_can_save()
        own = self.inner_optimizer.variables
        return type(own)([*own, *self._average_of.values()])  # tf_keras has a list of its own.

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

    def save_own_variables(self, store: Any) -> None:
        """Saves the wrapped optimizer's state under its own keys, then the averages."""
        self._check_can_save()
        self.inner_optimizer.save_own_variables(store)
        for i, average in enumerate(self._average_of.values()):
            store[f"average_{i}"] = average.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Loads what `save_own_variables` saved, or the wrapped optimizer's state alone.

        Without averages in the file they start at the weights, which Keras loads first.

        Raises:
          ValueError: If the file has averages, but of another number of weights.
        """
        self._check_can_save()
        keys = [key for key in store.keys() if key.startswith("average_")]  # noqa: SIM118 - no dict.
        plain = {key: store[key] for key in store.keys() if key not in keys}  # noqa: SIM118
        averages = list(self._average_of.values())
        if keys and self._weight_averages is not None and len(keys) != len(averages):
            message = (
                f"The file must hold the optimizer's {len(averages)} averages, or none. "
                f"Received: {len(keys)}."
            )
            raise ValueError(message)
        self.inner_optimizer.load_own_variables(plain)
        if self._weight_averages is None and keys:
            message = (
                f"The file's {len(keys)} averages are not loaded, because the optimizer is not "
                "built: call optimizer.build(model.trainable_variables) first."
            )
            warnings.warn(message, stacklevel=2)
        elif keys:
            for i, average in enumerate(averages):
                average.assign(store[f"average_{i}"])
        elif self._weight_averages is not None:
            self._weight_averages.start()

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this optimizer again."""
        exclude: Any = self.exclude
        if callable(exclude):
            exclude = self._keras.saving.serialize_keras_object(exclude)
        return {
            "name": self.name,
            "optimizer": self._keras.saving.serialize_keras_object(self.inner_optimizer),
            "average_decay": self.average_decay,
            "num_updates": self.num_updates,
            "average_dtype": self.average_dtype,
            "exclude": exclude,
            "overwrite_weights": self.overwrite_weights,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """Makes the optimizer from what `get_config` returned."""
        config = dict(config)
        # The optimizer not as any object: in an old .h5 file only its Keras knows what it means.
        makers = {
            "optimizer": cls._keras.optimizers.deserialize,
            "exclude": cls._keras.saving.deserialize_keras_object,
        }
        for key, make in makers.items():
            if isinstance(config[key], dict):
                config[key] = make(config[key], custom_objects=custom_objects)
        return cls(**config)

    def _trackable_children(self, save_type: str = "checkpoint", **kwargs: Any) -> dict[str, Any]:
        """What is saved by object; TensorFlow asks each time that it saves or restores."""
        if save_type == "checkpoint":
            self._check_can_save()
        children = dict(super()._trackable_children(save_type, **kwargs))  # type: ignore[misc]
        children["inner_optimizer"] = self.inner_optimizer
        for i, average in enumerate(self._average_of.values()):
            children[f"average_{i}"] = tensorflow_variable(average)
        if self._weight_averages is not None:
            children.update(self._weight_averages.children_of_functions(save_type))
        return children

    def _checked(self) -> WeightAverages:
        if self._weight_averages is None:
            message = (
                "The optimizer has no averages yet; train the model or call "
                "optimizer.build(model.trainable_variables) first."
            )
            raise RuntimeError(message)
        return self._weight_averages

    def _check_can_save(self) -> None:
        if self._weight_averages is not None:
            self._weight_averages.check_can_save()
