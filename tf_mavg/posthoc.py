"""Averages chosen after training: made of snapshots of power function averages.

Train with averages of two widths, keep snapshots of them, and make the average of any other width
afterwards, instead of training once for each width.

average = tf_mavg.ExponentialMovingAverage([PowerFunction(0.05), PowerFunction(0.10)])
snapshots = tf_mavg.posthoc.Snapshots("snapshots", average, checkpoint.write)
...
snapshots.save()  # Every so many steps; some twenty times in a run.
...
tf_mavg.posthoc.reconstruct("snapshots", "chosen", sigma_rel=0.15)

Source: Karras et al. (EDM2), arXiv 2312.02696.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tf_mavg._decays.profiles import exponent_of, sigma_rel_of
from tf_mavg._decays.reconstruction import coefficients
from tf_mavg._files.merging import merge_files
from tf_mavg._posthoc.listing import read_list
from tf_mavg._posthoc.session_hook import SnapshotSaverHook
from tf_mavg._posthoc.snapshots import Snapshots

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Sequence

__all__ = [
    "SnapshotSaverHook",
    "Snapshots",
    "coefficients",
    "exponent_of",
    "reconstruct",
    "sigma_rel_of",
]


def reconstruct(
    directory: str | os.PathLike[str],
    output: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    sigma_rel: float | Sequence[float],
    step: int | None = None,
    *,
    progress: Callable[[list[str]], Iterable[str]] = iter,
) -> None:
    """Writes the average of another width, made of the snapshots of a folder.

    It is written as `merge_checkpoints` does, with sums in float32: a value at a time, whole or not
    at all, with what is not a floating-point number from a snapshot of `step`. The width of a
    snapshot of that step gives that snapshot to the bit.

    Args:
      directory: The folder of `Snapshots`.
      output: Where to write: a file of the snapshots' format, which must not exist; or several.
      sigma_rel: The relative width of the average, in (0, 0.288675]; or one for each output, all
        made in one pass over the snapshots.
      step: How many updates the average has: one of the snapshots'; by default the last.
      progress: Called with the keys to go through; returns what to iterate over. For progress bars.

    Raises:
      FileExistsError: If an output exists.
      FileNotFoundError: If the folder has no snapshots.
      ValueError: If no snapshot is of that step, or there are not as many outputs as widths.
    """
    widths, outputs = _listed(sigma_rel), [Path(one) for one in _listed(output)]
    if len(set(outputs)) != len(widths):
        message = (
            f"There must be an output for each width. Received: {[*map(str, outputs)]} for "
            f"sigma_rel={sigma_rel}."
        )
        raise ValueError(message)
    snapshots = read_list(Path(directory))
    if not snapshots:
        message = f"The folder must have snapshots, of Snapshots. Received: {directory}, without."
        raise FileNotFoundError(message)
    last = snapshots[-1].step if step is None else step
    used = [one for one in snapshots if one.step <= last]
    targets = [exponent_of(width) for width in widths]
    steps, exponents = [one.step for one in used] or [0], [one.exponent for one in used] or [0.0]
    rows = coefficients(steps, exponents, last, targets)
    merge_files(
        [Path(directory) / one.file for one in used],
        dict(zip(outputs, rows.tolist(), strict=True)),
        "float32",
        progress,
    )


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
