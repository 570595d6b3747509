"""1,000 steps beside tf.train.ExponentialMovingAverage, for every instruction level and threads.

Both are set when a process starts, so each combination is a process of its own. How elements are
divided among threads does not depend on the level, so several threads run at the highest one only.
"""

import json

import prepared
import pytest
from levels import LEVELS
from places import PROGRAMS, PROGRAMS_IMPORT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def reports() -> dict[tuple[str, int], dict]:
    """What parity.py found, by level and number of threads."""
    found = {}
    for level, threads in [*((level, 1) for level in LEVELS), (LEVELS[-1], 3)]:
        printed = prepared.must_run(
            [PROGRAMS / "parity.py", threads],
            environment={"PYTHONPATH": PROGRAMS_IMPORT, "TF_MAVG_CPU_LEVEL": level},
        )
        found[level, threads] = json.loads(printed)
    return found


def test_the_level_in_use_is_the_one_asked_for(reports):
    assert {key: report["level"] for key, report in reports.items()} == {
        key: key[0] for key in reports
    }


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_bits_as_tensorflow(reports, dtype):
    assert {key: report[dtype]["same_bits"] for key, report in reports.items()} == dict.fromkeys(
        reports, True
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_nearer_to_the_exact_average_than_tensorflow(reports, dtype):
    for report in reports.values():
        assert report[dtype]["our_error"] < report[dtype]["their_error"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_the_same_bits_at_every_level_and_number_of_threads(reports, dtype):
    assert len({report[dtype]["digest"] for report in reports.values()}) == 1
