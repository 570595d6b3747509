"""What the subcommands of `tf_mavg bench` do; each imports what it needs when it runs."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .measuring.steps import Choice
    from .measuring.turns import Settings

PARTS: Final = ("steps", "first-step", "memory", "share", "replicas", "rows")


def measure(folder: Path, parts: Sequence[str], choice: Choice, settings: Settings) -> Path:
    """Measures, and writes FOLDER/cpu.json, or gpu.json if TensorFlow has a GPU; gives its path.

    Raises:
      ValueError: If a choice has an unknown name, or results would be lost.
    """
    from . import device
    from .choices import check
    from .measuring import machine
    from .measuring.first_step import measure_first_steps
    from .measuring.keras_step import measure_keras_steps
    from .measuring.memory import measure_memory
    from .measuring.replicas import measure_replicas
    from .measuring.rows import measure_rows
    from .measuring.share import measure_closely, measure_shares
    from .measuring.steps import measure_steps
    from .workloads import DECAY

    check(choice)
    path = folder / f"{device.kind()}.json"
    lost = not_measured_again(read(path), parts, choice) if path.exists() else []
    if lost:  # Results of two runs in one file would compare what never took turns.
        message = (
            f"A measurement writes {path} anew, and must measure again all that it has. "
            f"Received: a choice without {', '.join(lost)}; choose another --folder, or remove it."
        )
        raise ValueError(message)
    results: dict[str, Any] = {
        "conditions": machine.conditions(),
        "load_average": {"before": machine.load_average()},
        "settings": {"decay": DECAY, **dataclasses.asdict(settings)},
        "steps": [],
    }
    if "memory" in parts:
        results["memory"] = measure_memory(choice)
    if "share" in parts:
        results["share"] = [
            *measure_shares(settings),
            measure_closely(settings),
            *measure_keras_steps(settings),
        ]
    if "replicas" in parts and not device.has_gpu():
        results["replicas"] = measure_replicas(settings, choice)
    if "rows" in parts and not device.has_gpu():
        results["rows"] = measure_rows(settings)
    if "steps" in parts:
        results["steps"] = measure_steps(settings, choice)
    if "first-step" in parts:
        results["first_step"] = measure_first_steps()
    results["load_average"]["after"] = machine.load_average()
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return path


def not_measured_again(results: dict[str, Any], parts: Sequence[str], choice: Choice) -> list[str]:
    """What results have that a choice leaves out: parts, and tables of steps or some of their rows.

    Args:
      results: As in a file.
      parts: Those that are chosen.
      choice: Of the workloads and contestants of the parts.
    """
    from .measuring.steps import contains_one
    from .reporting.figures import label, title

    lost = [part for part in PARTS if results.get(part.replace("-", "_")) and part not in parts]
    if "steps" in parts:
        lost += [
            f"{entry['operation']} of {title(entry)}"
            for entry in results["steps"]
            if not contains_one(title(entry), choice.workloads)
            or not all(contains_one(label(c), choice.contestants) for c in entry["contestants"])
        ]
    return lost


def report(folder: Path, pages: Sequence[Path]) -> str:
    """Plots and tabulates every JSON file of FOLDER, beside it; gives the tables.

    Args:
      folder: Where results are.
      pages: Files with marks, to write tables into.
    """
    from .reporting.plots import plot
    from .reporting.tables import everything, with_tables

    paths = sorted(folder.glob("*.json"))
    if not paths:
        message = (
            f"The folder must have results, of tf_mavg bench measure --folder. Received: {folder}."
        )
        raise FileNotFoundError(message)
    tables = []
    for path in paths:
        results = read(path)
        plot(results, folder, path.stem)
        tables.append(everything(results))
        path.with_suffix(".md").write_text(f"{tables[-1]}\n", encoding="utf-8")
    for page in pages:
        text = with_tables(page.read_text(encoding="utf-8"), read(folder / "cpu.json"))
        page.write_text(text, encoding="utf-8")
    return "\n".join(tables)


def compare(first: Path, second: Path) -> str:
    """The ratios of two files of results."""
    from .reporting.compare import comparison

    return comparison(read(first), read(second))


def machine_code() -> str:
    """What the compiled GPU kernels are made of; computed, not measured."""
    from .machine_code import report as computed

    return computed()


def read(path: Path) -> dict[str, Any]:
    """A file of results."""
    return json.loads(path.read_text(encoding="utf-8"))
