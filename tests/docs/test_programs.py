"""Every program of docs/ runs as it is pasted, and prints what the page says."""

import pytest
from page_programs import check_runs, programs_of
from places import ROOT

pytestmark = pytest.mark.slow

PROGRAMS = programs_of(sorted((ROOT / "docs").rglob("*.md")))


def test_there_are_programs_to_run():
    pages = {name.partition(".")[0] for name in PROGRAMS}
    assert pages >= {f"docs/{name}" for name in ("files", "keras", "swap", "migrate/addons")}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_runs_as_it_is(program, tmp_path):
    check_runs(program, tmp_path)
