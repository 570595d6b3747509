"""`tf_mavg posthoc`: averages of other widths, made of snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tf_mavg_cli import options
from tf_mavg_cli.progress import bar
from tf_mavg_cli.running import command_body

if TYPE_CHECKING:
    from pathlib import Path


@click.command
@click.argument("directory", type=options.PATH)
@click.option(
    "--sigma-rel",
    "widths",
    type=float,
    metavar="WIDTH",
    multiple=True,
    required=True,
    help="A relative width; several are made in one pass over the snapshots.",
)
@click.option(
    "-o",
    "--output",
    "outputs",
    type=options.PATH,
    multiple=True,
    required=True,
    help="One for each width; must not exist.",
)
@click.option("--step", type=int, help="How many updates the averages have.  [default: the most]")
@click.option(
    "--plot",
    type=options.PATH,
    help="Save how near the snapshots come to the profile of each average: .png, .svg or .pdf; "
    "needs matplotlib, of tf_mavg[plots].",
)
@command_body
def posthoc(
    directory: Path,
    widths: tuple[float, ...],
    outputs: tuple[Path, ...],
    step: int | None,
    plot: Path | None,
) -> None:
    """Make averages of other widths of snapshots.

    DIRECTORY is their folder.
    """
    from tf_mavg._posthoc.plot import check_can_plot
    from tf_mavg.posthoc import plot_profiles, reconstruct

    if plot:
        check_can_plot(plot)
    reconstruct(directory, list(outputs), list(widths), step, progress=bar)
    if plot:
        plot_profiles(directory, plot, list(widths), step)
    for path in [*outputs, *filter(None, [plot])]:
        click.echo(f"written: {path}")
