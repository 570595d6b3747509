"""Options that several commands have, spelled alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

PATH = click.Path(path_type=Path)

output = click.option("-o", "--output", type=PATH, required=True, help="Must not exist.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def print_json(value: Any) -> None:
    """Prints a value as a script would read it."""
    click.echo(json.dumps(value, indent=1))
