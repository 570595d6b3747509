"""The progress bar of commands that go through a file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator


def bar(keys: list[str]) -> Iterator[str]:
    """Goes through keys; shows how far that is if somebody watches."""
    with click.progressbar(keys, file=sys.stderr, hidden=not sys.stderr.isatty()) as shown:
        yield from shown
