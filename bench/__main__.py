"""Measures tf_mavg against its peers (`python bench measure`), and reports (`... report`)."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

RESULTS = Path(__file__).parent / "results" / "cpu.json"
README = Path(__file__).parent.parent / "README.md"


def measure(options: argparse.Namespace) -> None:
    """Measures and writes the JSON."""
    # TensorFlow is not loaded for a report.
    import machine  # noqa: PLC0415
    from measure import measure_all  # noqa: PLC0415
    from workloads import DECAY, MANY_LARGE, MANY_SMALL  # noqa: PLC0415

    conditions = machine.conditions()
    before = machine.load_average()
    entries = measure_all([MANY_SMALL, MANY_LARGE], options.rounds, options.turn_seconds)
    results: dict[str, Any] = {
        "conditions": conditions,
        "load_average": {"before": before, "after": machine.load_average()},
        "settings": {
            "decay": DECAY,
            "rounds": options.rounds,
            "turn_seconds": options.turn_seconds,
        },
        "entries": entries,
    }
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.results.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def report(options: argparse.Namespace) -> None:
    """Saves the plot of a JSON beside it and writes its tables into the README."""
    # matplotlib is not loaded for a measurement.
    from report import plot, tables, with_section  # noqa: PLC0415

    results = json.loads(options.results.read_text(encoding="utf-8"))
    plot(results, options.results.parent, options.results.stem)
    readme = options.readme.read_text(encoding="utf-8")
    options.readme.write_text(with_section(readme, tables(results)), encoding="utf-8")
    print(tables(results))


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the subcommand that the command line names."""
    parser = argparse.ArgumentParser(prog="python bench", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for function in (measure, report):
        command = commands.add_parser(
            function.__name__,
            help=function.__doc__,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        command.set_defaults(run=function)
        command.add_argument("--results", type=Path, default=RESULTS, help="the JSON file")
        if function is report:
            command.add_argument("--readme", type=Path, default=README, help="what to write into")
        if function is measure:
            command.add_argument("--rounds", type=int, default=60, help="turns of each contestant")
            command.add_argument(
                "--turn-seconds",
                type=float,
                default=0.005,
                help="how long a turn of a fast step lasts",
            )
    options = parser.parse_args(arguments)
    options.run(options)


if __name__ == "__main__":
    main()
