"""What a contestant is, and what makes one: the variables it works on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import tensorflow as tf

from .. import device
from ..names import OURS, SESSION
from ..workloads import AVERAGES, MIXED, VARIABLES, Case

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

T = TypeVar("T")

# No cache holds as much, so contestants may share it without finding what another one left.
SHARED_BYTES: Final = 2**30
HALF_BYTES: Final = 2


@dataclass(frozen=True)
class Contestant:
    """One way to update averages or to swap them with their variables, ready to be timed.

    Attributes:
      step: Does all the work once.
      read: Reads the averages or the variables, an array for each.
      wait: Returns when a device has done what the steps asked it for.
    """

    step: Callable[[], object]
    read: Callable[[str], list[NDArray[Any]]]
    wait: Callable[[], None] = device.wait


@dataclass(frozen=True)
class Entrant:
    """A contestant by name, and where it takes part.

    Attributes:
      name: Whose code does the work.
      runner: What calls that code: "eager", "tf.function", "Session", "torch", "C++"...
      make: Makes the contestant, at most once in a `Ground`.
      field: The smallest field of contestants that it belongs to, see `workloads`.
      mixed: Whether averages may have another dtype than the variables.
      float32_only: Whether it is measured in float32 only.
      mixed_only: Whether it is measured with float32 averages of bfloat16 variables only.
      half_only: Whether it is measured where averages are of half precision only.
      on_gpu: Whether its variables can be on a GPU.
    """

    name: str
    runner: str
    make: Callable[[Ground], Contestant]
    field: int
    mixed: bool = False
    float32_only: bool = False
    mixed_only: bool = False
    half_only: bool = False
    on_gpu: bool = True

    @property
    def ours(self) -> bool:
        """Whether tf_mavg does the work."""
        return self.name.startswith(OURS)

    @property
    def label(self) -> str:
        """Name and runner."""
        return f"{self.name} ({self.runner})"

    def takes_part(self, case: Case) -> bool:
        """Whether it is measured there."""
        return (
            self.field <= case.workload.field
            and (self.mixed or case.dtypes.alike)
            and (not self.float32_only or case.dtypes.name == "float32")
            and (not self.mixed_only or case.dtypes == MIXED)
            and (not self.half_only or case.dtypes.bytes_of(AVERAGES) == HALF_BYTES)
            and not (case.cold and self.runner == SESSION)  # Its graph takes longer than the rest.
            and (self.on_gpu or not device.has_gpu())
        )


class Ground:
    """Where the contestants of a case meet: it makes what each works on.

    Every contestant gets variables of its own, so none finds them in a cache where the one before
    left them. Where they are too large for any cache, contestants share them; and those of tf_mavg
    that are compared with each other share them everywhere, see `once`.

    Averages start at the case's values for averages, variables at those for variables.
    """

    def __init__(self, case: Case, stack: contextlib.ExitStack) -> None:
        """Makes nothing yet; what contestants hold open is closed with `stack`."""
        self.case = case
        self.stack = stack
        self._kept: dict[tuple[str, str], list[Any]] = {}
        self._once: dict[Callable[[Ground], Any], Any] = {}

    def once(self, make: Callable[[Ground], T]) -> T:
        """What `make` gives for this ground; made by the first contestant that asks for it.

        For contestants that differ in little code: where a thousand small variables happen to lie
        in memory makes more of a difference than that. Sharing helps none of them. A turn begins
        with a call that does not count, which finds what the one before has left, or with empty
        caches; the calls that count find what that call left.
        """
        if make not in self._once:
            self._once[make] = make(self)
        return self._once[make]  # type: ignore[no-any-return]  # What `make` gives.

    def variables(self, role: str) -> list[tf.Variable]:
        """Variables outside any graph, on the device of the run."""
        return self._shared("tensorflow", role, self._make_variables)

    def lists_of_averages(self) -> list[list[tf.Variable]]:
        """As many lists of averages as the case has of each variable; never shared."""
        return [self._make_variables(AVERAGES) for _ in self.case.decays]

    def set_averages(self, averages: Sequence[Any]) -> None:
        """Gives averages that a contestant has made itself the case's values."""
        for average, value in zip(averages, self.case.values(AVERAGES), strict=True):
            average.assign(value)

    def one_array(self, role: str) -> NDArray[Any]:
        """All values in one array; NumPy asks Linux for huge pages for a large one."""
        (array,) = self._shared("one array", role, self._make_one_array)
        return array

    def divided(self, array: NDArray[Any]) -> list[NDArray[Any]]:
        """One array as an array for each variable."""
        shapes = self.case.workload.shapes
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        parts = np.split(array, ends[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]

    def _make_variables(self, role: str) -> list[tf.Variable]:
        with tf.device(device.name()):
            return [tf.Variable(value) for value in self.case.values(role)]

    def _make_one_array(self, role: str) -> list[NDArray[Any]]:
        array = np.empty(self.case.elements, getattr(self.case.dtypes, role))
        for part, value in zip(self.divided(array), self.case.values(role), strict=True):
            part[...] = value
        return [array]

    def _shared(self, kind: str, role: str, make: Callable[[str], list[Any]]) -> list[Any]:
        if self.case.stored_bytes < SHARED_BYTES:
            return make(role)
        if (kind, role) not in self._kept:
            self._kept[kind, role] = make(role)
        return self._kept[kind, role]


def outside_graphs(
    step: Callable[[], object],
    averages: Sequence[tf.Variable],
    variables: Sequence[tf.Variable],
) -> Contestant:
    """A contestant whose variables live outside any graph."""
    lists = {AVERAGES: averages, VARIABLES: variables}
    return Contestant(step, lambda role: [variable.numpy() for variable in lists[role]])
