"""The lists of mutants fit the sources, and a sample is caught; `make mutants` runs all.

The tests of the GPU's kernels run on a device of one multiprocessor here, and pass there.
"""

import ptx_rounding
import pytest
from mutants import making
from mutants.listing import Kind, Mutant, all_mutants
from mutants.running import Outcome, result_of, run_on_kernels
from places import ROOT

MUTANTS = all_mutants()
# Some that take little time.
SAMPLE = [
    "a binding that is gone remembered",
    "tied weights averaged twice",
    "swap of one side",
    pytest.param("answer that nothing waits for", marks=pytest.mark.long),  # Compiles an op.
]
CONTRACTION = Mutant(
    "contraction", Kind.KERNELS, "cuda/compile_kernels.py", "--fmad=false", "--fmad=true", ""
)


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_a_mutant_has_its_text_and_its_test(mutant):
    assert mutant.is_up_to_date


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLE)
def test_a_mutant_is_caught(name):
    result = result_of(MUTANTS[name])
    assert result.outcome is Outcome.CAUGHT, result.output


@pytest.mark.slow
def test_what_changes_nothing_survives():
    right = MUTANTS["tied weights averaged twice"]
    harmless = right._replace(wrong=f"# Nothing.\n        {right.right}")
    result = result_of(harmless)
    assert result.outcome is Outcome.SURVIVED, result.output


@pytest.mark.parametrize(
    ("change", "output"),
    [
        ({"right": "no such text"}, "0 times, not once"),
        ({"test": "tests/averages/test_optimizer.py::test_none"}, "not found"),
    ],
    ids=["text", "test"],
)
def test_what_cannot_be_run_is_not_taken_for_caught(change, output):
    result = result_of(MUTANTS["tied weights averaged twice"]._replace(**change))
    assert result.outcome is Outcome.BROKEN
    assert output in result.output


@pytest.mark.slow
def test_the_tests_of_kernels_pass_without_a_mutant(tmp_path):
    tests = {one.test for one in MUTANTS.values() if one.kind is Kind.KERNELS}
    done = run_on_kernels(making.kernels(None, tmp_path), [str(ROOT / test) for test in tests])
    assert done.returncode == 0, done.stdout


def test_a_compilation_that_may_contract_shows_in_the_ptx(tmp_path):
    ptx = making.kernels(CONTRACTION, tmp_path)
    assert not ptx_rounding.says_how(ptx.read_text())
