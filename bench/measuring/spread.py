"""Medians with what is known of them, by SciPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIDENCE: Final = 0.95
RESAMPLES: Final = 2000


def median_with_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The median, and the ends of its bootstrapped 95 % confidence interval."""
    median = float(np.median(values))
    if np.ptp(values) == 0:  # Nothing to resample, which SciPy warns of.
        return median, median, median
    found = stats.bootstrap(
        (np.asarray(values),),
        np.median,
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(seed=0),
    )
    low, high = map(float, found.confidence_interval)
    return median, low, high


def summary(seconds: Sequence[float]) -> dict[str, float | int]:
    """What the JSON keeps of the turns of a contestant: seconds a call."""
    median, low, high = median_with_interval(seconds)
    first, third = np.percentile(seconds, [25, 75])
    return {
        "turns": len(seconds),
        "median_s": median,
        "low_s": low,
        "high_s": high,
        "first_quartile_s": float(first),
        "third_quartile_s": float(third),
    }
