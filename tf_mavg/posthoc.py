"""Averages chosen after training: made of snapshots of power function averages.

Train with averages of two widths, keep snapshots of them, and make the average of any other width
afterwards, instead of training once for each width.

Source: Karras et al. (EDM2), arXiv 2312.02696.
"""

from __future__ import annotations

from tf_mavg._decays.profiles import exponent_of, sigma_rel_of
from tf_mavg._decays.reconstruction import coefficients

__all__ = ["coefficients", "exponent_of", "sigma_rel_of"]
