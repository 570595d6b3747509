"""What is measured: shapes and dtypes of variables and averages, and their values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import ml_dtypes  # noqa: F401 - teaches NumPy the name bfloat16.
import numpy as np

from . import models
from .names import COLD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from .models import Shape

DECAY: Final = 0.999
AVERAGES, VARIABLES = "averages", "variables"
SEEDS: Final = {AVERAGES: 0, VARIABLES: 1}
# Distinct random values; larger variables repeat them.
DISTINCT_VALUES: Final = 2**20
START_STRIDE: Final = 1024


@dataclass(frozen=True)
class Dtypes:
    """What averages and variables are stored in, by NumPy's names."""

    averages: str
    variables: str

    @property
    def name(self) -> str:
        """As tables call it: "float32", or "bfloat16 in float32"."""
        alike = self.averages == self.variables
        return self.variables if alike else f"{self.variables} in {self.averages}"

    @property
    def alike(self) -> bool:
        """Whether averages have the dtype of their variables."""
        return self.averages == self.variables

    def bytes_of(self, role: str) -> int:
        """Bytes an element of the averages or of the variables."""
        return np.dtype(getattr(self, role)).itemsize


FLOAT32: Final = Dtypes("float32", "float32")
FLOAT16: Final = Dtypes("float16", "float16")
BFLOAT16: Final = Dtypes("bfloat16", "bfloat16")
MIXED: Final = Dtypes("float32", "bfloat16")


@dataclass(frozen=True)
class Workload:
    """A list of variables.

    Attributes:
      name: As tables and plots call it.
      shapes_of: Makes the variables' shapes; some ask Keras and take seconds.
      field: How many contestants are measured on it, see `updates` and `swaps`.
    """

    name: str
    shapes_of: Callable[[], tuple[Shape, ...]]
    field: int

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """The variables' shapes."""
        return self.shapes_of()


# The fields of contestants, each part of the next. The first shares one copy of the variables.
ALONE, LEADERS, PEERS, EVERYONE = range(4)


def vectors(count: int, elements: int) -> tuple[Shape, ...]:
    """Shapes of vectors of one size."""
    return ((elements,),) * count


def same_size(variables: int, elements: int, field: int) -> Workload:
    """So many vectors of one size."""
    return Workload(f"{variables:,} x {elements:,}", partial(vectors, variables, elements), field)


MANY_SMALL: Final = same_size(1_000, 64, EVERYONE)
MANY_LARGE: Final = same_size(400, 65_536, EVERYONE)
MODEST: Final = same_size(400, 64, PEERS)
RESNET: Final = Workload("ResNet-50", models.resnet_50, PEERS)
MOBILENET: Final = Workload("MobileNetV3", models.mobilenet_v3, PEERS)
BERT: Final = Workload("BERT-large", models.bert_large, LEADERS)
GPT_LAYERS: Final = 12  # Of 48: variables and averages then take 2.7 GB.
GPT: Final = Workload(
    f"GPT-2 XL, {GPT_LAYERS} of 48 layers", partial(models.gpt2_xl, GPT_LAYERS), LEADERS
)
SMALLEST: Final = same_size(2, 3, EVERYONE)  # To warm up, and to test.
# An index of 32 bits does not reach the last element. Takes 13 GB to make, so only on request.
HUGE: Final = same_size(1, 2**31 + 1, ALONE)


@dataclass(frozen=True)
class Case:
    """Averages and variables of a workload in some dtypes.

    Attributes:
      workload: The variables.
      dtypes: What they and their averages are stored in.
      decay: Of the first average of each variable.
      averages: How many averages each variable has.
      cold: Whether each step finds empty caches; otherwise what the step before it left there.
    """

    workload: Workload
    dtypes: Dtypes = FLOAT32
    decay: float = DECAY
    averages: int = 1
    cold: bool = False

    @property
    def name(self) -> str:
        """As tables and plots call it."""
        return f"{self.workload.name} {self.dtypes.name}{self.condition and f', {self.condition}'}"

    @property
    def condition(self) -> str:
        """What is unlike the plain case: "cold caches", "2 averages each", or nothing."""
        if self.cold:
            return COLD
        return f"{self.averages} averages each" if self.averages > 1 else ""

    @property
    def decays(self) -> list[float]:
        """The decay of each average of a variable: all differ."""
        return [self.decay ** (i + 1) for i in range(self.averages)]

    @property
    def elements(self) -> int:
        """Elements of all variables."""
        return sum(map(math.prod, self.workload.shapes))

    @property
    def variable_bytes(self) -> int:
        """Bytes of all variables."""
        return self.elements * self.dtypes.bytes_of(VARIABLES)

    @property
    def average_bytes(self) -> int:
        """Bytes of all averages."""
        return self.averages * self.elements * self.dtypes.bytes_of(AVERAGES)

    @property
    def stored_bytes(self) -> int:
        """Bytes of all variables and averages."""
        return self.variable_bytes + self.average_bytes

    @property
    def update_bytes(self) -> int:
        """Bytes that no update can do without moving: averages are read and written."""
        return self.stored_bytes + self.average_bytes

    def values(self, role: str) -> Iterator[NDArray[Any]]:
        """An array for each of the averages or of the variables, the same for every contestant."""
        generator = np.random.default_rng(SEEDS[role])
        block = generator.standard_normal(DISTINCT_VALUES + START_STRIDE, dtype=np.float32)
        block = block.astype(getattr(self.dtypes, role))
        for i, shape in enumerate(self.workload.shapes):
            size = math.prod(shape)
            start = i * 64 % START_STRIDE
            short = size <= DISTINCT_VALUES
            flat = block[start : start + size].copy() if short else np.resize(block[start:], size)
            yield flat.reshape(shape)
