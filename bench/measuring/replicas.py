"""Averages of variables that replicas mirror: the time of an update, and each replica's bytes.

Replicas are logical CPUs, which TensorFlow makes before its first op only. So each number of them
is measured in a process of its own.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import tensorflow as tf

import tf_mavg

from .. import device
from ..contestants.contestant import Contestant
from ..names import OURS, PEER, REPLICATED, SHARDED
from ..workloads import AVERAGES, MANY_LARGE, MODEST, VARIABLES, Case
from .spread import summary
from .turns import take_turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from .steps import Choice
    from .turns import Settings

REPLICAS: Final = (2, 4)
CASES: Final = (Case(MODEST), Case(MANY_LARGE))
# Every contestant's runner.
RUNNER: Final = "strategy.run"

CONTESTANTS: Final[dict[str, Callable[[float], tf.train.ExponentialMovingAverage]]] = {
    REPLICATED: tf_mavg.ExponentialMovingAverage,
    SHARDED: lambda decay: tf_mavg.ExponentialMovingAverage(decay, placement="sharded"),
    PEER: tf.train.ExponentialMovingAverage,
}


def measure_replicas(settings: Settings, choice: Choice) -> list[dict[str, Any]]:
    """Measures each number of replicas on the cases that are chosen; entries ready for JSON."""
    return [
        in_new_process(settings, replicas, case)
        for case in CASES
        if choice.has_case(case)
        for replicas in REPLICAS
    ]


def in_new_process(settings: Settings, replicas: int, case: Case) -> dict[str, Any]:
    """`measure` where TensorFlow has made no devices yet."""
    print(f"{replicas} replicas, {case.name}: {len(CONTESTANTS)} contestants", file=sys.stderr)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(measure, settings, replicas, case).result()


def measure(settings: Settings, replicas: int, case: Case) -> dict[str, Any]:
    """Lets all contestants take turns with an update of all replicas; an entry ready for JSON."""
    strategy = mirrored(replicas)
    made = {name: make(strategy, case, average) for name, average in CONTESTANTS.items()}
    contestants = [contestant for contestant, _ in made.values()]
    calls, seconds = take_turns([(c.step, c.wait) for c in contestants], settings)
    return {
        "replicas": replicas,
        "workload": case.workload.name,
        "dtypes": case.dtypes.name,
        "variables": len(case.workload.shapes),
        "elements": case.elements,
        "variable_bytes": case.variable_bytes,
        "baseline": PEER,
        "contestants": [
            {
                "name": name,
                "runner": RUNNER,
                "ours": name.startswith(OURS),
                "average_bytes": max(made[name][1]),
                "all_average_bytes": sum(made[name][1]),
                "calls_a_turn": calls[i],
                **summary(seconds[i]),
            }
            for i, name in enumerate(made)
        ],
    }


def mirrored(replicas: int) -> tf.distribute.MirroredStrategy:
    """A strategy of as many logical CPUs."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    one = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [one] * replicas)
    return tf.distribute.MirroredStrategy([f"/cpu:{i}" for i in range(replicas)])


def make(
    strategy: tf.distribute.Strategy,
    case: Case,
    make_average: Callable[[float], tf.train.ExponentialMovingAverage],
) -> tuple[Contestant, list[int]]:
    """A contestant whose step updates the averages of all replicas, in one tf.function.

    Returns:
      The contestant, and the bytes of averages on each device.
    """
    with strategy.scope():
        variables = [
            tf.Variable(value, aggregation=tf.VariableAggregation.MEAN)
            for value in case.values(VARIABLES)
        ]
        average = make_average(case.decay)
        average.apply(variables)  # Makes the averages.
    averages = [average.average(variable) for variable in variables]
    for one, value in zip(averages, case.values(AVERAGES), strict=True):
        one.assign(value)

    def update() -> None:
        average.apply(variables)

    @tf.function
    def step() -> None:
        strategy.run(update)

    lists = {AVERAGES: averages, VARIABLES: variables}
    contestant = Contestant(step, lambda role: [one.numpy() for one in lists[role]], device.wait)
    return contestant, bytes_by_device(averages, strategy)


def bytes_by_device(averages: list[Any], strategy: tf.distribute.Strategy) -> list[int]:
    """The bytes of averages on each device of a strategy."""
    held: Counter[str] = Counter()
    for average in averages:
        for component in getattr(average, "values", [average]):
            held[component.device] += component.dtype.size * component.shape.num_elements()
    return [held[name] for name in strategy.extended.worker_devices]
