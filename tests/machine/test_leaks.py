"""What a long run repeats leaves nothing behind: memory, Python objects and file handles are flat.

Each limit is for the second half of the rounds. A leak of a round would be seen as objects.
"""

import gc
import json
import os
import subprocess
import sys
import weakref

import pytest
import tensorflow as tf
from averaging_faces import FACES
from places import PROGRAMS, PROGRAMS_IMPORT

import tf_mavg

SHORT = {"eager steps": 200, "traced functions": 10, "swaps": 100, "InSession": 8}
SHORT |= {kind: 14 for kind in FACES if kind != "InSession"}
LONG = {"eager steps": 40_000, "traced functions": 4000, "swaps": 40_000}
LONG |= dict.fromkeys(FACES, 1000)
MOST_BYTES = 16 << 20  # Of some two megabytes and more each round, where variables are made.
MOST_OBJECTS = 3


def check(rounds):
    arguments = [f"{scenario}:{count}" for scenario, count in rounds.items()]
    done = subprocess.run(
        [sys.executable, PROGRAMS / "leaks.py", *arguments],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": PROGRAMS_IMPORT},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    for scenario, grown in zip(rounds, found, strict=True):
        assert grown["objects"] <= MOST_OBJECTS, (scenario, grown)
        assert grown["bytes"] <= MOST_BYTES, (scenario, grown)
        assert grown["handles"] == 0, (scenario, grown)


def test_a_run_leaves_nothing_behind():
    check(SHORT)


@pytest.mark.long
@pytest.mark.parametrize("scenario", LONG)
def test_a_long_run_leaves_nothing_behind(scenario):
    check({scenario: LONG[scenario]})


def test_averages_keep_their_variables_and_go_with_them():
    variable, averages = tf.Variable([1.0]), tf_mavg.ExponentialMovingAverage(0.5)
    averages.apply([variable])
    gone = weakref.ref(variable)
    del variable
    gc.collect()
    assert gone() is not None  # As docs/costs.md says.
    del averages
    gc.collect()
    assert gone() is None
