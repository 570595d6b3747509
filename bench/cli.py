"""The subcommands of `python -m tf_mavg bench`; each imports what it needs when it runs."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .steps import Choice

PROGRAM = "tf_mavg bench"
PARTS = ("steps", "first-step", "memory", "share", "replicas")


def measure(options: argparse.Namespace) -> None:
    """Measure, and write FOLDER/cpu.json, or gpu.json if TensorFlow has a GPU."""
    from . import device, machine
    from .first_step import measure_first_steps
    from .keras_step import measure_keras_steps
    from .memory import measure_memory
    from .replicas import measure_replicas
    from .share import measure_closely, measure_shares
    from .steps import Choice, measure_steps
    from .turns import Settings
    from .workloads import DECAY

    settings = Settings(seconds=options.seconds, fewest=options.fewest)
    choice = Choice(options.workload, options.contestant, options.huge)
    path = options.folder / f"{device.kind()}.json"
    lost = not_measured_again(read(path), options.part, choice) if path.exists() else []
    if lost:  # Results of two runs in one file would compare what never took turns.
        sys.exit(
            f"{PROGRAM} measure writes {path} anew, and must measure again all that it has. "
            f"Received: a choice without {', '.join(lost)}; choose another --folder, or remove it."
        )
    results: dict[str, Any] = {
        "conditions": machine.conditions(),
        "load_average": {"before": machine.load_average()},
        "settings": {"decay": DECAY, **dataclasses.asdict(settings)},
        "steps": [],
    }
    if "memory" in options.part:
        results["memory"] = measure_memory(choice)
    if "share" in options.part:
        results["share"] = [
            *measure_shares(settings),
            measure_closely(settings),
            *measure_keras_steps(settings),
        ]
    if "replicas" in options.part and not device.has_gpu():
        results["replicas"] = measure_replicas(settings, choice)
    if "steps" in options.part:
        results["steps"] = measure_steps(settings, choice)
    if "first-step" in options.part:
        results["first_step"] = measure_first_steps()
    results["load_average"]["after"] = machine.load_average()
    options.folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(path)


def not_measured_again(results: dict[str, Any], parts: Sequence[str], choice: Choice) -> list[str]:
    """What results have that a choice leaves out: parts, and tables of steps or some of their rows.

    Args:
      results: As in a file.
      parts: Those that are chosen.
      choice: Of the workloads and contestants of the parts.
    """
    from .figures import label, title
    from .steps import contains_one

    lost = [part for part in PARTS if results.get(part.replace("-", "_")) and part not in parts]
    if "steps" in parts:
        lost += [
            f"{entry['operation']} of {title(entry)}"
            for entry in results["steps"]
            if not contains_one(title(entry), choice.workloads)
            or not all(contains_one(label(c), choice.contestants) for c in entry["contestants"])
        ]
    return lost


def report(options: argparse.Namespace) -> None:
    """Plot and tabulate every JSON file of FOLDER, beside it; print the tables."""
    from .plots import plot
    from .tables import everything, headlines, with_section

    for path in sorted(options.folder.glob("*.json")):
        results = read(path)
        plot(results, options.folder, path.stem)
        text = everything(results)
        path.with_suffix(".md").write_text(f"{text}\n", encoding="utf-8")
        print(text)
    if options.page:
        page = options.page.read_text(encoding="utf-8")
        section = headlines(read(options.folder / "cpu.json"))
        options.page.write_text(with_section(page, section), encoding="utf-8")


def compare(options: argparse.Namespace) -> None:
    """Print the ratios of two files of results."""
    from .compare import comparison

    print(comparison(read(options.first), read(options.second)))


def machine_code(_: argparse.Namespace) -> None:
    """Print what the compiled GPU kernels are made of; computed, not measured."""
    from .machine_code import report as computed

    print(computed())


def read(path: Path) -> dict[str, Any]:
    """A file of results."""
    return json.loads(path.read_text(encoding="utf-8"))


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="Measures averages of tf_mavg and its peers on this machine."
    )
    commands = parser.add_subparsers(required=True)
    folder = argparse.ArgumentParser(add_help=False)
    folder.add_argument(
        "--folder",
        type=Path,
        default=Path("tf_mavg_bench"),
        help="where results are (default: %(default)s)",
    )

    command = commands.add_parser("measure", help=measure.__doc__, parents=[folder])
    command.set_defaults(run=measure)
    command.add_argument("--part", nargs="+", choices=PARTS, default=PARTS, help="only these")
    command.add_argument(
        "--workload", nargs="+", default=(), metavar="TEXT", help='only with such names: "BERT"'
    )
    command.add_argument(
        "--contestant", nargs="+", default=(), metavar="TEXT", help='only such: "tf_mavg"'
    )
    command.add_argument(
        "--seconds", type=float, default=8.0, help="for the turns of a table (default: 8)"
    )
    command.add_argument(
        "--fewest", type=int, default=7, help="turns of each contestant, at least (default: 7)"
    )
    command.add_argument(
        "--huge",
        action="store_true",
        help="add one variable of 2^31 + 1 elements, ours alone: takes 13 GB",
    )

    command = commands.add_parser("report", help=report.__doc__, parents=[folder])
    command.set_defaults(run=report)
    command.add_argument("--page", type=Path, help="a file with marks, to write tables into")

    command = commands.add_parser("compare", help=compare.__doc__)
    command.set_defaults(run=compare)
    command.add_argument("first", type=Path)
    command.add_argument("second", type=Path)

    command = commands.add_parser("machine-code", help=machine_code.__doc__)
    command.set_defaults(run=machine_code)
    return parser


def main(arguments: Sequence[str]) -> None:
    """Runs the subcommand that the command line names; without one, measures and reports."""
    parser = make_parser()
    lines = [arguments] if arguments else [["measure"], ["report"]]
    for line in lines:
        options = parser.parse_args(line)
        try:
            options.run(options)
        except ModuleNotFoundError as error:
            sys.exit(
                f"The benchmark needs {error.name}, which is not installed: "
                "pip install 'tf_mavg[bench]'."
            )
