"""`tf_mavg merge`: the weighted average of checkpoints, as a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tf_mavg._commands.progress import bar
from tf_mavg._files.formats import checkpoints_of
from tf_mavg.merge import coefficients, merge_checkpoints

if TYPE_CHECKING:
    import argparse


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand to the command line."""
    parser = commands.add_parser(
        "merge", help="write the weighted average of checkpoints", description=__doc__
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        type=Path,
        metavar="IN",
        help="prefixes of TensorFlow checkpoints, folders of such, or .keras or .weights.h5 files; "
        "the oldest first",
    )
    parser.add_argument("-o", "--output", required=True, type=Path, help="must not exist")
    parser.add_argument(
        "--weights",
        default="uniform",
        help="uniform, minus-sqrt, cosine, or numbers of sum 1, such as 0.2,0.3,0.5",
    )
    parser.add_argument("--last", type=int, metavar="K", help="take the last K inputs alone")
    parser.add_argument(
        "--float64",
        action="store_true",
        help="sum in float64 and not in float32, with twice the memory",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> str:
    paths = [one for path in options.inputs for one in checkpoints_of(path)]
    if options.last is not None:
        if not 1 <= options.last <= len(paths):
            message = (
                f"--last must be in 1 to {len(paths)}, the number of inputs. "
                f"Received: {options.last}."
            )
            raise ValueError(message)
        paths = paths[-options.last :]
    weights = options.weights
    if any(character.isdigit() for character in weights):
        weights = [float(number) for number in weights.split(",")]
    shares = coefficients(weights, len(paths))
    compute_dtype = "float64" if options.float64 else "float32"
    merge_checkpoints(paths, options.output, shares, compute_dtype=compute_dtype, progress=bar)
    width = max(len(str(path)) for path in paths)
    rows = [f"{path!s:{width}}  {share:.6f}" for path, share in zip(paths, shares, strict=True)]
    return "\n".join([*rows, f"written: {options.output}"])
