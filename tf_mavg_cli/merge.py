"""`tf_mavg merge`: the weighted average of checkpoints, as a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tf_mavg_cli import options
from tf_mavg_cli.progress import bar
from tf_mavg_cli.running import command_body

if TYPE_CHECKING:
    from pathlib import Path


@click.command
@click.argument("files", type=options.PATH, nargs=-1, required=True)
@options.output
@click.option(
    "--weights",
    default="uniform",
    show_default=True,
    help="uniform, minus-sqrt, cosine, or numbers of sum 1, such as 0.2,0.3,0.5.",
)
@click.option("--last", type=int, metavar="K", help="Take the last K files alone.")
@click.option(
    "--float64", is_flag=True, help="Sum in float64 and not in float32, with twice the memory."
)
@options.as_json
@command_body
def merge(  # noqa: PLR0913 - one for each option.
    *,
    files: tuple[Path, ...],
    output: Path,
    weights: str,
    last: int | None,
    float64: bool,
    as_json: bool,
) -> None:
    """Write the weighted average of checkpoints.

    FILES are prefixes of TensorFlow checkpoints, folders of such, or .keras or .weights.h5 files;
    the oldest first.
    """
    from tf_mavg._files.formats import checkpoints_of
    from tf_mavg.merge import coefficients, merge_checkpoints

    paths = [one for path in files for one in checkpoints_of(path)]
    if last is not None:
        if not 1 <= last <= len(paths):
            message = (
                f"--last must be in 1 to {len(paths)}, the number of inputs. Received: {last}."
            )
            raise ValueError(message)
        paths = paths[-last:]
    shares = coefficients(_numbers(weights), len(paths))
    compute_dtype = "float64" if float64 else "float32"
    merge_checkpoints(paths, output, shares, compute_dtype=compute_dtype, progress=bar)
    if as_json:
        inputs = {str(path): float(share) for path, share in zip(paths, shares, strict=True)}
        options.print_json({"inputs": inputs, "output": str(output)})
        return
    width = max(len(str(path)) for path in paths)
    for path, share in zip(paths, shares, strict=True):
        click.echo(f"{path!s:{width}}  {share:.6f}")
    click.echo(f"written: {output}")


def _numbers(weights: str) -> str | list[float]:
    """Numbers, if these are some; else the name of a rule."""
    if any(character.isdigit() for character in weights):
        return [float(number) for number in weights.split(",")]
    return weights
