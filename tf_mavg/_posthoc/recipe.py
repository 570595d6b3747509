"""What averages of other widths are made of: which snapshots of a folder, and how much of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tf_mavg._decays.profiles import exponent_of
from tf_mavg._decays.reconstruction import coefficients, profile_errors, profile_of_sums
from tf_mavg._posthoc.listing import read_list

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from tf_mavg._posthoc.listing import Snapshot


@dataclass(frozen=True)
class Recipe:
    """What averages of m widths are made of.

    Attributes:
      snapshots: The n snapshots, by step.
      step: How many updates the averages have.
      widths: Their relative widths.
      exponents: Their exponents.
      coefficients: How much of each snapshot they are made of, in float64: shape [m, n].
    """

    snapshots: Sequence[Snapshot]
    step: int
    widths: Sequence[float]
    exponents: Sequence[float]
    coefficients: NDArray[np.float64]

    @property
    def steps(self) -> list[int]:
        """How many updates each snapshot had."""
        return [one.step for one in self.snapshots]

    def profiles(self, at: ArrayLike) -> NDArray[np.float64]:
        """The profiles of the sums at k steps, as densities a step: shape [m, k]."""
        return profile_of_sums(self.coefficients, self.steps, self._exponents_of_snapshots(), at)

    def errors(self) -> NDArray[np.float64]:
        """How far the profiles of the sums are from those of the averages, in parts: shape [m]."""
        return profile_errors(
            self.coefficients,
            self.steps,
            self._exponents_of_snapshots(),
            self.step,
            self.exponents,
        )

    def _exponents_of_snapshots(self) -> list[float]:
        return [one.exponent for one in self.snapshots]


def recipe_of(directory: Path, widths: Sequence[float], step: int | None) -> Recipe:
    """What the averages of some widths are made of.

    Args:
      directory: The folder of `Snapshots`.
      widths: Relative widths.
      step: How many updates the averages have; by default as many as the last snapshot.

    Raises:
      FileNotFoundError: If the folder has no snapshots.
      ValueError: If there is no such width, or no snapshot is of that step.
    """
    listed = read_list(directory)
    if not listed:
        message = f"The folder must have snapshots, of Snapshots. Received: {directory}, without."
        raise FileNotFoundError(message)
    last = listed[-1].step if step is None else step
    targets = [exponent_of(width) for width in widths]
    rows = coefficients([s.step for s in listed], [s.exponent for s in listed], last, targets)
    used = [i for i, one in enumerate(listed) if one.step <= last]
    return Recipe([listed[i] for i in used], last, widths, targets, rows[:, used])
