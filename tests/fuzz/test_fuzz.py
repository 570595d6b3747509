"""Files and arguments that are damaged or lie: a clear error, no crash and no other value.

Each target runs in a fork of one process, so that a crash is a failed test and no more.
"""

import pytest
from forks import asked

# How many examples of each target: in make test, and in make test-long.
EXAMPLES = {
    "merging": 40,
    "converting": 40,
    "restoring": 40,
    "saver": 40,
    "archives": 40,
    "descriptions": 150,
    "snapshots": 40,
    "arguments": 150,
}
LONG = 25  # Times as many.
targets = pytest.mark.parametrize("target", EXAMPLES)


@pytest.fixture(scope="module")
def fuzz(tmp_path_factory):
    """Runs examples of a target in a program that has imported what they need."""
    with asked("fuzz.py") as ask:

        def call(target: str, examples: int) -> None:
            folder = tmp_path_factory.mktemp(target)
            wrong = ask(target=target, folder=folder, examples=examples)
            assert not wrong, wrong

        yield call


@targets
def test_what_is_damaged_is_refused(target, fuzz):
    fuzz(target, EXAMPLES[target])


@pytest.mark.long
@targets
def test_much_that_is_damaged_is_refused(target, fuzz):
    fuzz(target, LONG * EXAMPLES[target])
