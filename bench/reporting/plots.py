"""Plots of results, from their JSON alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl

mpl.use("Agg")  # Plots are saved, not shown, so no display is needed.
from matplotlib import pyplot as plt

from .figures import Entry, label, readable, title

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

# Of Okabe and Ito's palette, which those who see fewer colours can tell apart too.
COLOURS: Final = {"ours": "#0072B2", "peer": "#E69F00", "limit": "#999999"}
# The panels, as far as they were measured.
PANELS: Final = (
    ("update", "1,000 x 64 float32"),
    ("update", "400 x 65,536 float32"),
    ("update", "400 x 65,536 bfloat16"),
    ("swap", "BERT-large float32"),
)
COLUMNS: Final = 2


def plot(results: dict[str, Any], folder: Path, name: str) -> list[Path]:
    """Saves times as bars, as NAME.png and NAME.svg.

    Returns:
      The two paths; none if nothing that is plotted was measured.
    """
    by_panel = {(e["operation"], title(e)): e for e in results["steps"]}
    entries = [by_panel[panel] for panel in PANELS if panel in by_panel]
    if not entries:
        return []
    columns = min(COLUMNS, len(entries))
    rows = -(-len(entries) // columns)
    # Nothing in the files depends on when or where they are made.
    with plt.rc_context({"svg.hashsalt": name, "font.size": 10}):
        figure, panels = plt.subplots(
            rows, columns, figsize=(7 * columns, 4.4 * rows), layout="constrained", squeeze=False
        )
        for axes in panels.flat[len(entries) :]:
            axes.set_visible(False)
        for axes, entry in zip(panels.flat, entries, strict=False):
            draw_bars(axes, entry)
        figure.suptitle(
            "Time of one step on a logarithmic scale, with its 95 % interval (shorter is better)"
        )
        paths = [folder / f"{name}.png", folder / f"{name}.svg"]
        figure.savefig(paths[0], dpi=130, metadata={"Software": None})
        figure.savefig(paths[1], metadata={"Date": None})
        plt.close(figure)
    return paths


def draw_bars(axes: Axes, entry: Entry) -> None:
    """A bar for each contestant, the fastest on top, with its time written out."""
    contestants = sorted(entry["contestants"], key=lambda c: -c["median_s"])
    roles = [role(entry, c) for c in contestants]
    times = [c["median_s"] for c in contestants]
    errors = [[c["median_s"] - c["low_s"], c["high_s"] - c["median_s"]] for c in contestants]
    bars = axes.barh(
        [label(c) for c in contestants],
        times,
        xerr=list(zip(*errors, strict=True)),
        color=[COLOURS[r] for r in roles],
        error_kw={"elinewidth": 1},
    )
    axes.bar_label(bars, [readable(seconds) for seconds in times], padding=4)
    for text, r in zip(axes.get_yticklabels(), roles, strict=True):
        text.set_fontweight("bold" if r == "ours" else "normal")
    axes.set_xscale("log")
    axes.set_xlim(min(times) / 2, max(times) * 5)  # Room for the shortest bar and the label.
    axes.xaxis.set_visible(False)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.set_title(f"{entry['operation']}, {title(entry)}")


def role(entry: Entry, contestant: Entry) -> str:
    """Whether a contestant is ours, a peer or the limit."""
    if contestant["ours"]:
        return "ours"
    limit = entry["limit"]
    return "limit" if limit and contestant["name"].startswith(limit) else "peer"
