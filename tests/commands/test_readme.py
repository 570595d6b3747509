"""The promises of README.md and docs/: README's programs run as pasted, and names are there."""

import json
import re

import pytest
from page_programs import check_runs, programs_of
from places import ROOT

from tf_mavg._bench.reporting import tables

README = (ROOT / "README.md").read_text()
GUIDES = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [ROOT / "README.md", *GUIDES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
PROGRAMS = programs_of([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"])

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def test_there_are_programs_to_run():
    assert sum(name.startswith("README.md") for name in PROGRAMS) >= 3


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_runs_as_it_is(program, tmp_path):
    check_runs(program, tmp_path)


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pages
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        assert path.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(path.read_text()), target


def test_a_newcomer_finds_an_answer_within_two_clicks():
    index = ROOT / "docs" / "index.md"
    assert f"]({index.relative_to(ROOT)})" in README
    section = index.read_text().partition("## Ten questions")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+\?.*) \| (.+) \|$", section, re.MULTILINE)
    assert len(rows) == 10
    for question, answers in rows:
        links = re.findall(r"\]\(([\w/]+\.md)[^)]*\)", answers)
        assert links, question
        assert all((index.parent / link).exists() for link in links), question


def test_the_map_of_the_sources_names_every_file():
    page = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`([\w./]+)`", page))
    # A row of the map has a folder, or none for one more file of the folder above, and files.
    folder = ""
    for first, files in re.findall(r"^\| (?:`([\w./]+)` )?\| (`[^|]+) \|", page, re.MULTILINE):
        folder = first or folder
        named |= {f"{folder}/{file}" for file in re.findall(r"`([\w./]+)`", files)}
    for folder in ("tf_mavg", "cc", "cuda"):
        for path in (ROOT / folder).rglob("*"):
            name = path.relative_to(ROOT).as_posix()
            subject = re.sub(r"\.\w+$", "", name)
            is_source = path.suffix in {".py", ".cc", ".h", ".cu", ".cuh"}
            if is_source and path.name != "__init__.py":
                assert subject in named or name in named, name
    for name in named:
        if name.startswith(("tf_mavg/", "cc/", "cuda/", "tests/")):
            found = [*ROOT.glob(name), *ROOT.glob(f"{name}.*")]
            assert found, name


def test_the_tables_are_those_of_the_results():
    results = json.loads((ROOT / "bench" / "results" / "cpu.json").read_text())
    for page in (ROOT / "docs" / "speed.md", ROOT / "docs" / "costs.md", ROOT / "README.md"):
        assert tables.with_tables(page.read_text(), results) == page.read_text()


@pages
def test_every_make_target_that_is_named_exists(page):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([\w-]+)`", page.read_text()))
    assert named <= targets
    if page.name == "README.md":
        assert {"demo", "test"} <= named
