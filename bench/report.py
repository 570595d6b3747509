"""Tables and plots of results, from their JSON alone: nothing is measured or imported here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("Agg")  # Plots are saved, not shown, so no display is needed.
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

# Of Okabe and Ito's palette, which those who see fewer colours can tell apart too.
COLOURS = {"ours": "#0072B2", "peer": "#E69F00", "limit": "#999999"}
# Below this, threads and calls cost more than memory, and the loop over memory is no limit.
MEMORY_BOUND_BYTES = 2**26
# The runner whose baseline serves those that have none of their own.
DEFAULT_RUNNER = "tf.function"


def readable(seconds: float) -> str:
    """Three digits of a time: "12.3 ms"."""
    unit, factor = ("ms", 1e3) if seconds >= 1e-3 else ("µs", 1e6)  # noqa: PLR2004 - a unit.
    value = seconds * factor
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:#.3g} {unit}"  # noqa: PLR2004 - three digits.


def multiple(ratio: float) -> str:
    """Two digits, or all before the point: "0.85", "7.2", "1,234"."""
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:#.2g}"  # noqa: PLR2004 - two digits.


def baseline_of(entry: dict[str, Any], contestant: dict[str, Any]) -> dict[str, Any]:
    """The baseline in the runner of a contestant, or else in a tf.function."""
    by_runner: dict[str, dict[str, Any]] = {
        c["runner"]: c for c in entry["contestants"] if c["name"] == entry["baseline"]
    }
    return by_runner.get(contestant["runner"], by_runner[DEFAULT_RUNNER])


def speed_up(entry: dict[str, Any], contestant: dict[str, Any]) -> float:
    """How many times faster than its baseline a contestant is."""
    return float(baseline_of(entry, contestant)["median_s"] / contestant["median_s"])


def share_of_limit(entry: dict[str, Any], contestant: dict[str, Any]) -> float | None:
    """The limit's time over a contestant's; None where memory is not what limits."""
    if entry["limit"] is None or entry["update_bytes"] < MEMORY_BOUND_BYTES:
        return None
    (limit,) = (c for c in entry["contestants"] if c["name"] == entry["limit"])
    return float(limit["median_s"] / contestant["median_s"])


def tables(results: dict[str, Any]) -> str:
    """One Markdown table an operation, and a line on where the numbers come from."""
    operations = dict.fromkeys(entry["operation"] for entry in results["entries"])
    parts = [
        table([entry for entry in results["entries"] if entry["operation"] == operation])
        for operation in operations
    ]
    return "\n\n".join([*parts, provenance(results)])


def with_section(text: str, section: str) -> str:
    """A text with what stands between its two marks replaced."""
    marked = re.compile(r"(?<=<!-- bench -->\n).*?(?=<!-- /bench -->)", re.DOTALL)
    if not marked.search(text):
        message = "The text must hold the marks <!-- bench --> and <!-- /bench -->."
        raise ValueError(message)
    return marked.sub(lambda _: f"{section}\n", text)


def table(entries: list[dict[str, Any]]) -> str:
    """The Markdown table of one operation: a row for each contestant."""
    header = [entries[0]["operation"], "in"]
    for entry in entries:
        header += [f"{entry['workload']} float32", "times faster"]
        if share_of_limit(entry, entry["contestants"][0]) is not None:
            header.append("of the limit")
    lines = [header, ["---", "---", *("---:" for _ in header[2:])]]
    for row in zip(*(entry["contestants"] for entry in entries), strict=True):
        cells = [row[0]["name"], row[0]["runner"]]
        for entry, contestant in zip(entries, row, strict=True):
            cells += [readable(contestant["median_s"]), multiple(speed_up(entry, contestant))]
            share = share_of_limit(entry, contestant)
            if share is not None:
                cells.append(multiple(share))
        lines.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def provenance(results: dict[str, Any]) -> str:
    """What the tables are about, in prose."""
    conditions, machine = results["conditions"], results["conditions"]["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in conditions["versions"].items())
    load = " to ".join(str(results["load_average"][when]) for when in ("before", "after"))
    return (
        f"Medians of {results['settings']['rounds']} interleaved turns; times faster than "
        f"{' and '.join(dict.fromkeys(entry['baseline'] for entry in results['entries']))}, in a "
        f"Session where the row is, else in a tf.function. {machine['processor']}, "
        f"{machine['cores']} cores, load {load}, {versions}, "
        f"{conditions['date'][:10]}."
    )


def plot(results: dict[str, Any], folder: Path, name: str) -> list[Path]:
    """Saves the updates' times as bars, as NAME.png and NAME.svg.

    Returns:
      The two paths.
    """
    entries = [entry for entry in results["entries"] if entry["operation"] == "update"]
    # Nothing in the files depends on when or where they are made.
    with plt.rc_context({"svg.hashsalt": name, "font.size": 10}):
        figure, panels = plt.subplots(
            1, len(entries), figsize=(6.5 * len(entries), 4), layout="constrained", squeeze=False
        )
        for axes, entry in zip(panels[0], entries, strict=True):
            draw_bars(axes, entry)
        figure.suptitle("Time of one averaging step (shorter is better)")
        paths = [folder / f"{name}.png", folder / f"{name}.svg"]
        figure.savefig(paths[0], dpi=150, metadata={"Software": None})
        figure.savefig(paths[1], metadata={"Date": None})
        plt.close(figure)
    return paths


def draw_bars(axes: Axes, entry: dict[str, Any]) -> None:
    """A bar for each contestant, the fastest on top, with its time written out."""
    contestants = sorted(entry["contestants"], key=lambda c: -c["median_s"])
    roles = [
        "ours"
        if c["ours"]
        else "limit"
        if entry["limit"] and c["name"].startswith(entry["limit"])
        else "peer"
        for c in contestants
    ]
    bars = axes.barh(
        [f"{c['name']} ({c['runner']})" for c in contestants],
        [c["median_s"] for c in contestants],
        color=[COLOURS[role] for role in roles],
    )
    axes.bar_label(bars, [readable(c["median_s"]) for c in contestants], padding=4)
    for label, role in zip(axes.get_yticklabels(), roles, strict=True):
        label.set_fontweight("bold" if role == "ours" else "normal")
    times = [c["median_s"] for c in contestants]
    axes.set_xscale("log")
    axes.set_xlim(min(times) / 2, max(times) * 4)  # Room for the shortest bar and the label.
    axes.xaxis.set_visible(False)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.set_title(f"{entry['workload']} float32")
