"""A file that appears whole or not at all: written in a folder beside it, and renamed."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def beside(output: Path) -> Iterator[Path]:
    """An empty folder in the folder of an output, on the same disk; removed in the end.

    A process that is killed leaves the folder. Its name begins with a dot and the output's name.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_is_new(output: Path, *files: Path) -> None:
    """Raises FileExistsError if there is an output already."""
    found = next((file for file in files if file.exists()), None)
    if found is not None:
        message = (
            f"The output {output} must not exist, so that nothing is lost. Received: one with the "
            f"file {found.name}; remove it or choose another name."
        )
        raise FileExistsError(message)
