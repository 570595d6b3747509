"""The table of contents, made from the list of pages in index.md, which GitHub shows as it is."""

from __future__ import annotations

import re
from typing import Any, Final

_SECTION: Final = re.compile(r"^- \*\*(.+?)\*\*: (.+?)(?=^- |^$|\Z)", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\[([^]]+)\]\(([\w/]+)\.md\)")
_TOCTREE: Final = "\n```{{toctree}}\n:caption: {caption}\n:hidden:\n\n{entries}\n```\n"


def toctrees(text: str) -> str:
    """The directives for the sections that a page lists under "All pages".

    Args:
      text: The page: each section is an item, with its caption in bold and then links to pages.
    """
    made = []
    for caption, links in _SECTION.findall(text.partition("## All pages")[2]):
        entries = [f"{title.replace('`', '')} <{page}>" for title, page in _LINK.findall(links)]
        made.append(_TOCTREE.format(caption=caption, entries="\n".join(entries)))
    return "".join(made)


def _append(app: Any, name: str, source: list[str]) -> None:
    if name == app.config.root_doc:
        source[0] += toctrees(source[0])


def setup(app: Any) -> dict[str, bool]:
    """Connects this to Sphinx."""
    app.connect("source-read", _append)
    return {"parallel_read_safe": True}
