"""Which cases of a test `make test` leaves to `make test-long`.

A test with the mark `sampled` has many cases that take long together. `make test` runs enough of
them for each value of each parameter to occur; with `sampled(pairs=True)`, for each two values of
two parameters. Cases without a mark come before slow ones, and long ones stand for nothing.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable

import pytest

Values = tuple[tuple[str, int], ...]


def _values(case: pytest.Item) -> Values:
    """The values of its parameters, which need not compare: each is one object in all cases."""
    return tuple((name, id(value)) for name, value in sorted(case.callspec.params.items()))


def _sights(case: pytest.Item) -> set[Values]:
    """What one looks for in a case: the values of its parameters, or pairs of them."""
    values, mark = _values(case), case.get_closest_marker("sampled")
    together = 2 if mark.kwargs.get("pairs", False) else 1
    if len(values) <= together:
        message = f"{case.nodeid} has too few parameters to be sampled."
        raise pytest.UsageError(message)
    return {*itertools.combinations(values, together)}


def _sample(cases: list[pytest.Item]) -> set[pytest.Item]:
    """Cases in which all occurs: those that add most, and of these the least like the others."""
    sights = {case: _sights(case) for case in cases}
    seen, chosen, used = set(), set(), Counter()
    fast = [case for case in cases if not case.get_closest_marker("slow")]
    for candidates in (fast, cases):
        while True:
            best = max(
                candidates,
                default=None,
                key=lambda case: (len(sights[case] - seen), -sum(used[v] for v in _values(case))),
            )
            if best is None or sights[best] <= seen:
                break
            chosen.add(best)
            seen |= sights[best]
            used.update(_values(best))
    return chosen


def beyond_the_sample(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """The cases of sampled tests that are not in the sample."""
    tests = defaultdict(list)
    for item in items:
        if item.get_closest_marker("sampled") and not item.get_closest_marker("long"):
            tests[item.nodeid.partition("[")[0]].append(item)
    samples = {name: _sample(cases) for name, cases in tests.items()}
    return [case for name, cases in tests.items() for case in cases if case not in samples[name]]
