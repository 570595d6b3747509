"""The step of Keras's fit: plain, with Keras's own use_ema, and with tf_mavg's MovingAverage.

`python bench/keras_step.py` prints what `measure` returns, as JSON. A step is one call of the
model's train function, which is what fit calls; each turn is a number of steps of one contestant,
and the contestants take turns, so that what else the machine does meets all of them alike.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

import tf_mavg

if TYPE_CHECKING:
    from collections.abc import Callable

DECAY = 0.999
# Each layer has a kernel and a bias.
LAYERS = 100
WIDTH = 64
BATCH = 32

OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "plain": keras.optimizers.Adam,
    "use_ema": lambda: keras.optimizers.Adam(use_ema=True, ema_momentum=DECAY),
    "tf_mavg": lambda: tf_mavg.keras.MovingAverage("adam", DECAY),
}


def make_step(optimizer: Any, *, jit_compile: bool) -> Callable[[], Any]:
    """A training step of a network of 2 `LAYERS` weights, traced and compiled."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((WIDTH,))])
    for _ in range(LAYERS):
        model.add(keras.layers.Dense(WIDTH, activation="relu"))
    model.compile(optimizer, "mse", jit_compile=jit_compile)
    values = np.ones((BATCH, WIDTH), np.float32)
    batches = iter(tf.data.Dataset.from_tensors((values, values)).repeat())
    model.fit(values, values, batch_size=BATCH, verbose=0)
    train = model.make_train_function()
    for _ in range(2):
        train(batches)
    return lambda: train(batches)


def seconds_a_step(step: Callable[[], Any], steps: int) -> float:
    """The time of a step in a turn of some."""
    start = time.perf_counter()
    for _ in range(steps):
        result = step()
    tf.nest.map_structure(np.asarray, result)  # Waits for the last one.
    return (time.perf_counter() - start) / steps


def measure(rounds: int = 40, steps: int = 10) -> dict[str, Any]:
    """Measures every contestant, without XLA and with it.

    Args:
      rounds: How many turns each contestant takes, at least two.
      steps: How many steps a turn has.

    Returns:
      Under "without XLA" and "with XLA" and the contestant's name: median and quartiles of the
      seconds a step takes. Beside them what was measured.
    """
    results: dict[str, Any] = {
        "settings": {
            "variables": 2 * LAYERS,
            "elements": LAYERS * (WIDTH + 1) * WIDTH,
            "batch": BATCH,
            "rounds": rounds,
            "steps_a_turn": steps,
            "decay": DECAY,
        }
    }
    for name, jit_compile in (("without XLA", False), ("with XLA", True)):
        contestants = {
            key: make_step(make_optimizer(), jit_compile=jit_compile)
            for key, make_optimizer in OPTIMIZERS.items()
        }
        times: dict[str, list[float]] = {key: [] for key in contestants}
        for _ in range(rounds):
            for key, step in contestants.items():
                times[key].append(seconds_a_step(step, steps))
        results[name] = {key: summary(values) for key, values in times.items()}
    return results


def summary(values: list[float]) -> dict[str, Any]:
    """Median and quartiles."""
    first, median, third = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "quartiles": [first, third]}


def main() -> None:
    """Prints the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=40, help="turns of each contestant")
    parser.add_argument("--steps", type=int, default=10, help="steps of a turn")
    options = parser.parse_args()
    print(json.dumps(measure(options.rounds, options.steps), indent=2))


if __name__ == "__main__":
    main()
