"""Writes the tables of a page from the results of a run on a GPU.

    python report.py FOLDER PAGE

FOLDER holds check.json, torch.json and profile.csv of run.py, and gpu.json of `tf_mavg bench`. The
tables stand between the page's marks <!-- gpu --> and <!-- /gpu -->.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

OURS, TORCH = "tf_mavg: ", "torch: "
# A kernel of ours, and torch's of the same result where it has one.
PAIRS = {
    "update, float32": "_foreach_lerp_, float32",
    "update, bfloat16": "_foreach_lerp_, bfloat16",
    "update, float16": "_foreach_lerp_, float16",
    "update, bfloat16 in float32": None,
    "update, split": None,
    "swap, float32": None,
}
# By the names of run.py's METRICS: the heading, and the number that a cell's is divided by.
REGISTERS = "launch__registers_per_thread"
READ, WRITTEN = "dram__bytes_read.sum", "dram__bytes_write.sum"
THROUGHPUT = "dram__throughput.avg.pct_of_peak_sustained_elapsed"
WARPS = "sm__warps_active.avg.pct_of_peak_sustained_active"
DURATION = "gpu__time_duration.sum"
# Of each_kernel.py.
PROFILED_ELEMENTS = 2**26
PROFILED_ROWS = "1,048,576 x 64 float32 of which a step writes 8,192 rows"
ROWS_LAUNCHES = (*2 * ["noting a step"], "catching up its rows", *2 * ["catching up all rows"])
# Of the contestants of `tf_mavg bench`: whom the others are compared with.
PEERS = ("tf.train.ExponentialMovingAverage", "arithmetic: a += b; b = a - b; a -= b")


def table(heads: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of Markdown; all columns but the first are numbers."""
    rule = ["---"] + ["--:"] * (len(heads) - 1)
    return [f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows)]


def kernels(check: dict[str, Any], measured: dict[str, Any]) -> list[str]:
    """What a pass takes on the device, and what it costs the host."""
    rows: dict[tuple[str, str], dict[str, Any]] = {
        (row["workload"], row["contestant"]): row for row in measured["rows"]
    }
    (copy,) = (figure for figure in check["figures"] if figure["of_copy"] is None)
    bandwidth = copy["bytes_moved"] / copy["seconds"] / 1e9
    lines = []
    for workload in dict.fromkeys(row["workload"] for row in measured["rows"]):
        for kernel, peer in PAIRS.items():
            row = rows[workload, OURS + kernel]
            other = rows[workload, TORCH + peer] if peer else None
            lines.append(
                [
                    f"{workload}: {kernel}",
                    f"{1e6 * row['seconds']:,.1f}",
                    f"{row['gigabytes_a_second'] / bandwidth:.2f}",
                    f"{1e6 * other['seconds']:,.1f}" if other else "",
                    f"{other['seconds'] / row['seconds']:.2f}" if other else "",
                    f"{1e6 * row['host_seconds']:.0f}",
                    f"{1e6 * other['host_seconds']:.0f}" if other else "",
                ]
            )
    heads = ["workload: kernel", "us", "of the copy", "torch, us", "times torch"]
    heads += ["host, us", "torch's host, us"]
    facts = measured["facts"]
    machine = f"{facts['GPU']}; {facts['processor']}; torch {facts['torch']}"
    copied = f"The driver's copy of a gigabyte moves {bandwidth:,.0f} GB/s, read and written."
    return [f"{machine}; {check['facts']['date']}. {copied}", "", *table(heads, lines)]


def profile(folder: Path) -> list[str]:
    """What Nsight Compute counted, a kernel a row; those on rows of a table apart."""
    found: dict[tuple[str, str], dict[str, float]] = {}  # By number and name of the launch.
    with (folder / "profile.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            value = float(row["Metric Value"].replace(",", ""))
            metrics = found.setdefault((row["ID"], row["Kernel Name"]), {})
            metrics[row["Metric Name"]] = value
    of_rows = {launch: found.pop(launch) for launch in list(found) if "row" in launch[1]}
    lines = [
        [
            f"`{kernel}`",
            f"{metrics[REGISTERS]:.0f}",
            f"{metrics[READ] / PROFILED_ELEMENTS:.1f}",
            f"{metrics[WRITTEN] / PROFILED_ELEMENTS:.1f}",
            f"{metrics[THROUGHPUT]:.0f} %",
            f"{metrics[WARPS]:.0f} %",
        ]
        for (_, kernel), metrics in found.items()
    ]
    heads = ["kernel", "registers", "bytes read", "bytes written", "of the memory's peak"]
    return [*table([*heads, "warps active"], lines), *(rows_profile(of_rows) if of_rows else [])]


def rows_profile(found: dict[tuple[str, str], dict[str, float]]) -> list[str]:
    """What Nsight Compute counted of the kernels on rows: a row of the report each."""
    lines = [
        [
            f"{what}: `{kernel}`",
            f"{metrics[DURATION] / 1e3:,.1f}",
            f"{metrics[READ] / 1e6:,.1f}",
            f"{metrics[WRITTEN] / 1e6:,.1f}",
            f"{metrics[THROUGHPUT]:.0f} %",
        ]
        for what, ((_, kernel), metrics) in zip(ROWS_LAUNCHES, found.items(), strict=True)
    ]
    of_what = f"Of a table of {PROFILED_ROWS}, each launch:"
    heads = ["kernel", "us", "MB read", "MB written", "of the memory's peak"]
    return ["", of_what, "", *table(heads, lines)]


def in_tensorflow(results: dict[str, Any]) -> list[str]:
    """What steps in TensorFlow took, a contestant a row."""
    lines = []
    for entry in results["steps"]:
        (peer,) = (c["median_s"] for c in entry["contestants"] if c["name"] in PEERS)
        for contestant in entry["contestants"]:
            what = f"{entry['workload']}, {entry['operation']}"
            name = f"{what}: {contestant['name']}, {contestant['runner']}"
            seconds = contestant["median_s"]
            lines.append([name, f"{1e3 * seconds:.2f}", f"{peer / seconds:.1f}"])
    version = results["conditions"]["versions"]["tensorflow"]
    heads = [f"TensorFlow {version}", "ms", "times faster"]
    peers = f"Times faster than {PEERS[0]}, and for swaps than {PEERS[1]}."
    return [*table(heads, lines), "", peers]


def report(folder: Path) -> str:
    """All tables of a folder of results."""
    check, measured, steps = (
        json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("check", "torch", "gpu")
    )
    outcomes = [result["outcome"] for result in check["results"]]
    counted = ", ".join(f"{outcomes.count(name)} {name}" for name in sorted(set(outcomes)))
    return "\n".join(
        [
            f"`tf_mavg check`, machine code and PTX: {counted}.",
            "",
            *kernels(check, measured),
            "",
            f"Nsight Compute, on one variable of {PROFILED_ELEMENTS:,} elements, bytes an element:",
            "",
            *profile(folder),
            "",
            *in_tensorflow(steps),
        ]
    )


def with_report(text: str, folder: Path) -> str:
    """A page's text with its tables made anew."""
    marked = re.compile(r"(?<=<!-- gpu -->\n).*?(?=<!-- /gpu -->)", re.DOTALL)
    if not marked.search(text):
        message = "The page must hold the marks <!-- gpu --> and <!-- /gpu -->."
        raise ValueError(message)
    return marked.sub(lambda _: f"{report(folder)}\n", text)


def main(folder: str, page: str) -> None:
    """Writes the page anew."""
    path = Path(page)
    path.write_text(with_report(path.read_text(encoding="utf-8"), Path(folder)), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
