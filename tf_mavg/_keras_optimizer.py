"""The Keras 3 optimizer that wraps another one and keeps averages of the weights it trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from tf_mavg._keras_support import (
    Wrapped,
    average_dtype,
    check_choice,
    is_averaged,
    path_of,
    skips_steps,
    value_of,
)
from tf_mavg._pairs import check_decay
from tf_mavg._weight_averages import WeightAverages

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterable, Sequence

WARM_UP = "iterations"


@keras.saving.register_keras_serializable(package="tf_mavg")
class MovingAverage(keras.optimizers.Optimizer):  # type: ignore[misc]
    """Wraps an optimizer and keeps moving averages of the weights that it trains.

    It is an optimizer itself: for `compile`, a custom `train_step` or a loop of one's own, with or
    without XLA, inside a `LossScaleOptimizer` or around one. After each step of the wrapped
    optimizer, and only after a real one, it does in one fused op

        average -= (average - weight) * (1 - average_decay)

    A step that loss scaling skips, or that only accumulates gradients, moves no average. Averages
    start at the weights. The weights themselves are trained as without it; `swapped` evaluates the
    averages. What it does not define is the wrapped optimizer's: `optimizer.beta_1`.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - one for each thing to choose.
        self,
        optimizer: keras.optimizers.Optimizer | str,
        average_decay: float = 0.999,
        num_updates: str | None = None,
        average_dtype: str | None = None,
        exclude: Sequence[str] | Callable[[keras.Variable], bool] | None = None,
        name: str = "moving_average",
    ) -> None:
        """Wraps `optimizer`.

        Args:
          optimizer: A Keras 3 optimizer or its name.
          average_decay: Number in [0, 1].
          num_updates: With "iterations" the decay warms up: it is the smaller of `average_decay`
            and `(1 + n) / (10 + n)` at the optimizer's n-th step.
          average_dtype: "float32" for float32 averages of float16 and bfloat16 weights; "same" for
            averages of the weights' own dtype, which in half precision stall when steps get small.
            By default as "float32".
          exclude: Which weights have no average: regular expressions to find in their path, or a
            function of the weight that tells. Others without: those that are not trained.
          name: Name of the optimizer.

        Raises:
          TypeError: If `optimizer` is no Keras 3 optimizer.
          ValueError: If another argument is none of the values above.
        """
        check_decay(average_decay)
        check_choice("num_updates", num_updates, (None, WARM_UP))
        check_choice("average_dtype", average_dtype, (None, "float32", "same"))
        inner = keras.optimizers.get(optimizer)
        if not isinstance(inner, keras.optimizers.Optimizer) or isinstance(inner, MovingAverage):
            message = f"`optimizer` must be a Keras 3 optimizer. Received: {optimizer!r}."
            raise TypeError(message)
        self.__dict__["_wrapped"] = Wrapped(inner)
        super().__init__(learning_rate=0.0, name=name)
        self.average_decay = float(average_decay)
        self.num_updates = num_updates
        self.average_dtype = average_dtype
        self.exclude = exclude if exclude is None or callable(exclude) else list(exclude)
        self.__dict__["_keras_averages"] = {}  # By the key of their weight.
        self.__dict__["_weight_averages"] = None

    def __getattr__(self, name: str) -> Any:
        """The wrapped optimizer's attributes, and it itself as `inner_optimizer`.

        It is no attribute of the instance's own, so that saving does not find its state twice.
        """
        wrapped = self.__dict__.get("_wrapped")
        if wrapped is None or name.startswith("_"):
            raise AttributeError(name)
        return wrapped.optimizer if name == "inner_optimizer" else getattr(wrapped.optimizer, name)

    @property
    def variables(self) -> list[keras.Variable]:
        """The state of the wrapped optimizer, then the averages."""
        return [*self.inner_optimizer.variables, *self._keras_averages.values()]

    @property
    def iterations(self) -> Any:
        """The wrapped optimizer's count of steps."""
        return self.inner_optimizer.iterations

    @property
    def learning_rate(self) -> Any:
        """The wrapped optimizer's learning rate."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

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

    def average(self, weight: keras.Variable) -> keras.Variable | None:
        """The average of a weight; None if it has none."""
        return self._keras_averages.get(self._var_key(weight))

    @keras.src.utils.tracking.no_automatic_dependency_tracking  # type: ignore[untyped-decorator]
    def build(self, variables: Iterable[keras.Variable]) -> None:
        """Builds the wrapped optimizer, and averages that start at the weights."""
        variables = list(variables)
        with tf.init_scope():  # It may be called while a training step is traced.
            self._build(variables)

    def _build(self, variables: list[keras.Variable]) -> None:
        # Where the trace makes the weights too, they have values only when it is traced again.
        have_values = all(bool(value_of(variable).is_initialized()) for variable in variables)
        self.__dict__["_starts_late"] = not have_values
        if not self.inner_optimizer.built:
            self.inner_optimizer.build(variables)
        super().build(variables)
        averaged = [v for v in variables if is_averaged(v, self.exclude)]
        for variable in averaged:
            average = self.add_variable(
                shape=variable.shape,
                initializer=_value_at_start(variable) if have_values else "zeros",
                dtype=average_dtype(variable, self.average_dtype),
                name=f"{path_of(variable).replace('/', '_')}_average",
            )
            # A checkpoint that was restored earlier may hold its value.
            child = f"average_{len(self._keras_averages)}"
            self._handle_deferred_dependencies(child, average.value)
            self._keras_averages[self._var_key(variable)] = average
        averages = [average.value for average in self._keras_averages.values()]
        weights = [value_of(variable) for variable in averaged]
        self.__dict__["_weight_averages"] = WeightAverages(averages, weights)

    def _start_late(self) -> None:
        with tf.init_scope():
            if all(bool(value_of(v).is_initialized()) for v in self._trainable_variables):
                self._checked().start()
                self.__dict__["_starts_late"] = False

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
        if not self.built and variables is not None:
            self.build(variables)
        if self.__dict__.get("_starts_late"):
            self._start_late()
        if not self.built:
            self.inner_optimizer.apply(grads)  # It has the words for what is missing.
        can_skip = skips_steps(self.inner_optimizer)
        with tf.control_dependencies(self._checked().check_not_swapped("No step can be taken")):
            before = tf.identity(self.iterations) if can_skip else None
            self.inner_optimizer.apply(grads, variables)
        if can_skip:
            tf.cond(tf.not_equal(self.iterations, before), self._update, lambda: None)
        else:
            self._update()

    def swapped(self, model: keras.Model | None = None) -> contextlib.AbstractContextManager[None]:
        """A context in which the weights hold the averages; it always swaps back, bit for bit.

            with optimizer.swapped():
                model.evaluate(x, y)

        Meanwhile a training step, or saving the optimizer's state, is refused.

        Args:
          model: The model, for code that does not know whether this optimizer trains it.

        Raises:
          ValueError: If `model` is given and this optimizer is not the one that trains it.
          RuntimeError: If no weights are known yet; on entry, if already swapped.
        """
        optimizer = getattr(model, "optimizer", None)
        if model is not None and self not in (
            optimizer,
            getattr(optimizer, "inner_optimizer", None),
        ):
            message = f"`model` must be trained by this optimizer. Received: {model.name!r}."
            raise ValueError(message)
        return self._checked().swapped()

    def swapped_for_saving(self) -> contextlib.AbstractContextManager[None]:
        """As `swapped`, but checkpoints may be saved: with averages in the place of weights."""
        return self._checked().swapped_for_saving()

    @property
    def is_swapped(self) -> bool:
        """Whether the weights hold the averages."""
        return self._weight_averages is not None and self._weight_averages.is_swapped

    def scale_loss(self, loss: Any) -> Any:
        """Scales the loss as the wrapped optimizer does."""
        return self.inner_optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list: list[keras.Variable]) -> None:
        """What the wrapped optimizer does at the end of fit; averages stay where they are."""
        self.inner_optimizer.finalize_variable_values(var_list)

    def exclude_from_weight_decay(self, *args: Any, **kwargs: Any) -> None:
        """As the wrapped optimizer's."""
        self.inner_optimizer.exclude_from_weight_decay(*args, **kwargs)

    def save_own_variables(self, store: Any) -> None:
        """Saves the wrapped optimizer's state under its own keys, then the averages."""
        self._check_can_save()
        self.inner_optimizer.save_own_variables(store)
        for i, average in enumerate(self._keras_averages.values()):
            store[f"average_{i}"] = average.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Loads what `save_own_variables` saved, or the wrapped optimizer's state alone.

        Without averages in the file they start at the weights, which Keras loads first.
        """
        self._check_can_save()
        keys = [key for key in store.keys() if key.startswith("average_")]  # noqa: SIM118 - no dict.
        plain = {key: store[key] for key in store.keys() if key not in keys}  # noqa: SIM118
        self.inner_optimizer.load_own_variables(plain)
        if len(keys) == len(self._keras_averages):
            for i, average in enumerate(self._keras_averages.values()):
                average.assign(store[f"average_{i}"])
        elif self._weight_averages is not None:
            self._weight_averages.start()

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this optimizer again."""
        exclude = self.exclude
        return {
            "name": self.name,
            "optimizer": keras.saving.serialize_keras_object(self.inner_optimizer),
            "average_decay": self.average_decay,
            "num_updates": self.num_updates,
            "average_dtype": self.average_dtype,
            "exclude": keras.saving.serialize_keras_object(exclude)
            if callable(exclude)
            else exclude,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> MovingAverage:
        """Makes the optimizer from what `get_config` returned."""
        config = dict(config)
        for key in ("optimizer", "exclude"):
            if isinstance(config[key], dict):
                config[key] = keras.saving.deserialize_keras_object(
                    config[key], custom_objects=custom_objects
                )
        return cls(**config)

    def _trackable_children(self, save_type: str = "checkpoint", **kwargs: Any) -> dict[str, Any]:
        """What tf.train.Checkpoint saves; it asks each time that it does."""
        children = super()._trackable_children(save_type, **kwargs)
        if save_type != "checkpoint":
            return children  # type: ignore[no-any-return]
        self._check_can_save()
        children["inner_optimizer"] = self.inner_optimizer
        for i, average in enumerate(self._keras_averages.values()):
            children[f"average_{i}"] = average.value
        return children  # type: ignore[no-any-return]

    def _checked(self) -> WeightAverages:
        if self._weight_averages is None:
            message = (
                "The optimizer has no averages yet; train the model or call "
                "optimizer.build(model.trainable_variables) first."
            )
            raise RuntimeError(message)
        return self._weight_averages  # type: ignore[no-any-return]

    def _check_can_save(self) -> None:
        if self._weight_averages is not None:
            self._weight_averages.check_can_save()

    def _update(self) -> None:
        decay: Any = self.average_decay
        if self.num_updates == WARM_UP:
            count = tf.cast(self.iterations, tf.float32)
            decay = tf.minimum(tf.constant(decay, tf.float32), (1.0 + count) / (10.0 + count))
        self._checked().update(decay)


def _value_at_start(variable: Any) -> Callable[..., tf.Tensor]:
    return lambda _, dtype: tf.cast(value_of(variable), dtype)
