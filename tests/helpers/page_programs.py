"""Programs in pages of Markdown, and running one as a reader would."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import prepared
from places import ROOT

# A fragment stands after a comment, which a reader does not see, with what comes before it.
PROGRAM: Final = re.compile(r"(?:<!-- before\n(.*?)-->\n)?```python\n(.*?)```", re.DOTALL)


def programs_of(pages: Iterable[Path]) -> dict[str, str]:
    """The programs of pages, by page and number."""
    return {
        f"{page.relative_to(ROOT)} {i}": "".join(program)
        for page in pages
        for i, program in enumerate(PROGRAM.findall(page.read_text()))
    }


def check_runs(program: str, folder: Path) -> None:
    """Runs a program in a folder; a comment behind a `print` says what it must print."""
    printed = prepared.must_run(["-c", program], folder)
    for expected in re.findall(r"print\(.*\)  # (.+)", program):
        assert expected in printed
