"""The README's promises: its programs run as they are pasted, and its commands exist."""

import json
import os
import re
import subprocess
import sys

import pytest
from places import ROOT

from tf_mavg._bench import tables

README = (ROOT / "README.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_there_are_programs_to_run():
    assert len(PROGRAMS) >= 3


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda text: text.splitlines()[0])
def test_a_program_runs_as_it_is(program, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", program],
        cwd=tmp_path,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # A comment behind a print says what it prints.
    for expected in re.findall(r"print\(.*\)  # (.+)", program):
        assert expected in done.stdout


def test_the_tables_are_those_of_the_results():
    results = json.loads((ROOT / "bench" / "results" / "cpu.json").read_text())
    assert tables.with_section(README, tables.headlines(results)) == README


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make (\w+)`", README))
    assert {"demo", "test"} <= named <= targets
