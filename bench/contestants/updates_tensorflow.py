"""Contestants that update averages in TensorFlow: tf_mavg's and its peers'."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf

import tf_mavg

from .. import device
from ..workloads import AVERAGES, VARIABLES
from . import graph
from .contestant import Contestant, Ground, outside_graphs

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ..workloads import Case

    # tf.function, with or without XLA; or what leaves a step as it is.
    Wrap = Callable[[Callable[[], None]], Callable[[], object]]
    MakeAverage = Callable[[Case], tf.train.ExponentialMovingAverage]
    Formula = Callable[[tf.Variable, tf.Variable, float], None]

xla = functools.partial(tf.function, jit_compile=True)


def eager(step: Callable[[], None]) -> Callable[[], None]:
    """Leaves a step as it is."""
    return step


class Averaged(NamedTuple):
    """Our object that averages, its averages, and their variables."""

    by: tf_mavg.ExponentialMovingAverage
    averages: list[tf.Variable]
    variables: list[tf.Variable]


def averaged(ground: Ground) -> Averaged:
    """Makes what contestants of tf_mavg share, see `Ground.once`."""
    by, variables = ours(ground.case), ground.variables(VARIABLES)
    by.apply(variables)  # Makes the averages.
    averages = [by.average(variable) for variable in variables]
    ground.set_averages(averages)
    return Averaged(by, averages, variables)


def bound_op(ground: Ground, wrap: Wrap) -> Contestant:
    """The op on variables that were bound once, called eagerly or in a tf.function."""
    _, averages, variables = ground.once(averaged)
    binding = tf_mavg.ops.Binding(averages, variables)
    with tf.device(device.name()):
        decay = tf.constant(ground.case.decay)

    def step() -> None:
        binding.apply_moving_average(decay)

    return outside_graphs(wrap(step), averages, variables)


def split_op(ground: Ground) -> Contestant:
    """The bound op on averages that are split: the same float32, in two halves of 16 bits."""
    variables = ground.variables(VARIABLES)
    highs, remainders = [], []
    with tf.device(device.name()):
        for value in ground.case.values(AVERAGES):
            high, remainder = tf_mavg.ops.split(value)
            highs.append(tf.Variable(high))
            remainders.append(tf.Variable(remainder))
        decay = tf.constant(ground.case.decay)
    binding = tf_mavg.ops.Binding(highs, variables, remainders)

    def step() -> None:
        binding.apply_moving_average(decay)

    def read(role: str) -> list[NDArray[Any]]:
        if role == VARIABLES:
            return [variable.numpy() for variable in variables]
        pairs = zip(highs, remainders, strict=True)
        return [tf_mavg.ops.join(high, remainder).numpy() for high, remainder in pairs]

    return Contestant(step, read)


def stochastic_op(ground: Ground, wrap: Wrap) -> Contestant:
    """The bound op with stochastic rounding, and a count for its random bits."""
    _, averages, variables = ground.once(averaged)
    binding = tf_mavg.ops.Binding(averages, variables)
    with tf.device(device.name()):
        rates = tf.constant([1 - ground.case.decay], tf.float32)
    count = tf.Variable(0, dtype=tf.int64)

    def step() -> None:
        binding.apply_moving_average(rates=rates, rounding_key=(0, count.assign_add(1)))

    return outside_graphs(wrap(step), averages, variables)


def ours(case: Case) -> tf_mavg.ExponentialMovingAverage:
    """Our object that averages; with float32 averages of half precision where a case has them."""
    dtype = "same" if case.dtypes.alike else case.dtypes.averages
    return tf_mavg.ExponentialMovingAverage(case.decay, average_dtype=dtype)


def tensorflows(case: Case) -> tf.train.ExponentialMovingAverage:
    """TensorFlow's."""
    return tf.train.ExponentialMovingAverage(case.decay)


def our_apply(ground: Ground, wrap: Wrap) -> Contestant:
    """Our `apply`, on the variables and averages of the bound op."""
    by, averages, variables = ground.once(averaged)

    def step() -> None:
        by.apply(variables)

    return outside_graphs(wrap(step), averages, variables)


def their_apply(ground: Ground, wrap: Wrap) -> Contestant:
    """TensorFlow's `apply`, which makes its averages."""
    average, variables = tensorflows(ground.case), ground.variables(VARIABLES)

    def once() -> None:
        average.apply(variables)

    step = wrap(once)
    step()  # Makes the averages.
    averages = [average.average(variable) for variable in variables]
    ground.set_averages(averages)
    return outside_graphs(step, averages, variables)


def apply_in_session(ground: Ground, make: MakeAverage) -> Contestant:
    """The op that `apply` of such an object makes, in a Session."""

    def build() -> graph.Built:
        average = make(ground.case)
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
