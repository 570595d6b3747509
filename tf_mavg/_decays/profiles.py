"""Power function averages: from the width of a profile to its exponent, and back.

The average of a run of length T weighs the value at time s by (exponent + 1) s^exponent /
T^(exponent + 1). Its relative width `sigma_rel` is the standard deviation of s under these weights,
divided by T. Source: Karras et al., "Analyzing and Improving the Training Dynamics of Diffusion
Models" (EDM2), arXiv 2312.02696, equations 121 to 126.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tf_mavg._decays.numbers import not_negative, positive

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

# The width of the uniform average, of exponent 0; weights that grow are narrower.
WIDEST: Final = 12**-0.5


def sigma_rel_of(exponent: float) -> float:
    """The relative width of the profile of an exponent (EDM2, equation 123).

    Raises:
      ValueError: If the exponent is not 0 or more, and finite.
    """
    g = not_negative("exponent", exponent)
    return math.sqrt((g + 1) / ((g + 2) ** 2 * (g + 3)))


def exponent_of(sigma_rel: float) -> float:
    """The exponent of the profile of a relative width (EDM2, equation 126).

    Args:
      sigma_rel: Above 0, and at most 12^-0.5 = 0.288675..., the width of the uniform average.

    Raises:
      ValueError: If there is no such profile.
    """
    sigma = positive("sigma_rel", sigma_rel)
    if sigma > WIDEST:
        message = (
            "`sigma_rel` must be at most 12^-0.5 = 0.288675, the width of the uniform average. "
            f"Received: sigma_rel={sigma_rel!r}."
        )
        raise ValueError(message)
    x = sigma**-2
    largest = max(np.roots([1.0, 7.0, 16.0 - x, 12.0 - x]).real)
    return max(float(largest), 0.0)  # Rounding may leave the uniform average's below 0.


def profile(at: ArrayLike, end: ArrayLike, exponent: ArrayLike) -> Any:
    """How much an average weighs the values of steps: a density of steps (EDM2, equation 121).

    Args:
      at: The steps, 0 or more.
      end: How many updates the average has, above 0; later steps weigh nothing.
      exponent: Of the profile, 0 or more. All three are broadcast against each other.

    Returns:
      Densities a step, in float64. Their integral from 0 to `end` is 1.
    """
    t, last, g = (np.asarray(one, np.float64) for one in (at, end, exponent))
    return np.where(t <= last, (g + 1) / last * np.minimum(t / last, 1) ** g, 0.0)
