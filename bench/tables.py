"""Markdown tables of results, from their JSON alone: nothing is measured or imported here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from .figures import (
    Entry,
    label,
    multiple,
    percent,
    readable,
    share_of_limit,
    speed_up,
    title,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Of each operation, what the README shows, a table each.
HEADLINES: Final = (
    (
        "update",
        (
            "1,000 x 64 float32",
            "MobileNetV3 float32",
            "400 x 65,536 float32",
            "BERT-large float32",
        ),
    ),
    (
        "update",
        (
            "400 x 65,536 float16",
            "400 x 65,536 bfloat16",
            "400 x 65,536 bfloat16 in float32",
        ),
    ),
    ("swap", ("1,000 x 64 float32", "400 x 65,536 float32", "BERT-large float32")),
)
# Beside ours, the baselines and the limit.
PEERS_SHOWN: Final = {
    "tf.train.ExponentialMovingAverage",
    "Keras's use_ema",
    "torch._foreach_lerp_",
}


def headlines(results: dict[str, Any]) -> str:
    """The tables for the README, and where their numbers come from."""
    shown = {key: leaders(part) for key, part in results.items()}
    tables = []
    for operation, titles in HEADLINES:
        entries = {title(e): e for e in shown["steps"] if e["operation"] == operation}
        found = [entries[t] for t in titles if t in entries]
        if found:
            tables.append(steps_table(found))
    return "\n\n".join([*tables, *other_tables(shown), provenance(results)])


def leaders(part: Any) -> Any:
    """A part of the results without the contestants that the README leaves out."""
    if isinstance(part, list):
        return [leaders(entry) for entry in part]
    if "contestants" not in part:
        return part
    shown = PEERS_SHOWN | {part.get("baseline"), part.get("limit")}
    kept = [c for c in part["contestants"] if c["name"] in shown or is_ours(c["name"])]
    return part | {"contestants": kept}


def is_ours(name: str) -> bool:
    """Whether a contestant is tf_mavg in one of its forms, not its kernel alone."""
    return name.startswith("tf_mavg") and not name.endswith(("kernel", "copying"))


def everything(results: dict[str, Any]) -> str:
    """All tables of a file of results, a table an entry."""
    tables = [steps_table([entry]) for entry in results["steps"]]
    return "\n\n".join([*tables, *other_tables(results), provenance(results)])


def other_tables(results: dict[str, Any]) -> list[str]:
    """The tables of all but updates and swaps, as far as they were measured."""
    tables = []
    if "first_step" in results:
        tables.append(first_step_table(results["first_step"]))
    if "memory" in results:
        tables.append(memory_table(results["memory"]))
    if "share" in results:
        tables.append(share_table(results["share"]))
    return tables


def steps_table(entries: Sequence[Entry]) -> str:
    """One operation: a row for each contestant, a column for each entry."""
    rows = dict.fromkeys((c["name"], c["runner"]) for e in entries for c in e["contestants"])
    header = [entries[0]["operation"], "in", *map(title, entries)]
    lines = []
    for name, runner in rows:
        cells = [name, runner]
        for entry in entries:
            found = [c for c in entry["contestants"] if (c["name"], c["runner"]) == (name, runner)]
            cells.append(cell(entry, found[0]) if found else "")
        lines.append(cells)
    return markdown(header, lines, left=2)


def cell(entry: Entry, contestant: Entry) -> str:
    """A time, how many times faster than its baseline that is, and the share of the limit."""
    parts = [readable(contestant["median_s"])]
    times, share = speed_up(entry, contestant), share_of_limit(entry, contestant)
    if times is not None:
        parts.append(f"{multiple(times)} x")
    if share is not None:
        parts.append(f"limit {multiple(share)}")
    return ", ".join(parts)


def first_step_table(entry: Entry) -> str:
    """The time to the first step, and the nodes of its graph."""
    rows = []
    for contestant in entry["contestants"]:
        times = speed_up(entry, contestant)
        rows.append(
            [
                contestant["name"],
                contestant["runner"],
                readable(contestant["median_s"]),
                multiple(times) if times is not None else "",
                f"{contestant['graph_nodes']:,}",
            ]
        )
    header = [f"first step, {entry['workload']}", "in", "time", "times sooner", "graph nodes"]
    return markdown(header, rows, left=2)


def memory_table(entry: Entry) -> str:
    """The peak of a step above what was there, as a share of the variables."""
    rows = [
        [
            c["operation"],
            label(c),
            f"{c['peak_bytes'] / 2**20:,.1f} MiB",
            percent(c["peak_bytes"] / entry["variable_bytes"]),
        ]
        for c in entry["contestants"]
    ]
    header = [
        "memory of a step",
        f"{entry['workload']} {entry['dtypes']}",
        "peak above what was there",
        f"of the variables' {entry['variable_bytes'] / 2**20:,.0f} MiB",
    ]
    return markdown(header, rows, left=2)


def share_table(entries: Iterable[Entry]) -> str:
    """What averaging adds to steps of training."""
    rows = []
    for entry in entries:
        for c in entry["contestants"]:
            ends = f"{1e3 * c['added_low_s']:.2g} to {1e3 * c['added_high_s']:.2g} ms"
            rows.append(
                [
                    (
                        f"{entry['network']}: {entry['variables']} variables, "
                        f"{entry['elements']:,} elements, {readable(entry['without']['median_s'])}"
                    ),
                    label(c),
                    f"{1e3 * c['added_s']:.2g} ms ({ends})",
                    percent(c["share"]),
                ]
            )
    return markdown(["training step", "averaged by", "adds (95 %)", "of the step"], rows, left=2)


def markdown(header: list[str], rows: list[list[str]], left: int) -> str:
    """A table whose first columns are aligned left, the others right."""
    rule = [*["---"] * left, *["---:"] * (len(header) - left)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def provenance(results: dict[str, Any]) -> str:
    """What the tables are about, in prose."""
    conditions, machine = results["conditions"], results["conditions"]["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in conditions["versions"].items())
    load = " to ".join(str(results["load_average"][when]) for when in ("before", "after"))
    gpu = f"{machine['gpu']}, " if machine.get("gpu") else ""
    return (
        f"{legend(results['steps'])}{gpu}{machine['processor']}, {machine['cores']} cores, "
        f"load {load}, {versions}, commit {short(conditions['commit'])}, "
        f"{conditions['date'][:10]}."
    )


def short(commit: str | None) -> str:
    """Ten digits of a commit, and whether files differed from it."""
    if commit is None:
        return "unknown"
    number, dash, dirty = commit.partition("-")
    return f"{number[:10]}{dash}{dirty}"


def legend(entries: Sequence[Entry]) -> str:
    """What the cells of updates and swaps say."""
    turns = [c["turns"] for entry in entries for c in entry["contestants"]]
    if not turns:
        return ""
    baselines = " and ".join(dict.fromkeys(entry["baseline"] for entry in entries))
    return (
        f"Medians of {min(turns)} to {max(turns)} interleaved turns. x: times faster than "
        f"{baselines}, in a Session where the row is, else in a tf.function. "
        "limit: the plain C++ loop's time over the row's. "
    )


def with_section(text: str, section: str) -> str:
    """A text with what stands between its two marks replaced."""
    marked = re.compile(r"(?<=<!-- bench -->\n).*?(?=<!-- /bench -->)", re.DOTALL)
    if not marked.search(text):
        message = "The text must hold the marks <!-- bench --> and <!-- /bench -->."
        raise ValueError(message)
    return marked.sub(lambda _: f"{section}\n", text)
