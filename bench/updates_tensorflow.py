"""Contestants that update averages in TensorFlow: tf_mavg's and its peers'."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import tensorflow as tf

import tf_mavg

from . import device, graph
from .contestant import Contestant, Ground, outside_graphs
from .workloads import AVERAGES, VARIABLES

if TYPE_CHECKING:
    from collections.abc import Callable

    # tf.function, with or without XLA; or what leaves a step as it is.
    Wrap = Callable[[Callable[[], None]], Callable[[], object]]
    MakeAverage = Callable[[float], tf.train.ExponentialMovingAverage]
    Formula = Callable[[tf.Variable, tf.Variable, float], None]

xla = functools.partial(tf.function, jit_compile=True)


def eager(step: Callable[[], None]) -> Callable[[], None]:
    """Leaves a step as it is."""
    return step


def group_op(ground: Ground, wrap: Wrap) -> Contestant:
    """The op on a group of pairs that was bound once, called eagerly or in a tf.function."""
    averages, variables = ground.variables(AVERAGES), ground.variables(VARIABLES)
    groups = tf_mavg.ops.PairGroups(averages, variables)
    with tf.device(device.name()):
        decay = tf.constant(ground.case.decay)

    def step() -> None:
        groups.apply_moving_average(decay)

    return outside_graphs(wrap(step), averages, variables)


def op_in_function(ground: Ground, wrap: Wrap) -> Contestant:
    """The op on two lists, in a tf.function."""
    averages, variables = ground.variables(AVERAGES), ground.variables(VARIABLES)

    def step() -> None:
        tf_mavg.ops.apply_moving_average(averages, variables, ground.case.decay)

    return outside_graphs(wrap(step), averages, variables)


def op_in_session(ground: Ground) -> Contestant:
    """The op on two lists, in a Session."""

    def build() -> graph.Built:
        averages, variables = (graph.make_variables(ground, r) for r in (AVERAGES, VARIABLES))
        operation = tf_mavg.ops.apply_moving_average(averages, variables, ground.case.decay)
        return operation, averages, variables

    return graph.in_session(ground, build)


def apply(ground: Ground, make: MakeAverage, wrap: Wrap) -> Contestant:
    """`apply` of an object that makes the averages: ours or TensorFlow's."""
    average, variables = make(ground.case.decay), ground.variables(VARIABLES)

    def once() -> None:
        average.apply(variables)

    step = wrap(once)
    step()  # Makes the averages.
    averages = [average.average(variable) for variable in variables]
    for variable, value in zip(averages, ground.case.values(AVERAGES), strict=True):
        variable.assign(value)
    return outside_graphs(step, averages, variables)


def apply_in_session(ground: Ground, make: MakeAverage) -> Contestant:
    """The op that `apply` of such an object makes, in a Session."""

    def build() -> graph.Built:
        average = make(ground.case.decay)
        variables = graph.make_variables(ground, VARIABLES)
        operation = average.apply(variables)
        return operation, [average.average(variable) for variable in variables], variables

    return graph.in_session(ground, build)


def for_each(ground: Ground, formula: Formula, wrap: Wrap) -> Contestant:
    """A formula for each pair of an average and its variable."""
    averages, variables = ground.variables(AVERAGES), ground.variables(VARIABLES)

    def step() -> None:
        for average, variable in zip(averages, variables, strict=True):
            formula(average, variable, ground.case.decay)

    return outside_graphs(wrap(step), averages, variables)


def assign_sub(average: tf.Variable, variable: tf.Variable, decay: float) -> None:
    """As in TensorFlow Addons, with a cast where the dtypes differ."""
    average.assign_sub((average - tf.cast(variable, average.dtype)) * (1 - decay))


def weighted_sum(average: tf.Variable, variable: tf.Variable, decay: float) -> None:
    """As Keras's optimizers do with use_ema=True."""
    average.assign(decay * average + (1 - decay) * variable)
