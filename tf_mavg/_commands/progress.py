"""The progress bar of commands that go through a file: of tqdm, where that is installed."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def bar(keys: list[str]) -> Iterable[str]:
    """Goes through keys; shows how far that is if somebody watches."""
    if importlib.util.find_spec("tqdm") is None or not sys.stderr.isatty():
        return keys
    from tqdm import tqdm  # noqa: PLC0415 - an extra.

    return tqdm(keys, unit="value")  # type: ignore[no-any-return]
