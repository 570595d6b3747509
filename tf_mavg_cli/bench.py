"""`tf_mavg bench`: measures averages and their peers on this machine."""

from __future__ import annotations

import functools
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from tf_mavg_cli import options
from tf_mavg_cli.running import Refused, command_body

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_FOLDER: Final = Path("tf_mavg_bench")
PARTS: Final = ("steps", "first-step", "memory", "share", "replicas", "rows")
SECONDS: Final = 8.0  # For the turns of a table.
FEWEST: Final = 7  # Turns of each contestant.

folder_option = click.option(
    "--folder", type=options.PATH, default=DEFAULT_FOLDER, show_default=True, help="Of the results."
)


def _bench_body(function: Callable[..., None]) -> Callable[..., None]:
    """As `command_body`, of what also needs the libraries of the extra `bench`."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except ModuleNotFoundError as error:
            message = (
                f"The benchmark needs {error.name}, which is not installed: "
                "pip install 'tf_mavg[bench]'."
            )
            raise Refused(message) from error

    return command_body(run)


def _benchmark(module: str) -> Any:
    """A module of the benchmark, which only a built package holds."""
    return importlib.import_module(f"tf_mavg._bench.{module}")


@click.group(invoke_without_command=True)
@click.pass_context
def bench(ctx: click.Context) -> None:
    """Measure averages and their peers on this machine.

    Without a command: measure, then report.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(measure)
        ctx.invoke(report)


@bench.command
@folder_option
@click.option(
    "--part",
    "parts",
    type=click.Choice(PARTS),
    multiple=True,
    help="Only this one; may be given several times.",
)
@click.option(
    "--workload",
    "workloads",
    metavar="TEXT",
    multiple=True,
    help='Only those with such names, as "BERT"; may be given several times.',
)
@click.option(
    "--contestant",
    "contestants",
    metavar="TEXT",
    multiple=True,
    help='Only those with such names, as "tf_mavg"; may be given several times.',
)
@click.option("--seconds", default=SECONDS, show_default=True, help="For the turns of a table.")
@click.option(
    "--fewest", default=FEWEST, show_default=True, help="Turns of each contestant, at least."
)
@click.option(
    "--huge",
    is_flag=True,
    help="Add one variable of 2^31 + 1 elements, ours alone: takes 13 GB.",
)
@options.as_json
@_bench_body
def measure(  # noqa: PLR0913 - one for each option.
    *,
    folder: Path,
    parts: tuple[str, ...],
    workloads: tuple[str, ...],
    contestants: tuple[str, ...],
    seconds: float,
    fewest: int,
    huge: bool,
    as_json: bool,
) -> None:
    """Measure, and write FOLDER/cpu.json, or gpu.json if TensorFlow has a GPU."""
    choice = _benchmark("measuring.steps").Choice(workloads, contestants, huge)
    settings = _benchmark("measuring.turns").Settings(seconds=seconds, fewest=fewest)
    path = _benchmark("commands").measure(folder, parts or PARTS, choice, settings)
    click.echo(path.read_text(encoding="utf-8") if as_json else path)


@bench.command
@folder_option
@click.option(
    "--page",
    "pages",
    type=options.PATH,
    multiple=True,
    help="A file with marks, to write tables into; may be given several times.",
)
@_bench_body
def report(*, folder: Path, pages: tuple[Path, ...]) -> None:
    """Plot and tabulate every JSON file of FOLDER, beside it; print the tables."""
    click.echo(_benchmark("commands").report(folder, pages))


@bench.command
@click.argument("first", type=options.PATH)
@click.argument("second", type=options.PATH)
@_bench_body
def compare(*, first: Path, second: Path) -> None:
    """Print the ratios of two files of results."""
    click.echo(_benchmark("commands").compare(first, second))


@bench.command("machine-code")
@_bench_body
def machine_code() -> None:
    """Print what the compiled GPU kernels are made of; computed, not measured."""
    click.echo(_benchmark("commands").machine_code())
