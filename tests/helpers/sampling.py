"""Which cases of a test `make test` leaves to `make test-long`.

A test with the mark `sampled` has many cases that take long together. `make test` runs enough of
them for each value of each parameter to occur; with `sampled(pairs=True)`, for each two values of
two parameters. Cases without a mark come before slow ones, and long ones stand for nothing.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable

import pytest


def _sights(case: pytest.Item) -> set[tuple[object, ...]]:
    """What one looks for in a case: the values of its parameters, or pairs of them.

    Values need not compare: each is one object in all cases.
    """
    values = [(name, id(value)) for name, value in sorted(case.callspec.params.items())]
    together = 2 if case.get_closest_marker("sampled").kwargs.get("pairs", False) else 1
    if len(values) <= together:
        message = f"{case.nodeid} has too few parameters to be sampled."
        raise pytest.UsageError(message)
    return {*itertools.combinations(values, together)}


def _sample(cases: list[pytest.Item]) -> set[pytest.Item]:
    """Cases in which all occurs: those that add most, and of these the least like the others."""
    sights = {case: _sights(case) for case in cases}
    times: Counter[object] = Counter()  # How often each was seen in what is chosen.

    def worth(case: pytest.Item) -> tuple[int, int]:
        seen = [times[sight] for sight in sights[case]]
        return seen.count(0), -sum(seen)

    chosen = set()
    fast = [case for case in cases if not case.get_closest_marker("slow")]
    for candidates in (fast, cases):
        while (best := max(candidates, key=worth, default=None)) and worth(best)[0]:
            chosen.add(best)
            times.update(sights[best])
    return chosen


def beyond_the_sample(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """The cases of sampled tests that are not in the sample."""
    tests = defaultdict(list)
    for item in items:
        if item.get_closest_marker("sampled") and not item.get_closest_marker("long"):
            tests[item.nodeid.partition("[")[0]].append(item)
    samples = {name: _sample(cases) for name, cases in tests.items()}
    return [case for name, cases in tests.items() for case in cases if case not in samples[name]]
