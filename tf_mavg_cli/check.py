"""`tf_mavg check`: proves this installation on this machine, below TensorFlow."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from tf_mavg_cli import options
from tf_mavg_cli.running import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tf_mavg_check.results import Result
    from tf_mavg_check.speed import Figure, Overhead


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
    say = _Silent() if as_json else _Told()
    say.facts(facts)
    results = [say.result(result) for found in (cpu, gpu) for result in found.results()]
    figures, overheads = _measured(say, most_elements) if speed else ([], [])
    failed = [result for result in results if result.outcome == "failed"]
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
    ctx.exit(1 if failed else 0)


def _measured(say: _Told, most_elements: int | None) -> tuple[list[Figure], list[Overhead]]:
    from tf_mavg_check import machine, speed

    device = machine.device()
    if device is None:
        return [], []
    most = most_elements or speed.LARGE
    figures = [say.figure(figure) for figure in speed.figures(device["form"], most)]
    return figures, [say.overhead(found) for found in speed.overheads(device["form"], most)]


class _Told:
    """Prints what is found, as soon as it is."""

    def facts(self, facts: dict[str, Any]) -> None:
        """Prints what is checked."""
        for name, text in facts.items():
            click.echo(f"{name:9}  {text}")
        click.echo()

    def result(self, result: Result) -> Result:
        """Prints a line for a check."""
        color = {"passed": "green", "failed": "red"}.get(result.outcome)
        outcome = click.style(f"{result.outcome:8}", fg=color)
        click.echo(f"{outcome}  {result.subject}: {result.detail} ({result.seconds:.1f} s)")
        return result

    def figure(self, figure: Figure) -> Figure:
        """Prints a line for a measured kernel."""
        rate = figure.bytes_moved / figure.seconds / 1e9
        share = "" if figure.of_copy is None else f", {figure.of_copy:.2f} of the copy's"
        click.echo(
            f"measured  {figure.workload}: {figure.kernel}: {1e6 * figure.seconds:,.1f} us, "
            f"{rate:,.0f} GB/s{share}"
        )
        return figure

    def overhead(self, overhead: Overhead) -> Overhead:
        """Prints a line for what a launch costs."""
        click.echo(
            f"measured  an enqueued update of {overhead.variables:,} variables costs the host "
            f"{1e6 * overhead.seconds:,.1f} us"
        )
        return overhead


class _Silent(_Told):
    """Prints nothing: JSON follows."""

    def facts(self, facts: dict[str, Any]) -> None:
        """Does nothing."""

    def result(self, result: Result) -> Result:
        """Gives it back."""
        return result

    def figure(self, figure: Figure) -> Figure:
        """Gives it back."""
        return figure

    def overhead(self, overhead: Overhead) -> Overhead:
        """Gives it back."""
        return overhead


def _summary(results: Iterable[Result]) -> str:
    counts = Counter(result.outcome for result in results)
    line = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    if not counts["failed"]:
        return f"\n{line}."
    return (
        f"\n{line}. Do not train with this installation on this machine: report the output of "
        "`tf_mavg check --json` to whoever you have tf_mavg from."
    )
