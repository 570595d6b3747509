"""A Markdown table for each part of the results, from their JSON alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..names import A_PASS_EACH, CATCHING_UP, LAZY_ROWS, ONE_PASS, PEER, TORCH
from .figures import (
    Entry,
    baseline_of,
    find_contestant,
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


def caches_table(warm: Entry, cold: Entry) -> str:
    """One update with warm caches and with empty ones, each against its peers in the same table."""
    rows = []
    for contestant in cold["contestants"]:
        cells = [contestant["name"], contestant["runner"]]
        for entry in (warm, cold):
            same = find_contestant(entry, contestant["name"], contestant["runner"])
            cells += (
                [readable(same["median_s"]), *times_of_peers(entry, same)] if same else 3 * [""]
            )
        rows.append(cells)
    peers = ["times " + PEER.rpartition(".")[2], "times torch"]
    header = [f"update, {title(warm)}", "in", "warm", *peers, "cold", *peers]
    return markdown(header, rows, left=2)


def times_of_peers(entry: Entry, contestant: Entry) -> list[str]:
    """How many times faster than TensorFlow and than PyTorch a contestant is."""
    peers = [baseline_of(entry, contestant), find_contestant(entry, TORCH, "torch")]
    return [multiple(peer["median_s"] / contestant["median_s"]) if peer else "" for peer in peers]


def flush_sentence(flush: Entry) -> str:
    """What was done to empty the caches, and what shows that it did."""
    mebibytes = {key: round(flush[key] / 2**20) for key in ("memory_bytes", "largest_cache_bytes")}
    nanoseconds = {key: 1e9 * flush[key] for key in ("warm_s", "flushed_s", "flushed_twice_s")}
    return (
        "Cold: before each step every processor has read {memory_bytes} MiB, where the largest "
        "cache holds {largest_cache_bytes}; then the contestant's own framework has added up as "
        "much. ".format(**mebibytes)
        + "A line of a probe then takes {flushed_s:.3g} ns to read, after twice as much memory "
        "{flushed_twice_s:.3g} ns, warm {warm_s:.2g} ns.".format(**nanoseconds)
    )


def several_table(entries: Iterable[Entry]) -> str:
    """Several averages of each variable in one pass, against a pass for each."""
    rows = []
    for entry in entries:
        one, each = (find_contestant(entry, name, "eager") for name in (ONE_PASS, A_PASS_EACH))
        if one and each:
            rows.append(
                [
                    f"{entry['averages']} averages of {entry['workload']} {entry['dtypes']}",
                    f"{entry['update_bytes'] / entry['elements']:g}",
                    readable(one["median_s"]),
                    readable(each["median_s"]),
                    multiple(each["median_s"] / one["median_s"]),
                ]
            )
    header = ["update", "bytes an element", "one pass", "a pass for each", "times faster"]
    return markdown(header, rows, left=1)


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


def replicas_table(entries: Iterable[Entry]) -> str:
    """Updates of all replicas, and the averages that the replica with most of them has."""
    rows = [
        [
            f"{entry['replicas']} replicas, {title(entry)}",
            c["name"],
            readable(c["median_s"]),
            multiple(times) if (times := speed_up(entry, c)) is not None else "",
            f"{c['average_bytes'] / 2**20:,.2f} MiB",
            percent(c["average_bytes"] / entry["variable_bytes"]),
        ]
        for entry in entries
        for c in entry["contestants"]
    ]
    header = [
        "replicas",
        "averaged by",
        "update",
        "times faster",
        "averages of one",
        "of the variables",
    ]
    return markdown(header, rows, left=2)


def rows_table(part: Entry) -> str:
    """Steps that write rows of a table: their time, that of the averages alone, and their bytes."""
    lazy, dense = (f"{part[key] / 1e6:,.1f} MB" for key in ("lazy_bytes", "dense_bytes"))
    rows = []
    for c in part["contestants"]:
        costs = ["", ""]
        if "alone" in c:
            costs = [readable(c["alone"]["median_s"]), lazy if c["name"] == LAZY_ROWS else dense]
        rows.append([c["name"], readable(c["median_s"]), *costs])
    rows.append([CATCHING_UP, "", readable(part["catch_up_all"]["median_s"]), dense])
    header = [
        f"{part['written']:,} of {part['rows']:,} x {part['columns']} written",
        "a step",
        "averages alone",
        "bytes of averages",
    ]
    return markdown(header, rows, left=1)


def markdown(header: list[str], rows: list[list[str]], left: int) -> str:
    """A table whose first columns are aligned left, the others right."""
    rule = [*["---"] * left, *["---:"] * (len(header) - left)]
    lines = [f"| {' | '.join(cells)} |" for cells in (header, rule, *rows)]
    # An underscore at the edge of a word, as in torch._foreach_lerp_, would begin an emphasis.
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", "\n".join(lines))
