"""Weighted averages of checkpoints: of files, without the model that wrote them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tf_mavg._files.merging import merge_files

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["coefficients", "merge_checkpoints"]

# The share of the gradient of step i of n that a merge keeps, by i / n.
_SHARES: Final[dict[str, Callable[[float], float]]] = {
    "uniform": lambda x: 1 - x,
    "minus-sqrt": lambda x: 1 - math.sqrt(x),
    "cosine": lambda x: (1 + math.cos(math.pi * x)) / 2,
}

# How far the sum of explicit weights may be from 1: they may be written with a few digits.
_SUM_TOLERANCE: Final = 1e-6


def coefficients(weights: str | Sequence[float], count: int) -> list[float]:
    """The coefficient of each of several checkpoints, oldest first.

    A merge of checkpoints equals training with gradients that are scaled down towards the end: the
    gradient of step i of n keeps the share f(i / n). "uniform" is f(x) = 1 - x, which gives each
    checkpoint the same coefficient; "minus-sqrt" 1 - sqrt(x); "cosine" (1 + cos(pi x)) / 2. So the
    last checkpoint has the coefficient f((n - 1) / n), one before it the difference of its share
    to the next one's.

    Source: "WSM: Decay-Free Learning Rate Schedule via Checkpoint Merging", arXiv 2507.17634.

    Args:
      weights: "uniform", "minus-sqrt" or "cosine"; or the coefficients themselves, whose sum is 1.
      count: How many checkpoints there are.

    Returns:
      The coefficients.

    Raises:
      ValueError: If there are none, or `weights` is neither a name nor `count` finite numbers of
        sum 1.
    """
    if count < 1:
        message = "There must be a checkpoint to merge. Received: none."
        raise ValueError(message)
    if not isinstance(weights, str):
        return _checked(weights, count)
    if weights not in _SHARES:
        message = f"`weights` must be numbers or one of {[*_SHARES]}. Received: {weights!r}."
        raise ValueError(message)
    shares = [_SHARES[weights](i / count) for i in range(count)]
    return [share - later for share, later in zip(shares, [*shares[1:], 0.0], strict=True)]


def merge_checkpoints(
    paths: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    weights: str | Sequence[float] = "uniform",
    *,
    compute_dtype: str = "float32",
    progress: Callable[[list[str]], Iterable[str]] = iter,
) -> None:
    """Writes the weighted average of checkpoints as another one, which loads as each of them.

    Every floating-point value is averaged, those of an optimizer too, split averages as the float32
    that they are. Everything else, such as counts of steps, is that of the last input. A value is
    read, summed and written at a time:
    memory is needed for about two of the largest. The output appears whole or not at all, and tells
    under the key `tf_mavg/merged`, as JSON, what it was made of.

    Args:
      paths: TensorFlow checkpoints, by their prefixes, or .keras or .weights.h5 files; the oldest
        first.
      output: Where to write: a file of the same format, which must not exist.
      weights: A name or coefficients; see `coefficients`.
      compute_dtype: "float32", or "float64" for twice the memory: what values are multiplied and
        summed in, in the order of `paths`, before they are rounded to their own dtype. float64
        values are summed in float64 at any rate.
      progress: Called with the keys to go through; returns what to iterate over. For progress bars.

    Raises:
      FileExistsError: If the output exists.
      FileNotFoundError: If an input does not.
      ValueError: If the inputs are not of one format, with the same keys, shapes and dtypes; the
        averages in some of them, but not in others, stand in the place of the weights; or one is
        damaged.
    """
    shares = coefficients(weights, len(paths))
    merge_files([Path(path) for path in paths], {Path(output): shares}, compute_dtype, progress)


def _checked(weights: Sequence[float], count: int) -> list[float]:
    numbers = [float(weight) for weight in weights]
    if len(numbers) != count or not math.isfinite(sum(numbers)):
        message = f"`weights` must be {count} finite numbers. Received: weights={numbers}."
        raise ValueError(message)
    if abs(math.fsum(numbers) - 1) > _SUM_TOLERANCE:
        message = (
            "`weights` must have the sum 1, or the model's weights would be scaled. Received: "
            f"{numbers}, whose sum is {math.fsum(numbers):g}; divide them by it."
        )
        raise ValueError(message)
    return numbers
