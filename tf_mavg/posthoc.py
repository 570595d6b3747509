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
from tf_mavg._posthoc.plot import draw
from tf_mavg._posthoc.recipe import recipe_of
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
    "plot_profiles",
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
      ValueError: If there is no such width, no snapshot is of that step, there are not as many
        outputs as widths, or the list or a snapshot is damaged.
    """
    widths, outputs = _listed(sigma_rel), [Path(one) for one in _listed(output)]
    if len(set(outputs)) != len(widths):
        message = (
            f"There must be an output for each width. Received: {[*map(str, outputs)]} for "
            f"sigma_rel={sigma_rel}."
        )
        raise ValueError(message)
    made = recipe_of(Path(directory), widths, step)
    merge_files(
        [Path(directory) / one.file for one in made.snapshots],
        dict(zip(outputs, made.coefficients.tolist(), strict=True)),
        "float32",
        progress,
    )


def plot_profiles(
    directory: str | os.PathLike[str],
    path: str | os.PathLike[str],
    sigma_rel: float | Sequence[float],
    step: int | None = None,
) -> None:
    """Draws how near the snapshots of a folder come to averages of other widths.

    For each width there is a panel with two curves: how much the average asked for weighs the
    weights of each step, and how much what `reconstruct` makes of the snapshots weighs them. Its
    title has the norm of their difference, in percent of the norm of the first. The files of the
    snapshots are not read. Needs matplotlib: `pip install 'tf_mavg[plots]'`.

    Args:
      directory: The folder of `Snapshots`.
      path: Where to save the plot: a .png, .svg or .pdf file, which is replaced if it exists.
      sigma_rel: Relative widths in (0, 0.288675]: one, or several.
      step: How many updates the averages have: one of the snapshots'; by default the last.

    Raises:
      FileNotFoundError: If the folder has no snapshots.
      IsADirectoryError: If `path` is a folder.
      ModuleNotFoundError: If matplotlib is not installed.
      ValueError: If the suffix is none of these, or there is no such width, or no snapshot is of
        that step.
    """
    widths = _listed(sigma_rel)
    if not widths:
        message = f"There must be a width to plot. Received: sigma_rel={sigma_rel}."
        raise ValueError(message)
    draw(recipe_of(Path(directory), widths, step), Path(path))


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
