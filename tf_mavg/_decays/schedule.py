"""What all schedules of decays have in common.

A schedule gives the logarithm of its decay, and the rest follows: its rate is -expm1 of it, and a
product of decays a sum. Schedules that know rate, decay or product in fewer operations say so.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import numpy as np

from tf_mavg._decays.functions import evaluated
from tf_mavg._decays.numbers import positive

if TYPE_CHECKING:
    from tf_mavg._decays.functions import Functions


class Decay:
    """A schedule of decays: says at which decay the n-th update of an average is made.

    Where a method takes `n`, the count of the update from 1, that is a number, an array or a tensor
    of any shape and real dtype; it need not be whole. Numbers give a NumPy scalar, arrays an array
    and tensors a tensor, of the same shape and float64. Tensors may be those of a tf.function, with
    or without XLA. Numbers and arrays below 1 are refused; the values of tensors are not checked.
    """

    # The classes by name, for schedules within the configurations of others.
    _classes: ClassVar[dict[str, type[Decay]]] = {}

    _arguments: dict[str, Any]

    def __init_subclass__(cls) -> None:
        """Notes the name of a schedule."""
        Decay._classes[cls.__name__] = cls

    def __init__(self, **arguments: Any) -> None:
        """Keeps the arguments of a schedule, checked and hashable, in the order of its own."""
        self._note(_arguments=arguments)

    def rate(self, n: Any) -> Any:
        """The rate of the n-th update, 1 - decay, in [0, 1]; to all digits near 0.

        Raises:
          ValueError: If a number or array `n` is below 1.
        """
        return evaluated(self._rate, n)

    def decay(self, n: Any) -> Any:
        """The decay of the n-th update, in [0, 1].

        Raises:
          ValueError: If a number or array `n` is below 1.
        """
        return evaluated(self._decay, n)

    def product_rate(self, n: Any, steps: int) -> Any:
        """The rate of one update in place of several: 1 - the product of their decays.

        Args:
          n: The count of the last of the updates.
          steps: How many there are: those of the counts n - steps + 1 to n.

        Raises:
          ValueError: If `steps` is below 1, or a number or array `n` below `steps`.
        """
        steps = operator.index(steps)
        if steps < 1:
            message = f"`steps` must be 1 or more. Received: steps={steps}."
            raise ValueError(message)
        if steps == 1:
            return self.rate(n)  # To the bit.
        return evaluated(
            lambda last, do: -do.expm1(self._log_product(last, steps, do)), n, at_least=steps
        )

    def for_batch(self, factor: float) -> Decay:
        """The schedule for batches that are `factor` times as large: decay^factor at each update.

        So a constant decay, or a half-life in steps, forgets as many examples as before. Schedules
        that are relative to the length of the run, `PowerFunction`, `Uniform` and
        `HalfLife(fraction=...)`, give the same average of the run at every batch size: leave them
        as they are. Source: Busbridge et al., "How to Scale Your EMA", arXiv 2307.13813.

        Args:
          factor: Above 0; below 1 for smaller batches.

        Raises:
          ValueError: If `factor` is not a finite number above 0.
        """
        factor = positive("factor", factor)
        return self if factor == 1 else ForBatch(self, factor)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this schedule again: numbers, strings and dictionaries."""
        return dict(self._arguments)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Decay:
        """Makes the schedule from what `get_config` returned."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        """Whether the other one is of the same class and arguments."""
        if not isinstance(other, Decay):
            return NotImplemented
        return type(self) is type(other) and self._arguments == other._arguments

    def __hash__(self) -> int:
        """As `__eq__`."""
        return hash((type(self), *self._arguments.items()))

    def __repr__(self) -> str:
        """The call that makes this schedule again."""
        given = ", ".join(f"{name}={value!r}" for name, value in self._arguments.items())
        return f"{type(self).__name__}({given})"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Refuses every change: others may share the schedule, and traced steps have read it."""
        message = f"A schedule cannot be changed; make another one. Received: {name}={value!r}."
        raise AttributeError(message)

    def _note(self, **attributes: Any) -> None:
        """Sets attributes while the schedule is made."""
        vars(self).update(attributes)

    # The formulas. Each takes counts in float64, and the functions of NumPy or TensorFlow.

    def _log_decay(self, n: Any, do: Functions) -> Any:
        """The logarithm of the decay; -inf for a decay of 0."""
        raise NotImplementedError

    def _rate(self, n: Any, do: Functions) -> Any:
        return -do.expm1(self._log_decay(n, do))

    def _decay(self, n: Any, do: Functions) -> Any:
        return do.exp(self._log_decay(n, do))

    def _log_product(self, last: Any, steps: int, do: Functions) -> Any:
        """The logarithm of the product of the decays of some counts up to the last."""
        return do.sum(self._log_decay(last[..., None] - np.arange(float(steps)), do), -1)


class ForBatch(Decay):
    """What `for_batch` returns: the decays of a schedule to the power of a factor."""

    def __init__(self, schedule: Decay, factor: float) -> None:
        """Makes the schedule of another one, and of a factor above 0."""
        super().__init__(schedule=schedule, factor=positive("factor", factor))

    def for_batch(self, factor: float) -> Decay:
        """As that of every schedule."""
        schedule, before = self._arguments.values()
        return schedule.for_batch(before * positive("factor", factor))  # type: ignore[no-any-return]

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this schedule again."""
        schedule, factor = self._arguments.values()
        inner = {"class_name": type(schedule).__name__, "config": schedule.get_config()}
        return {"schedule": inner, "factor": factor}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Decay:
        """Makes the schedule from what `get_config` returned.

        Raises:
          ValueError: If it is made of a schedule of a class that is unknown here.
        """
        inner = config["schedule"]
        if inner["class_name"] not in cls._classes:
            message = (
                f"The schedule must be one of {sorted(cls._classes)}. "
                f"Received: {inner['class_name']!r}; import the module that defines it."
            )
            raise ValueError(message)
        schedule = cls._classes[inner["class_name"]].from_config(inner["config"])
        return cls(schedule, config["factor"])

    def __repr__(self) -> str:
        """The call that makes this schedule again."""
        schedule, factor = self._arguments.values()
        return f"{schedule!r}.for_batch({factor!r})"

    def _log_decay(self, n: Any, do: Functions) -> Any:
        schedule, factor = self._arguments.values()
        return factor * schedule._log_decay(n, do)  # noqa: SLF001 - of its own base class.

    def _decay(self, n: Any, do: Functions) -> Any:
        schedule, factor = self._arguments.values()
        return schedule._decay(n, do) ** factor  # noqa: SLF001 - as above.

    def _log_product(self, last: Any, steps: int, do: Functions) -> Any:
        schedule, factor = self._arguments.values()
        return factor * schedule._log_product(last, steps, do)  # noqa: SLF001 - as above.
