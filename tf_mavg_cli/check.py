"""`tf_mavg check`: proves this installation on this machine, below TensorFlow."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tf_mavg_cli import options
from tf_mavg_cli.running import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tf_mavg_check.results import Result
    from tf_mavg_check.speed import Figure, Overhead

T = TypeVar("T")


@click.command
@options.as_json
@click.option("--speed/--no-speed", default=True, help="Measure the GPU, or do not.")
@click.option(
    "--most-elements",
    type=click.IntRange(min=1),
    help="Of a workload that is measured: fewer for a GPU with little memory.",
)
@click.pass_context
def check(ctx: click.Context, *, as_json: bool, speed: bool, most_elements: int | None) -> None:
    """Compare every kernel with a reference, on this CPU and GPU; measure the GPU.

    Needs the NVIDIA driver for a GPU, and neither TensorFlow nor a CUDA toolkit. Ends with status 1
    if a kernel is wrong.
    """
    try:
        from tf_mavg_check import cpu, gpu, machine

        facts = machine.facts()
    except ImportError as error:
        raise Refused(str(error)) from error
    if not as_json:
        click.echo(_facts_text(facts))
    show = _kept if as_json else _told
    results = show((result for found in (cpu, gpu) for result in found.results()), _result_line)
    figures: list[Figure] = []
    overheads: list[Overhead] = []
    device = machine.device()
    if speed and device is not None:
        from tf_mavg_check.speed import LARGE
        from tf_mavg_check.speed import figures as measure
        from tf_mavg_check.speed import overheads as measure_host

        most = most_elements or LARGE
        figures = show(measure(device["form"], most), _figure_line)
        overheads = show(measure_host(device["form"], most), _overhead_line)
    if as_json:
        options.print_json(
            {
                "facts": facts,
                "results": [result._asdict() for result in results],
                "figures": [figure._asdict() for figure in figures],
                "overheads": [overhead._asdict() for overhead in overheads],
            }
        )
    else:
        click.echo(_summary(results))
    ctx.exit(any(result.outcome == "failed" for result in results))


def _kept(found: Iterable[T], line: Callable[[T], str]) -> list[T]:
    """What is found, when all of it is."""
    del line
    return list(found)


def _told(found: Iterable[T], line: Callable[[T], str]) -> list[T]:
    """What is found; prints a line for each as soon as it is."""
    told = []
    for one in found:
        click.echo(line(one))
        told.append(one)
    return told


def _facts_text(facts: dict[str, Any]) -> str:
    return "".join(f"{name:9}  {text}\n" for name, text in facts.items())


def _result_line(result: Result) -> str:
    color = {"passed": "green", "failed": "red"}.get(result.outcome)
    outcome = click.style(f"{result.outcome:8}", fg=color)
    return f"{outcome}  {result.subject}: {result.detail} ({result.seconds:.1f} s)"


def _figure_line(figure: Figure) -> str:
    rate = figure.bytes_moved / figure.seconds / 1e9
    share = "" if figure.of_copy is None else f", {figure.of_copy:.2f} of the copy's"
    microseconds = f"{1e6 * figure.seconds:,.1f} us, {rate:,.0f} GB/s{share}"
    return f"measured  {figure.workload}: {figure.kernel}: {microseconds}"


def _overhead_line(overhead: Overhead) -> str:
    return (
        f"measured  an enqueued update of {overhead.variables:,} variables costs the host "
        f"{1e6 * overhead.seconds:,.1f} us"
    )


def _summary(results: Iterable[Result]) -> str:
    counts = Counter(result.outcome for result in results)
    line = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    if not counts["failed"]:
        return f"\n{line}."
    return (
        f"\n{line}. Do not train with this installation on this machine: report the output of "
        "`tf_mavg check --json` to whoever you have tf_mavg from."
    )
