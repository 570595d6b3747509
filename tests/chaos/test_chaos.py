"""Kills, signals, a full disk, no permission and no file handles, in every face.

The last complete file restores, with weights and averages in their places; and a process that
survives has its weights back.
"""

import logging

import pytest
from forks import asked

SIGNALS = ["SIGKILL", "SIGTERM", "SIGINT"]
FACES = ["manager", "session", "keras", "tf_keras", "merge"]
# Two children make one kill of which the outcome is looked at.
SHORT, LONG = 2, 13
# A few of all that the long form does: each signal, each face, each fault.
KILLED_IN_SHORT = [
    ("manager", "SIGKILL"),
    ("session", "SIGTERM"),
    ("keras", "SIGKILL"),
    ("tf_keras", "SIGINT"),
    ("merge", "SIGKILL"),
    ("manager", "SIGINT"),
]
FAULTS = ["full", "handles", "permissions"]


# Of what takes a few, where the machine does nothing else.
MAX_SECONDS = 240


@pytest.fixture(scope="module")
def program():
    """The program, which has imported what its children need."""
    with asked("chaos.py") as ask_program:
        yield lambda seconds=MAX_SECONDS, **what: ask_program(seconds=seconds, **what)


@pytest.fixture
def ask(program):
    """Asks the program how many found what they should."""

    def call(**what: object) -> int:
        said = program(**what)
        assert "error" not in said, said["error"]
        # A few signals come where Python drops what their handler raises, see chaos.py.
        dropped, kills = said.get("dropped", 0), what.get("kills", 0)
        logging.getLogger(__name__).warning("%d of %d signals were dropped", dropped, kills)
        assert dropped <= max(1, kills // 3)
        return said["found"]

    return call


@pytest.mark.parametrize(("face", "signal"), KILLED_IN_SHORT)
def test_a_kill_leaves_a_whole_file(face, signal, ask, tmp_path):
    found = ask(face=face, folder=tmp_path, signal=signal, kills=SHORT, seed=7)
    assert found == SHORT - 1  # All but the first child.


@pytest.mark.long
@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("face", [*FACES, "workers"])
def test_many_kills_leave_a_whole_file(face, signal, ask, tmp_path):
    if (face, signal) in {("workers", "SIGTERM"), ("workers", "SIGINT")}:
        pytest.skip("one worker's step waits for the other's, wherever that has ended")
    found = ask(face=face, folder=tmp_path, signal=signal, kills=LONG, seed=20)
    assert found == LONG - 1


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGINT"])
def test_a_process_that_a_signal_does_not_end_fails_with_its_stacks(signal, program, tmp_path):
    said = program(seconds=8, face="deaf", folder=tmp_path, signal=signal, kills=1, seed=7)
    assert "hangs" in said["error"]
    assert "in wait_for_nothing" in said["error"]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("face", FACES)
def test_a_save_that_fails_says_so_and_changes_nothing(face, fault, ask, tmp_path):
    assert ask(face=face, folder=tmp_path, fault=fault) == 1
