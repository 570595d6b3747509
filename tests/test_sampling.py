"""Samples of cases: each value, or each two values, occur in what `make test` runs."""

import itertools
import os
import sys

from building import must_run
from places import HELPERS

CONFTEST = """
import pytest
import sampling
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in sampling.beyond_the_sample(items):
        item.add_marker("long")
"""
TESTS = """
import pytest
numbers = pytest.mark.parametrize("number", [1, 2, 3])
letters = pytest.mark.parametrize("letter", ["a", "b"])
flags = pytest.mark.parametrize("flag", [[], [0]], ids=["no", "yes"])
@pytest.mark.sampled
@numbers
@letters
@flags
def test_values(number, letter, flag): pass
@pytest.mark.sampled(pairs=True)
@numbers
@letters
@flags
def test_pairs(number, letter, flag): pass
@numbers
def test_all(number): pass
"""
COLLECT = [sys.executable, "-m", "pytest", "-c", os.devnull, "-q", "--collect-only"]


def test_each_value_or_pair_of_values_occurs(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_cases.py").write_text(TESTS)
    printed = must_run(
        *[*COLLECT, "-m", "not long", "."], cwd=tmp_path, env=os.environ | {"PYTHONPATH": HELPERS}
    )
    cases = {"values": [], "pairs": [], "all": []}
    for line in filter(lambda line: "::test_" in line, printed.splitlines()):
        name, _, values = line.partition("::test_")[2].rstrip("]").partition("[")
        cases[name].append(values.split("-"))
    assert len(cases["all"]) == 3
    assert len(cases["values"]) == 3
    assert {*itertools.chain(*cases["values"])} == {"1", "2", "3", "a", "b", "no", "yes"}
    assert len(cases["pairs"]) < 12
    pairs = {pair for case in cases["pairs"] for pair in itertools.combinations(case, 2)}
    assert len(pairs) == 3 * 2 + 3 * 2 + 2 * 2
