"""The command line: `python -m tf_mavg`."""

from __future__ import annotations

import argparse
import importlib

from tf_mavg._commands import convert, merge, posthoc
from tf_mavg._commands.info import report


def main() -> None:
    """Runs the subcommand that the command line names."""
    parser = argparse.ArgumentParser(prog="tf_mavg", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("info", help="print what this installation is made of and runs on")
    merge.add_to(commands)
    convert.add_to(commands)
    posthoc.add_to(commands)
    bench = commands.add_parser(
        "bench", help="measure it against its peers on this machine", add_help=False
    )
    bench.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if options.command == "info":
        print(report())
    elif options.command == "bench":
        # Only a built package holds the benchmark.
        importlib.import_module("tf_mavg._bench.cli").main(options.arguments)
    else:
        try:
            print(options.run(options))
        except (OSError, ValueError, ModuleNotFoundError) as error:  # The user can put it right.
            parser.exit(1, f"tf_mavg {options.command}: {error}\n")


if __name__ == "__main__":
    main()
