"""`tf_mavg posthoc`: averages of other widths, made of snapshots."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tf_mavg._commands.progress import bar
from tf_mavg._posthoc.plot import check_can_plot
from tf_mavg.posthoc import plot_profiles, reconstruct

if TYPE_CHECKING:
    import argparse


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand to the command line."""
    parser = commands.add_parser(
        "posthoc", help="make averages of other widths of snapshots", description=__doc__
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="the folder of snapshots")
    parser.add_argument(
        "--sigma-rel",
        required=True,
        nargs="+",
        type=float,
        metavar="WIDTH",
        help="relative widths, in one pass over the snapshots",
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        nargs="+",
        type=Path,
        metavar="OUT",
        help="one for each width; must not exist",
    )
    parser.add_argument(
        "--step", type=int, help="how many updates the averages have (default: the most)"
    )
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="PLOT",
        help="save how near the snapshots come to the profile of each average: .png, .svg or .pdf; "
        "needs matplotlib, of tf_mavg[plots]",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> str:
    directory, widths, step = options.directory, options.sigma_rel, options.step
    if options.plot:
        check_can_plot(options.plot)
    reconstruct(directory, options.output, widths, step, progress=bar)
    if options.plot:
        plot_profiles(directory, options.plot, widths, step)
    written = [*options.output, *filter(None, [options.plot])]
    return "\n".join(f"written: {path}" for path in written)
