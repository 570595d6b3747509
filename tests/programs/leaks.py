"""Repeats what a long run repeats, and prints what it leaves behind; a program for test_leaks.

Usage: leaks.py SCENARIO:ROUNDS... Prints a line of JSON for each, of the second half of the rounds:
by how many bytes memory grew, how many Python objects and how many file handles there are more.
Each scenario runs in a fork, before TensorFlow has started a thread here.
"""

import gc
import json
import os
import random
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from averaging_faces import FACES, InSession

import tf_mavg

NAMES = ["a", "b", "c"]
ELEMENTS = 200_000  # Of each variable of what is made and dropped: 800 KB.


def eager_steps() -> Callable[[], None]:
    """Steps that name other variables each time, at times a new one."""
    rng = random.Random(5)
    variables = [tf.Variable(tf.zeros([100])) for _ in range(20)]
    ema = tf_mavg.ExponentialMovingAverage(0.9)

    def once() -> None:
        ema.apply(rng.sample(variables, rng.randint(1, len(variables))))

    return once


def traced_functions() -> Callable[[], None]:
    """Functions that hold a binding, traced and dropped."""
    variables = [tf.Variable(tf.zeros([100])) for _ in range(3)]
    ema = tf_mavg.ExponentialMovingAverage(0.9)

    def once() -> None:
        function = tf.function(lambda: [ema.apply(variables), None][1])
        function()

    return once


def swaps() -> Callable[[], None]:
    """Swaps there and back, of float32 averages of half precision."""
    variables = [tf.Variable(tf.zeros([1000], tf.bfloat16)) for _ in range(3)]
    ema = tf_mavg.ExponentialMovingAverage(0.9, average_dtype="float32")
    ema.create_averages(variables)

    def once() -> None:
        with ema.swapped():
            pass

    return once


def of_face(kind: str) -> Callable[[], None]:
    """Variables and what averages them, made, trained, swapped and dropped."""
    zeros = {name: np.zeros(ELEMENTS, np.float32) for name in NAMES}

    def once() -> None:
        face: Any = FACES[kind](zeros)
        face.create(NAMES)
        face.step(NAMES)
        with face.swapped():
            pass
        if isinstance(face, InSession):
            face.close()

    return once


SCENARIOS: dict[str, Callable[[], Callable[[], None]]] = {
    "eager steps": eager_steps,
    "traced functions": traced_functions,
    "swaps": swaps,
    **{kind: lambda kind=kind: of_face(kind) for kind in FACES},
}


def measured() -> tuple[int, int, int]:
    """Memory in bytes, objects, and file handles."""
    for _ in range(3):
        gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    handles = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - it counts them.
    return pages * resource.getpagesize(), len(gc.get_objects()), handles


def run(scenario: str, rounds: int) -> None:
    """Warms up for a half of the rounds, and measures over the other one."""
    once = SCENARIOS[scenario]()
    for _ in range(rounds // 2):
        once()
    measured()  # It takes memory itself, the first time.
    before = measured()
    for _ in range(rounds // 2):
        once()
    found = [now - then for now, then in zip(measured(), before, strict=True)]
    print(json.dumps(dict(zip(("bytes", "objects", "handles"), found, strict=True))), flush=True)


def main() -> None:
    """Runs all that is named."""
    for asked in sys.argv[1:]:
        scenario, _, rounds = asked.partition(":")
        child = os.fork()
        if child == 0:
            status = 1
            try:
                run(scenario, int(rounds))
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        if status:
            sys.exit(f"{asked} ended with {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    main()
