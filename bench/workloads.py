"""What is measured: how many variables, of how many elements, and their values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DECAY = 0.999
# An update reads a float32 average and its variable, and writes the average.
UPDATE_BYTES_AN_ELEMENT = 12


@dataclass(frozen=True)
class Workload:
    """Pairs of float32 vectors, average and variable, all of one size."""

    variables: int
    elements: int

    @property
    def name(self) -> str:
        """As tables and plots call it: "1,000 x 64"."""
        return f"{self.variables:,} x {self.elements:,}"

    @property
    def update_bytes(self) -> int:
        """Bytes that no update can do without moving."""
        return UPDATE_BYTES_AN_ELEMENT * self.variables * self.elements

    def values(self, seed: int) -> NDArray[np.float32]:
        """A row of random values for each variable, the same for every contestant."""
        generator = np.random.default_rng(seed)
        return generator.standard_normal((self.variables, self.elements), dtype=np.float32)


MANY_SMALL = Workload(variables=1_000, elements=64)
MANY_LARGE = Workload(variables=400, elements=65_536)
