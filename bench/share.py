"""What averaging adds to a step of training: with and without, and timed by itself after each."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import tensorflow as tf

import tf_mavg

from . import device
from .contestant import OURS
from .networks import NETWORKS, training
from .spread import median_with_interval, summary
from .turns import WARM_UP_CALLS, Settings, order_of_turns
from .updates import PEER
from .workloads import DECAY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .networks import Network
    from .updates_tensorflow import MakeAverage

NOTHING: Final = "without"
WITHIN, AFTER = "in its tf.function", "after it"


@dataclass(frozen=True)
class Trainer:
    """A step of training, in two parts that are timed one after the other.

    Attributes:
      name: Who averages.
      where: What the averaging is part of; or `AFTER`, where it is called after the step.
      step: Takes the step.
      average: Updates the averages after it, or does nothing.
    """

    name: str
    where: str
    step: Callable[[], object]
    average: Callable[[], object]


def without(make: Callable[[], Network]) -> Trainer:
    """Training without averages."""
    return Trainer(NOTHING, WITHIN, tf.function(training(make).step), lambda: None)


def within(make: Callable[[], Network], name: str, make_average: MakeAverage) -> Trainer:
    """Averages in the tf.function of the step."""
    trained, average = training(make), make_average(DECAY)

    @tf.function
    def step() -> None:
        trained.step()
        average.apply(trained.variables)

    return Trainer(name, WITHIN, step, lambda: None)


def after(make: Callable[[], Network], name: str, make_average: MakeAverage) -> Trainer:
    """Averages updated by a call after the step: ours eagerly, TensorFlow's in a tf.function."""
    trained, average = training(make), make_average(DECAY)

    def update() -> None:
        average.apply(trained.variables)

    return Trainer(
        name, AFTER, tf.function(trained.step), update if name == OURS else tf.function(update)
    )


_ours = {"name": OURS, "make_average": tf_mavg.ExponentialMovingAverage}
_grouped = {
    "name": f"{OURS}, grouped",
    "make_average": partial(tf_mavg.ExponentialMovingAverage, grouped=True),
}
_peer = {"name": PEER, "make_average": tf.train.ExponentialMovingAverage}
TRAINERS: Final = (
    without,
    partial(within, **_ours),
    partial(within, **_grouped),
    partial(after, **_ours),
    partial(within, **_peer),
    partial(after, **_peer),
)


def measure_shares(
    settings: Settings, networks: dict[str, Callable[[], Network]] = NETWORKS
) -> list[dict[str, Any]]:
    """Trains every network by turns with and without averages; ready for JSON."""
    return [
        measure_share(
            name, [trainer(make) for trainer in TRAINERS], training(make).variables, settings
        )
        for name, make in networks.items()
    ]


def measure_share(
    name: str, trainers: list[Trainer], variables: Sequence[Any], settings: Settings
) -> dict[str, Any]:
    """Trains one network; the first of its trainers does not average."""
    print(f"share of training, {name}: {len(trainers)} contestants", file=sys.stderr)
    steps, averages = take_turns(trainers, settings)
    shares = []
    for trainer, step, average in zip(trainers, steps, averages, strict=True):
        added = average if trainer.where == AFTER else step - steps[0]
        median, low, high = median_with_interval(added)
        whole = float(np.median(step + average))
        shares.append(
            {
                "name": trainer.name,
                "where": trainer.where,
                "ours": trainer.name.startswith(OURS),
                "added_s": median,
                "added_low_s": low,
                "added_high_s": high,
                "share": median / whole,
                **summary(step + average),
            }
        )
    return {
        "network": name,
        "variables": len(variables),
        "elements": int(sum(np.prod(variable.shape) for variable in variables)),
        "without": summary(steps[0]),
        "contestants": shares[1:],
    }


def take_turns(trainers: list[Trainer], settings: Settings) -> tuple[Any, Any]:
    """The seconds of steps and of the averaging after them: a row a trainer, a column a round."""
    for trainer in trainers:
        for _ in range(WARM_UP_CALLS):
            turn(trainer)
    taken: list[list[tuple[float, float]]] = [[] for _ in trainers]
    for i in order_of_turns(len(trainers), settings):
        taken[i].append(turn(trainers[i]))
    seconds = np.array(taken)
    return seconds[..., 0], seconds[..., 1]


def turn(trainer: Trainer) -> tuple[float, float]:
    """The seconds of one step and of the averaging after it."""
    times = [time.perf_counter()]
    for part in (trainer.step, trainer.average):
        part()
        device.wait()
        times.append(time.perf_counter())
    return times[1] - times[0], times[2] - times[1]
