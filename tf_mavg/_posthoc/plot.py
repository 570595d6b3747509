"""Draws profiles: those of the averages asked for, and those of what snapshots make of them.

matplotlib, an extra, is imported when something is drawn. Neither its backend nor its current
figure is touched, so that a program which draws too finds them as it left them.
"""

from __future__ import annotations

import importlib.util
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tf_mavg._decays.profiles import profile
from tf_mavg._publishing import beside

if TYPE_CHECKING:
    from pathlib import Path

    from tf_mavg._posthoc.recipe import Recipe

# The formats, each with what keeps the time and the place of the drawing out of its files.
_METADATA: Final = {
    ".png": {"Software": None},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}
# Of Okabe and Ito's palette, which those who see fewer colours can tell apart too.
_COLOURS: Final = {"wanted": "#E69F00", "made": "#0072B2", "snapshots": "#999999"}
_COLUMNS: Final = 3
_POINTS: Final = 1000  # Of each curve; a panel has fewer pixels.


def check_can_plot(path: Path) -> None:
    """Says what stands in the way of a plot, before anything is written.

    Raises:
      IsADirectoryError: If the path is a folder.
      ModuleNotFoundError: If matplotlib is not installed.
      ValueError: If the suffix is of no format.
    """
    if path.suffix not in _METADATA:
        message = f"The plot must be one of {', '.join(_METADATA)}. Received: {path}."
        raise ValueError(message)
    if path.is_dir():
        message = f"The plot must be a file. Received: {path}, a folder; choose another name."
        raise IsADirectoryError(message)
    if importlib.util.find_spec("matplotlib") is None:
        message = "A plot needs matplotlib, which is not installed: pip install 'tf_mavg[plots]'."
        raise ModuleNotFoundError(message, name="matplotlib")


def draw(recipe: Recipe, path: Path) -> None:
    """Saves a panel for each width, with both profiles and where the snapshots are.

    A file that is there is replaced. Raises what `check_can_plot` does.
    """
    check_can_plot(path)
    import matplotlib as mpl  # noqa: PLC0415 - an extra.
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra.

    columns = min(_COLUMNS, len(recipe.widths))
    rows = math.ceil(len(recipe.widths) / columns)
    # Nothing in the files depends on when or where they are made.
    with mpl.rc_context({"svg.hashsalt": path.name}), beside(path) as folder:
        figure = Figure(figsize=(1 + 3.6 * columns, 1 + 2.6 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False)
        for axes in panels.flat[len(recipe.widths) :]:
            axes.set_visible(False)
        for i in range(len(recipe.widths)):
            _draw_panel(panels.flat[i], recipe, i)
        labels = panels.flat[0].get_legend_handles_labels()
        figure.legend(*labels, loc="outside upper center", ncols=columns)
        figure.supxlabel("step")
        figure.supylabel("weight of a step")
        figure.savefig(folder / path.name, dpi=120, metadata=_METADATA[path.suffix])
        (folder / path.name).replace(path)


def _draw_panel(axes: Any, recipe: Recipe, i: int) -> None:
    """The profiles of the width at an index."""
    at = np.linspace(0, recipe.step, _POINTS)
    wanted = profile(at, recipe.step, recipe.exponents[i])
    axes.plot(at, wanted, color=_COLOURS["wanted"], linewidth=5, label="the average asked for")
    axes.plot(
        at, recipe.profiles(at)[i], color=_COLOURS["made"], label="what the snapshots make of it"
    )
    marks = sorted(set(recipe.steps))
    axes.plot(
        marks,
        [0] * len(marks),
        linestyle="none",
        marker="|",
        color=_COLOURS["snapshots"],
        transform=axes.get_xaxis_transform(),
        label="steps of snapshots",
    )
    axes.set_title(f"width {recipe.widths[i]:g}: {100 * recipe.errors()[i]:.2g} % off")
    axes.spines[["top", "right"]].set_visible(False)
