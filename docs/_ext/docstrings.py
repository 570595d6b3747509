"""Docstrings as they are written here, made readable for Sphinx: an indented paragraph is code."""

from __future__ import annotations

from typing import Any, Final

_SECTIONS: Final = {"Args:", "Attributes:", "Raises:", "Returns:"}
_CODE_DEPTH: Final = 4  # Spaces. Sections are indented by two.


def with_code_blocks(lines: list[str]) -> list[str]:
    """Puts a code directive before each indented paragraph that stands outside of sections.

    Args:
      lines: The lines of a docstring, without common indentation.

    Returns:
      The same with the directives. Sections such as `Args:` are left to napoleon.
    """
    made: list[str] = []
    in_section = in_code = False
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if line and depth == 0:
            in_section, in_code = line in _SECTIONS, False
        elif line and depth >= _CODE_DEPTH and not in_section and not in_code:
            made += [".. code-block:: python", ""]
            in_code = True
        made.append(line)
    return made


def _process(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: Any) -> None:
    lines[:] = with_code_blocks(list(lines))


def setup(app: Any) -> dict[str, bool]:
    """Connects this to Sphinx: before napoleon, which takes sections away."""
    app.connect("autodoc-process-docstring", _process, priority=1)
    return {"parallel_read_safe": True}
