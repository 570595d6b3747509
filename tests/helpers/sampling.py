"""Which cases of a test `make test` leaves to `make test-long`.

A test with the mark `sampled` has many cases that take long together. `make test` runs a few of
them, in which each value of each parameter occurs; with `sampled(pairs=True)`, each two values of
two parameters occur together.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable

import pytest


def _sights(case: pytest.Item) -> set[tuple[object, ...]]:
    """What one looks for in a case: the values of its parameters, or pairs of them.

    Values need not compare: each is one object in all cases.
    """
    values = [(name, id(value)) for name, value in sorted(case.callspec.params.items())]
    pairs = case.get_closest_marker("sampled").kwargs.get("pairs", False)
    return {*itertools.combinations(values, 2 if pairs else 1)}


def _sample(cases: list[pytest.Item]) -> set[pytest.Item]:
    """Cases in which all occurs that occurs at all: those that add most, first ones first."""
    sights = {case: _sights(case) for case in cases}
    missing, chosen = set().union(*sights.values()), set()
    while missing:
        best = max(cases, key=lambda case: len(sights[case] & missing))
        chosen.add(best)
        missing -= sights[best]
    return chosen


def beyond_the_sample(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """The cases of sampled tests that are not in the sample."""
    tests = defaultdict(list)
    for item in items:
        if item.get_closest_marker("sampled"):
            tests[item.nodeid.partition("[")[0]].append(item)
    samples = {name: _sample(cases) for name, cases in tests.items()}
    return [case for name, cases in tests.items() for case in cases if case not in samples[name]]
