"""`tf_mavg convert`: a file without averages, of one that has them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tf_mavg._commands.progress import bar
from tf_mavg.convert import convert_checkpoint

if TYPE_CHECKING:
    import argparse


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand to the command line."""
    parser = commands.add_parser(
        "convert", help="write the averages of a file for weights", description=__doc__
    )
    parser.add_argument(
        "input", type=Path, metavar="IN", help="prefix of a TensorFlow checkpoint, or a .keras file"
    )
    parser.add_argument("-o", "--output", required=True, type=Path, help="must not exist")
    parser.add_argument(
        "--keep",
        choices=["averages", "weights"],
        default="averages",
        help="what the output has for weights (default: averages)",
    )
    parser.add_argument(
        "--index",
        type=int,
        default=0,
        help="which averages, where weights have several (default: %(default)s)",
    )
    parser.add_argument(
        "--averages-name",
        default="ExponentialMovingAverage",
        metavar="NAME",
        help="in a Saver's file, the last part of the names of averages (default: %(default)s)",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> str:
    convert_checkpoint(
        options.input,
        options.output,
        options.keep,
        index=options.index,
        averages_name=options.averages_name,
        progress=bar,
    )
    return f"written: {options.output}, with {options.keep}"
