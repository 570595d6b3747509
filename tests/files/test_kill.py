"""A program killed while it saves: its last complete checkpoint restores, all in its place."""

import subprocess
import sys

import pytest
from places import PROGRAMS

KILLS = 50


@pytest.mark.slow
def test_the_last_checkpoint_restores_after_any_kill(tmp_path):
    program = PROGRAMS / "saving_forever.py"
    done = subprocess.run(
        [sys.executable, program, tmp_path / "checkpoints", str(KILLS), "7"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found, files = map(int, done.stdout.split())
    assert found == KILLS - 1  # All but the first child.
    assert files > 0
