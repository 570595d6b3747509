"""Power function averages from others: coefficients of snapshots, and how near their sums come.

Source: Karras et al. (EDM2), arXiv 2312.02696, equation 151 and Algorithm 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tf_mavg._decays.profiles import profile

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def coefficients(
    steps: ArrayLike, exponents: ArrayLike, target_step: float, target_exponent: ArrayLike
) -> NDArray[np.float64]:
    """How much of each snapshot an average of another exponent is made of.

    The average of `target_exponent` over `target_step` updates is near the sum of
    coefficient * snapshot. Among all such sums this one has the profile nearest to the average's
    own. What a snapshot itself is has the coefficient 1 for it and 0 for the others.

    Args:
      steps: For each of n snapshots, how many updates its average had: shape [n], above 0.
      exponents: For each snapshot, the exponent of its `PowerFunction`: shape [n], 0 or more.
      target_step: How many updates the average has; one of `steps`. Later snapshots have the
        coefficient 0.
      target_exponent: Its exponent, 0 or more; or several: shape [m].

    Returns:
      Coefficients in float64 whose sum is 1, of shape [n]; or [m, n] for several exponents.

    Raises:
      ValueError: If the shapes do not fit, a value is out of its interval, no snapshot was taken at
        `target_step`, or two snapshots are the same.
    """
    at, of = np.atleast_1d(np.asarray(steps, np.float64)), np.asarray(exponents, np.float64)
    of = np.broadcast_to(of, at.shape) if of.ndim == 0 else of
    wanted = np.asarray(target_exponent, np.float64)
    _check(at, of, target_step, wanted)
    used = np.flatnonzero(at <= target_step)
    at, of = at[used], of[used]
    found = np.zeros([wanted.size, np.size(steps)])
    products = _inner_products(at[:, None], of[:, None], at, of)
    targets = _inner_products(at[:, None], of[:, None], target_step, wanted.reshape(-1))
    solved = np.linalg.solve(products, targets).T
    found[:, used] = solved / solved.sum(axis=1, keepdims=True)
    for row, exponent in zip(found, wanted.reshape(-1), strict=True):
        own = used[(at == target_step) & (of == exponent)]
        if own.size:  # The solution but for rounding.
            row[:] = 0
            row[own] = 1
    return found.reshape(*wanted.shape, -1)


def profile_of_sums(
    coefficients: ArrayLike, steps: ArrayLike, exponents: ArrayLike, at: ArrayLike
) -> NDArray[np.float64]:
    """How much sums of snapshots weigh the values of steps.

    Args:
      coefficients: For each sum a coefficient for each of n snapshots: shape [m, n].
      steps: For each snapshot, how many updates its average had: shape [n].
      exponents: For each snapshot, the exponent of its `PowerFunction`: shape [n].
      at: The steps, of shape [k].

    Returns:
      Densities a step, in float64, of shape [m, k].
    """
    own = profile(np.asarray(at)[None], np.asarray(steps)[:, None], np.asarray(exponents)[:, None])
    return np.asarray(np.asarray(coefficients, np.float64) @ own)


def profile_errors(
    coefficients: ArrayLike,
    steps: ArrayLike,
    exponents: ArrayLike,
    target_step: float,
    target_exponents: ArrayLike,
) -> NDArray[np.float64]:
    """How far the profiles of sums of snapshots are from those of averages.

    Args:
      coefficients: For each of m averages a coefficient for each of n snapshots: shape [m, n].
      steps: For each snapshot, how many updates its average had: shape [n].
      exponents: For each snapshot, the exponent of its `PowerFunction`: shape [n].
      target_step: How many updates the averages have.
      target_exponents: Their exponents: shape [m].

    Returns:
      The norm of the difference of the two profiles, in parts of the norm of the average's; in
      float64, of shape [m]. Below some 1e-8 it is rounding.
    """
    rows, wanted = np.asarray(coefficients, np.float64), np.asarray(target_exponents, np.float64)
    at, of = np.asarray(steps, np.float64), np.asarray(exponents, np.float64)
    sums = rows @ _inner_products(at[:, None], of[:, None], at, of)
    targets = _inner_products(at[:, None], of[:, None], target_step, wanted)
    own = _inner_products(target_step, wanted, target_step, wanted)
    squares = (sums * rows).sum(axis=1) - 2 * (rows * targets.T).sum(axis=1) + own
    return np.asarray(np.sqrt(np.maximum(squares, 0) / own))


def _inner_products(t_a: Any, g_a: Any, t_b: Any, g_b: Any) -> Any:
    """The inner products of profiles of exponents g that end at t (equation 151)."""
    power = np.where(t_a < t_b, g_b, -g_a)
    ratio = (t_a / t_b) ** power
    return (g_a + 1) * (g_b + 1) * ratio / ((g_a + g_b + 1) * np.maximum(t_a, t_b))


def _check(
    steps: NDArray[np.float64],
    exponents: NDArray[np.float64],
    target_step: float,
    targets: NDArray[np.float64],
) -> None:
    if steps.ndim != 1 or exponents.shape != steps.shape or targets.ndim > 1:
        message = (
            "`steps` and `exponents` must have one element a snapshot, and `target_exponent` be a "
            f"number or a list. Received: shapes {list(steps.shape)}, {list(exponents.shape)} and "
            f"{list(targets.shape)}."
        )
        raise ValueError(message)
    if not (np.isfinite(steps).all() and (steps > 0).all()):
        message = f"`steps` must be finite numbers above 0. Received: steps={steps.tolist()}."
        raise ValueError(message)
    for name, values in (("exponents", exponents), ("target_exponent", targets)):
        if not (np.isfinite(values).all() and (values >= 0).all()):
            message = (
                f"`{name}` must be finite numbers, 0 or more. Received: {name}={values.tolist()}."
            )
            raise ValueError(message)
    if target_step not in steps:
        message = (
            "`target_step` must be the step of a snapshot. "
            f"Received: target_step={target_step}, steps={steps.tolist()}."
        )
        raise ValueError(message)
    pairs = list(zip(steps.tolist(), exponents.tolist(), strict=True))
    twice = next((pair for i, pair in enumerate(pairs) if pair in pairs[:i]), None)
    if twice is not None:
        message = f"Each snapshot must be given once. Received twice: step, exponent = {twice}."
        raise ValueError(message)
