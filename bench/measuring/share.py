"""What averaging adds to a step of training: with and without, and timed by itself after each."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import tensorflow as tf

import tf_mavg

from .. import device
from ..names import AFTER, BARE, MANY_VARIABLES, OURS, PEER, WITHIN, WITHOUT
from ..workloads import DECAY
from .networks import NETWORKS, dense, training
from .spread import median_with_interval, summary
from .turns import WARM_UP_CALLS, Settings, order_of_turns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .networks import Network

    MakeAverage = Callable[[float], tf.train.ExponentialMovingAverage]


@dataclass(frozen=True)
class Trainer:
    """A step of training, in two parts that are timed one after the other.

    Attributes:
      name: Who averages.
      where: What the averaging is part of; or `AFTER`, where it is called after the step; or
        `BARE`, where there is no step.
      step: Takes the step.
      average: Updates the averages after it, or does nothing.
    """

    name: str
    where: str
    step: Callable[[], object]
    average: Callable[[], object]


def without(make: Callable[[], Network]) -> Trainer:
    """Training without averages."""
    return Trainer(WITHOUT, WITHIN, tf.function(training(make).step), lambda: None)


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


def bare(make: Callable[[], Network], name: str, make_average: MakeAverage) -> Trainer:
    """Averages updated in a tf.function of their own, of a network that is not trained."""
    variables, average = training(make).variables, make_average(DECAY)

    @tf.function
    def update() -> None:
        average.apply(variables)

    return Trainer(name, BARE, lambda: None, update)


_ours = {"name": OURS, "make_average": tf_mavg.ExponentialMovingAverage}
_peer = {"name": PEER, "make_average": tf.train.ExponentialMovingAverage}
TRAINERS: Final = (
    without,
    partial(within, **_ours),
    partial(after, **_ours),
    partial(within, **_peer),
    partial(after, **_peer),
)
# To see whether averaging adds more to a step than it takes by itself, which is a small difference
# of large times: fewer contestants, and more turns.
CLOSE_TRAINERS: Final = (without, partial(within, **_ours), partial(bare, **_ours))
CLOSER: Final = 3
CLOSE_TURNS: Final = 500


def measure_shares(
    settings: Settings, networks: dict[str, Callable[[], Network]] = NETWORKS
) -> list[dict[str, Any]]:
    """Trains every network by turns with and without averages; ready for JSON."""
    return [
        measure_share(name, [trainer(make) for trainer in TRAINERS], variables_of(make), settings)
        for name, make in networks.items()
    ]


def measure_closely(
    settings: Settings, name: str = MANY_VARIABLES, make: Callable[[], Network] = dense
) -> dict[str, Any]:
    """As `measure_shares` of one network, but against the bare update, with more turns."""
    more = replace(settings, seconds=CLOSER * settings.seconds, most=CLOSE_TURNS)
    return measure_share(
        name, [trainer(make) for trainer in CLOSE_TRAINERS], variables_of(make), more
    )


def variables_of(make: Callable[[], Network]) -> list[tf.Variable]:
    """What of a network is trained."""
    return training(make).variables


def measure_share(
    name: str, trainers: list[Trainer], variables: Sequence[Any], settings: Settings
) -> dict[str, Any]:
    """Trains one network; the first of its trainers does not average."""
    print(f"share of training, {name}: {len(trainers)} contestants", file=sys.stderr)
    steps, averages = take_turns(trainers, settings)
    shares = []
    for trainer, step, average in zip(trainers, steps, averages, strict=True):
        added = step - steps[0] if trainer.where not in {AFTER, BARE} else average
        median, low, high = median_with_interval(added)
        whole = float(np.median((steps[0] if trainer.where == BARE else step) + average))
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
