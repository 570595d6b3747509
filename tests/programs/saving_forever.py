"""Trains and saves until it is killed; a program for test_kill.

Usage: saving_forever.py FOLDER KILLS SEED. Its children each check what the one before them left,
train and save; each is killed at a random moment. Prints how many of them found a checkpoint.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

import tf_mavg

# What counts as a checkpoint: every weight is its step, every average half of it.
SIZES = [1000, 50_000, 3]


def work(folder: str, report: int) -> None:
    """Restores, checks and saves until killed; reports a byte when checked and for each save."""
    step = tf.Variable(0, dtype=tf.int64)
    weights = [tf.Variable(tf.zeros(size)) for size in SIZES]
    ema = tf_mavg.ExponentialMovingAverage(0.5)
    ema.create_averages(weights)
    averages = [ema.average(weight) for weight in weights]
    checkpoint = tf.train.Checkpoint(step=step, weights=weights, ema=ema)
    manager = tf_mavg.SwappingCheckpointManager(checkpoint, ema, folder, max_to_keep=2)
    found = manager.restore() is not None
    value = float(step.numpy())
    for weight, average in zip(weights, averages, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)
        np.testing.assert_array_equal(average.numpy(), value / 2)
    os.write(report, b"1" if found else b"0")
    while True:
        step.assign_add(1)
        for weight, average in zip(weights, averages, strict=True):
            weight.assign(tf.fill(weight.shape, float(step.numpy())))
            average.assign(weight / 2)
        manager.save()
        os.write(report, b"s")


def main() -> None:
    """Forks children, before TensorFlow starts threads, and kills them."""
    folder, kills, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rng = random.Random(seed)
    found = 0
    for _ in range(kills):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            work(folder, writing)
        os.close(writing)
        byte = os.read(reading, 1)  # Empty if the child failed before it could say.
        start = time.monotonic()
        if not byte or not os.read(reading, 1):
            os.waitpid(child, 0)
            sys.exit("a checkpoint was not restored as it was saved")
        found += int(byte)
        # Somewhere in one of its next saves, however fast this machine is now.
        time.sleep(rng.uniform(0.0, 2.0 * (time.monotonic() - start)))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
    print(found, len(list(Path(folder).glob("*.index"))))


if __name__ == "__main__":
    main()
