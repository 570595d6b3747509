"""What the MovingAverage optimizers of Keras 3 and of tf_keras have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import tensorflow as tf

from tf_mavg._averages.weights import WeightAverages
from tf_mavg._keras.state import AveragingState
from tf_mavg._keras.support import (
    Wrapped,
    average_dtype,
    check_choice,
    is_averaged,
)
from tf_mavg._ops.lists import check_decay
from tf_mavg._ops.variables import tensorflow_variable

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Sequence

WARM_UP = "iterations"


class AveragingOptimizer(AveragingState):
    """Base beside a Keras's own Optimizer: an optimizer that wraps another one and averages.

    What is set in its `__dict__`, or is behind `__getattr__`, is so past a Keras's tracking, whose
    saving would find the state twice.
    """

    # What the Keras's own Optimizer needs to be told beside a name.
    _base_arguments: ClassVar[dict[str, Any]] = {}

    def __init__(  # noqa: PLR0913, PLR0917 - one for each thing to choose.
        self,
        optimizer: Any,
        average_decay: float = 0.999,
        num_updates: str | None = None,
        average_dtype: str | None = None,
        exclude: str | Sequence[str] | Callable[[Any], bool] | None = None,
        name: str = "moving_average",
        *,
        overwrite_weights: bool = False,
    ) -> None:
        """Wraps `optimizer`.

        Args:
          optimizer: An optimizer of the same Keras, or its name.
          average_decay: Number in [0, 1].
          num_updates: With "iterations" the decay warms up: it is the smaller of `average_decay`
            and `(1 + n) / (10 + n)` at the optimizer's n-th step.
          average_dtype: "float32" for float32 averages of float16 and bfloat16 weights; "same" for
            averages of the weights' own dtype, which in half precision stall when steps get small.
            By default as "float32".
          exclude: Which weights have no average: regular expressions to find in their path, or a
            function of the weight that tells. Others without: those that are not trained.
          name: Name of the optimizer.
          overwrite_weights: Whether the weights are the averages after `fit`, as they are with
            Keras's own `use_ema`. By default they are the trained ones.

        Raises:
          TypeError: If `optimizer` is no optimizer of the same Keras.
          ValueError: If another argument is none of the values above.
        """
        check_decay(average_decay)
        check_choice("num_updates", num_updates, (None, WARM_UP))
        check_choice("average_dtype", average_dtype, (None, "float32", "same"))
        wrapped = self._keras.optimizers.get(optimizer)
        fits = isinstance(wrapped, self._keras.optimizers.Optimizer)
        if not fits or isinstance(wrapped, AveragingOptimizer):
            message = (
                f"`optimizer` must be a {self._keras.__name__}.optimizers.Optimizer that is no "
                f"MovingAverage. Received: {optimizer!r}."
            )
            raise TypeError(message)
        exclude = [exclude] if isinstance(exclude, str) else exclude
        self.__dict__["_wrapped"] = Wrapped(wrapped)
        super().__init__(name=name, **self._base_arguments)  # type: ignore[call-arg]
        self.average_decay = float(average_decay)
        self.num_updates = num_updates
        self.average_dtype = average_dtype
        self.overwrite_weights = overwrite_weights
        self.__dict__["exclude"] = exclude if exclude is None or callable(exclude) else [*exclude]
        self.__dict__["_average_of"] = {}  # By the key of their weight.
        self.__dict__["_starts_late"] = []  # Weights that had no values when averages were made.
        self.__dict__["_weight_averages"] = None

    def __getattr__(self, name: str) -> Any:
        """The wrapped optimizer's attributes, and it itself as `inner_optimizer`."""
        wrapped = self.__dict__.get("_wrapped")
        if wrapped is None or name.startswith("_"):
            raise AttributeError(name)
        return wrapped.optimizer if name == "inner_optimizer" else getattr(wrapped.optimizer, name)

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

    def average(self, weight: Any) -> Any:
        """The average of a weight; None if it has none."""
        return self._average_of.get(self._var_key(weight))

    @property
    def is_swapped(self) -> bool:
        """Whether the weights hold the averages."""
        return self._weight_averages is not None and self._weight_averages.is_swapped

    def swapped(self, model: Any = None) -> contextlib.AbstractContextManager[None]:
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

    def restart(self) -> None:
        """Gives each average the value that its weight has now: after weights were set by hand.

        Raises:
          RuntimeError: If no weights are known yet, or averages and weights are swapped.
        """
        averages = self._checked()
        averages.check_not_swapped("Averages cannot be restarted")
        averages.start()

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """What the wrapped optimizer does at the end of fit; then `overwrite_weights`, if asked."""
        self.inner_optimizer.finalize_variable_values(var_list)
        if self.overwrite_weights and self._weight_averages is not None:
            self._weight_averages.overwrite_weights()

    def exclude_from_weight_decay(self, *args: Any, **kwargs: Any) -> None:
        """As the wrapped optimizer's."""
        self.inner_optimizer.exclude_from_weight_decay(*args, **kwargs)

    def _make_average(self, weight: Any, start: Callable[[Any, Any], tf.Tensor], dtype: str) -> Any:
        """Makes a variable of the optimizer's; `start` is called with its shape and dtype."""
        raise NotImplementedError

    def _make_averages(self, weights: Sequence[Any]) -> None:
        """Makes averages that start at the weights."""
        averaged = [weight for weight in weights if is_averaged(weight, self.exclude)]
        # Where the trace makes the weights too, they have values only when it is traced again.
        have_values = all(bool(tensorflow_variable(weight).is_initialized()) for weight in weights)
        self.__dict__["_starts_late"] = [] if have_values else weights
        for weight in averaged:
            with tf.device(tensorflow_variable(weight).device):  # An update needs both on one.
                average = self._make_average(
                    weight,
                    _value_of_start(weight) if have_values else _zeros,
                    average_dtype(weight, self.average_dtype),
                )
            # A checkpoint that was restored earlier may hold its value.
            child = f"average_{len(self._average_of)}"
            self._handle_deferred_dependencies(child, tensorflow_variable(average))
            self._average_of[self._var_key(weight)] = average
        averages = [tensorflow_variable(average) for average in self._average_of.values()]
        self.__dict__["_weight_averages"] = WeightAverages(
            averages, [tensorflow_variable(weight) for weight in averaged]
        )

    def _start_late(self) -> None:
        """Starts averages at weights that had no values when the averages were made."""
        if not self._starts_late:
            return
        with tf.init_scope():
            if all(
                bool(tensorflow_variable(weight).is_initialized()) for weight in self._starts_late
            ):
                self._checked().start()
                self.__dict__["_starts_late"] = []

    def _update(self) -> None:
        decay: Any = self.average_decay
        if self.num_updates == WARM_UP:
            count = tf.cast(self.iterations, tf.float32)
            decay = tf.minimum(tf.constant(decay, tf.float32), (1.0 + count) / (10.0 + count))
        self._checked().update(decay)


def _value_of_start(weight: Any) -> Callable[[Any, Any], tf.Tensor]:
    return lambda _, dtype: tf.cast(tensorflow_variable(weight), dtype)


def _zeros(shape: Any, dtype: Any) -> tf.Tensor:
    return tf.zeros(shape, dtype)
