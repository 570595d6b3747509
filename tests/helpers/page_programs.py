"""Programs in pages of Markdown, and running one as a reader would."""

import atexit
import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from places import PROGRAMS, ROOT

# A fragment stands after a comment, which a reader does not see, with what comes before it.
PROGRAM: Final = re.compile(r"(?:<!-- before\n(.*?)-->\n)?```python\n(.*?)```", re.DOTALL)


def programs_of(pages: Iterable[Path]) -> dict[str, str]:
    """The programs of pages, by page and number."""
    return {
        f"{page.relative_to(ROOT)} {i}": "".join(program)
        for page in pages
        for i, program in enumerate(PROGRAM.findall(page.read_text()))
    }


@functools.cache
def _prepared() -> subprocess.Popen[str]:
    """A process that has made the imports that take seconds; it ends with this one."""
    process = subprocess.Popen(
        [sys.executable, PROGRAMS / "prepared.py"],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(process.kill)
    return process


def check_runs(program: str, folder: Path) -> None:
    """Runs a program in a folder; a comment behind a `print` says what it must print."""
    process = _prepared()
    output = folder / "output.of.the.program"
    asked = {"program": program, "folder": str(folder), "output": str(output)}
    process.stdin.write(f"{json.dumps(asked)}\n")
    process.stdin.flush()
    status = process.stdout.readline().strip()
    written = output.read_text()
    assert status == "0", written
    for expected in re.findall(r"print\(.*\)  # (.+)", program):
        assert expected in written
