"""The benchmark: its contestants do what they claim, and its report says what its JSON says."""

import contextlib
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import contestants
import machine
import measure
import numpy as np
import pytest
import report
from workloads import DECAY, MANY_LARGE, Workload

WORKLOAD = Workload(variables=5, elements=7)
STEPS = 3


@pytest.fixture(scope="module")
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as entered:
        yield entered


@pytest.fixture(scope="module")
def updates(stack: contextlib.ExitStack) -> list[contestants.Contestant]:
    return contestants.make_updates(WORKLOAD, stack)


@pytest.fixture(scope="module")
def swaps(stack: contextlib.ExitStack) -> list[contestants.Contestant]:
    return contestants.make_swaps(WORKLOAD, stack)


def test_all_updates_compute_the_same(updates: list[contestants.Contestant]) -> None:
    variables, expected = WORKLOAD.values(1), WORKLOAD.values(0).astype(np.float64)
    for _ in range(STEPS):
        expected -= (expected - variables) * (1 - DECAY)
    for contestant in updates:
        np.testing.assert_array_equal(contestant.averages(), WORKLOAD.values(0))
        for _ in range(STEPS):
            contestant.step()
        label = f"{contestant.name} in {contestant.runner}"
        np.testing.assert_allclose(contestant.averages(), expected, rtol=1e-5, err_msg=label)
        np.testing.assert_array_equal(contestant.variables(), variables, err_msg=label)


def test_all_swaps_swap(swaps: list[contestants.Contestant]) -> None:
    for contestant in swaps:
        contestant.step()
        exact = contestant.name != contestants.ARITHMETIC
        tolerance = {"rtol": 0, "atol": 0 if exact else 1e-6}
        label = f"{contestant.name} in {contestant.runner}"
        np.testing.assert_allclose(
            contestant.averages(), WORKLOAD.values(1), **tolerance, err_msg=label
        )
        np.testing.assert_allclose(
            contestant.variables(), WORKLOAD.values(0), **tolerance, err_msg=label
        )


def test_baseline_and_limit_take_part(
    updates: list[contestants.Contestant], swaps: list[contestants.Contestant]
) -> None:
    made = {"update": updates, "swap": swaps}
    for operation in measure.OPERATIONS:
        entrants = {(c.name, c.runner) for c in made[operation.name]}
        assert len(entrants) == len(made[operation.name])
        assert (operation.baseline, report.DEFAULT_RUNNER) in entrants
        assert operation.limit in {None, *(name for name, _ in entrants)}
        assert any(c.ours for c in made[operation.name])


def test_every_step_gets_its_turns() -> None:
    called = [0, 0]

    def call(i: int) -> None:
        called[i] += 1

    calls, seconds = measure.take_turns(
        [lambda: call(0), lambda: call(1)], rounds=4, turn_seconds=1e-5
    )
    for i in (0, 1):
        assert len(seconds[i]) == 4
        assert called[i] == 2 * measure.WARM_UP_CALLS + 4 * calls[i]
        assert min(seconds[i]) > 0


def test_the_summary_is_median_and_quartiles() -> None:
    assert measure.summary([5, 1, 3, 2, 4]) == {
        "first_quartile_s": 2,
        "median_s": 3,
        "third_quartile_s": 4,
    }


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    """A real run, tiny, as it comes back from JSON."""
    measured = {
        "conditions": machine.conditions(),
        "load_average": {"before": 0.0, "after": 0.1},
        "settings": {"decay": DECAY, "rounds": 2, "turn_seconds": 1e-4},
        "entries": measure.measure_all([WORKLOAD], rounds=2, turn_seconds=1e-4),
    }
    return json.loads(json.dumps(measured))  # type: ignore[no-any-return]


def test_the_json_says_what_ran_where(results: dict[str, Any]) -> None:
    conditions = results["conditions"]
    assert conditions["versions"].keys() >= {"python", "tf_mavg", "numpy"}
    assert conditions["machine"].keys() == {"processor", "cores", "memory_bytes", "kernel"}
    assert conditions["cpu_level"] in {"baseline", "avx2", "avx512"}
    assert [entry["operation"] for entry in results["entries"]] == ["update", "swap"]
    for entry in results["entries"]:
        assert (entry["variables"], entry["elements"]) == (5, 7)
        assert entry["update_bytes"] == 12 * 5 * 7
        for contestant in entry["contestants"]:
            times = [contestant[f"{n}_s"] for n in ("first_quartile", "median", "third_quartile")]
            assert 0 < times[0] <= times[1] <= times[2]


def example() -> dict[str, Any]:
    """Results with round numbers, on a workload that memory limits."""

    def contestant(name: str, runner: str, median: float, *, ours: bool = False) -> dict[str, Any]:
        return {"name": name, "runner": runner, "ours": ours, "median_s": median}

    return {
        "conditions": {
            "date": "2026-01-02T03:04:05+00:00",
            "machine": {"processor": "A Processor", "cores": 2},
            "versions": {"python": "3.11.0"},
        },
        "load_average": {"before": 0.1, "after": 1.2},
        "settings": {"rounds": 9},
        "entries": [
            {
                "operation": "update",
                "workload": MANY_LARGE.name,
                "update_bytes": MANY_LARGE.update_bytes,
                "baseline": "theirs",
                "limit": "loop",
                "contestants": [
                    contestant("tf_mavg", "eager", 0.002, ours=True),
                    contestant("tf_mavg", "Session", 0.004, ours=True),
                    contestant("theirs", "tf.function", 0.008),
                    contestant("theirs", "Session", 0.040),
                    contestant("loop", "C++", 0.001),
                ],
            }
        ],
    }


def test_ratios() -> None:
    (entry,) = example()["entries"]
    eager, session, function = entry["contestants"][:3]
    assert report.speed_up(entry, eager) == pytest.approx(4)  # Against the tf.function.
    assert report.speed_up(entry, session) == pytest.approx(10)  # Against the Session.
    assert report.speed_up(entry, function) == 1
    assert report.share_of_limit(entry, eager) == pytest.approx(0.5)
    small = entry | {"update_bytes": 1000}
    assert report.share_of_limit(small, eager) is None


def test_the_table() -> None:
    assert report.tables(example()).splitlines() == [
        "| update | in | 400 x 65,536 float32 | times faster | of the limit |",
        "| --- | --- | ---: | ---: | ---: |",
        "| tf_mavg | eager | 2.00 ms | 4.0 | 0.50 |",
        "| tf_mavg | Session | 4.00 ms | 10 | 0.25 |",
        "| theirs | tf.function | 8.00 ms | 1.0 | 0.12 |",
        "| theirs | Session | 40.0 ms | 1.0 | 0.025 |",
        "| loop | C++ | 1.00 ms | 8.0 | 1.0 |",
        "",
        (
            "Medians of 9 interleaved turns; times faster than theirs, in a Session where the row "
            "is, else in a tf.function. A Processor, 2 cores, load 0.1 to 1.2, python 3.11.0, "
            "2026-01-02."
        ),
    ]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(1.5, "1,500 ms"), (0.1234, "123 ms"), (0.00567, "5.67 ms"), (9.99e-4, "999 µs")],
)
def test_times_have_three_digits(seconds: float, expected: str) -> None:
    assert report.readable(seconds) == expected


def test_the_report_depends_on_the_json_alone(results: dict[str, Any], tmp_path: Path) -> None:
    untouched = copy.deepcopy(results)
    text = report.tables(results)
    pictures = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        paths = report.plot(results, tmp_path / name, "cpu")
        assert [path.name for path in paths] == ["cpu.png", "cpu.svg"]
        pictures.append([path.read_bytes() for path in paths])
    assert pictures[0] == pictures[1]
    assert report.tables(results) == text
    assert results == untouched
