"""The command line: `python -m tf_mavg`."""

from __future__ import annotations

import argparse

from tf_mavg._info import report


def main() -> None:
    """Runs the subcommand that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tf_mavg", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("info", help="print what this installation is made of and runs on")
    parser.parse_args()
    print(report())


if __name__ == "__main__":
    main()
