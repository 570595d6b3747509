"""`tf_mavg convert`: a file without averages, of one that has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from tf_mavg_cli import options
from tf_mavg_cli.progress import bar
from tf_mavg_cli.running import command_body

if TYPE_CHECKING:
    from pathlib import Path


@click.command
@click.argument("file", type=options.PATH)
@options.output
@click.option(
    "--keep",
    type=click.Choice(["averages", "weights"]),
    default="averages",
    show_default=True,
    help="What the output has for weights.",
)
@click.option(
    "--index", default=0, show_default=True, help="Which averages, where weights have several."
)
@click.option(
    "--averages-name",
    metavar="NAME",
    default="ExponentialMovingAverage",
    show_default=True,
    help="In a Saver's file, the last part of the names of averages.",
)
@command_body
def convert(
    *,
    file: Path,
    output: Path,
    keep: Literal["averages", "weights"],
    index: int,
    averages_name: str,
) -> None:
    """Write the averages of a file for weights.

    FILE is the prefix of a TensorFlow checkpoint, or a .keras file.
    """
    from tf_mavg.convert import convert_checkpoint

    convert_checkpoint(file, output, keep, index=index, averages_name=averages_name, progress=bar)
    click.echo(f"written: {output}, with {keep}")
