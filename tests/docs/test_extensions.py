"""What docs/_ext makes of docstrings and of the list of pages."""

from contents import toctrees
from docstrings import with_code_blocks


def test_an_indented_paragraph_of_a_docstring_is_code():
    lines = ["It does", "", "    average -= x", "", "    and this", "", "in each step."]
    expected = [*lines[:2], ".. code-block:: python", "", *lines[2:]]
    assert with_code_blocks(lines) == expected


def test_a_section_of_a_docstring_is_none():
    lines = [
        "Args:",
        "  x: A long",
        "    sentence.",
        "",
        "    More of it.",
        "",
        "After.",
        "",
        "    x()",
    ]
    made = with_code_blocks(lines)
    assert made[:8] == lines[:8]
    assert made[8:] == [".. code-block:: python", "", "    x()"]


def test_the_contents_are_what_the_first_page_lists():
    page = (
        "[elsewhere](no.md)\n\n## All pages\n\n- **One**: [A](a.md),\n  [`b` too](b/c.md)\n"
        "- **Two**: [D](d.md)\n"
    )
    assert toctrees(page) == (
        "\n```{toctree}\n:caption: One\n:hidden:\n\nA <a>\nb too <b/c>\n```\n"
        "\n```{toctree}\n:caption: Two\n:hidden:\n\nD <d>\n```\n"
    )
