"""Runs ExponentialMovingAverage beside TensorFlow's for 1,000 steps; a program for test_parity.

Prints one JSON object: for each dtype whether all bits agree, a digest of them, and for half
precision the largest distance of either from the exact average.
"""

import hashlib
import json
import sys

import numpy as np
import tensorflow as tf
from oracle import SAME_DTYPES, exact, normal

import tf_mavg
from tf_mavg import _native

STEPS = 1000
DECAY = 0.99
# Two sizes beside the chunk size: enough for several threads to take part.
SIZES = [1, 17, 8193, 8193]


def main() -> None:
    """Runs every dtype in a tf.function of each class and compares what comes out."""
    tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[1]))
    report = {"level": _native.active_cpu_level()}
    for dtype in SAME_DTYPES:
        report[dtype.name] = compare(dtype)
    print(json.dumps(report))


def compare(dtype: np.dtype) -> dict[str, object]:
    """Feeds one sequence of values to both classes, with a warm-up by num_updates."""
    rng = np.random.default_rng(5)
    start = [normal(rng, size, dtype) for size in SIZES]
    step = tf.Variable(0, dtype=tf.int64)
    variables = [tf.Variable(value) for value in start]
    classes = (tf_mavg.ExponentialMovingAverage, tf.train.ExponentialMovingAverage)
    both = [cls(DECAY, num_updates=step) for cls in classes]

    @tf.function
    def update(values: list[tf.Tensor]) -> None:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        for averages in both:
            averages.apply(variables)
        step.assign_add(1)

    oracle = [value.astype(np.float64) for value in start]
    for i in range(STEPS):
        values = [normal(rng, size, dtype) for size in SIZES]
        update([tf.constant(value) for value in values])
        decay = min(np.float32(DECAY), np.float32(1 + i) / np.float32(10 + i))
        oracle = [exact(a, v, float(decay)) for a, v in zip(oracle, values, strict=True)]
    ours, theirs = ([averages.average(v).numpy() for v in variables] for averages in both)
    return {
        "same_bits": all(a.tobytes() == b.tobytes() for a, b in zip(ours, theirs, strict=True)),
        "digest": hashlib.sha256(b"".join(a.tobytes() for a in ours)).hexdigest(),
        "our_error": distance(ours, oracle),
        "their_error": distance(theirs, oracle),
    }


def distance(averages: list[np.ndarray], oracle: list[np.ndarray]) -> float:
    """Root mean square distance from the exact averages."""
    difference = np.concatenate(averages).astype(np.float64) - np.concatenate(oracle)
    return float(np.sqrt(np.mean(difference**2)))


if __name__ == "__main__":
    main()
