"""Who swaps averages and variables: a line for each contestant, and what it does."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Final

import tensorflow as tf

import tf_mavg

from ..names import ARITHMETIC, BOUND_OP, HOST, OURS, SESSION
from ..workloads import ALONE, AVERAGES, EVERYONE, LEADERS, PEERS, VARIABLES
from . import graph
from .contestant import Contestant, Entrant, Ground, outside_graphs
from .updates_tensorflow import eager, ours

if TYPE_CHECKING:
    from .updates_tensorflow import Wrap


def drop_in(ground: Ground) -> tuple[tf_mavg.ExponentialMovingAverage, Contestant]:
    """Our object with averages of the case's values, and its swap in eager mode."""
    average, variables = ours(ground.case), ground.variables(VARIABLES)
    average.create_averages(variables)
    averages = [average.average(variable) for variable in variables]
    ground.set_averages(averages)
    return average, outside_graphs(average.swap, averages, variables)


def in_tensorflow(ground: Ground, wrap: Wrap) -> Contestant:
    """Our object's swap, eagerly or in a tf.function."""
    average, contestant = drop_in(ground)

    def step() -> None:
        average.swap()

    return dataclasses.replace(contestant, step=wrap(step))


def copying(ground: Ground) -> Contestant:
    """The form of our op that leaves every buffer where it is, in a tf.function."""
    averages, variables = ground.variables(AVERAGES), ground.variables(VARIABLES)

    def step() -> None:
        tf_mavg.ops.swap_variables(averages, variables, copy=True)

    return outside_graphs(tf.function(step), averages, variables)


def by_binding(ground: Ground, wrap: Wrap) -> Contestant:
    """Our swap of variables that were bound once."""
    averages, variables = ground.variables(AVERAGES), ground.variables(VARIABLES)
    binding = tf_mavg.ops.Binding(averages, variables)
    return outside_graphs(wrap(binding.swap_variables), averages, variables)


def in_session(ground: Ground) -> Contestant:
    """Our object's swap in a Session."""

    def build() -> graph.Built:
        average, variables = ours(ground.case), graph.make_variables(ground, VARIABLES)
        average.create_averages(variables)
        return average.swap(), [average.average(variable) for variable in variables], variables

    return graph.in_session(ground, build)


def arithmetic(ground: Ground, wrap: Wrap) -> Contestant:
    """The swap without a buffer, which rounds three times."""
    averages, variables = ground.variables(AVERAGES), ground.variables(VARIABLES)

    def step() -> None:
        for a, b in zip(averages, variables, strict=True):
            a.assign_add(b)
            b.assign(a - b)
            a.assign_sub(b)

    return outside_graphs(wrap(step), averages, variables)


def through_host_memory(ground: Ground) -> Contestant:
    """Both values read into NumPy arrays and assigned the other way round, eagerly."""
    averages, variables = ground.variables(AVERAGES), ground.variables(VARIABLES)

    def step() -> None:
        for a, b in zip(averages, variables, strict=True):
            kept, moved = a.numpy(), b.numpy()
            a.assign(moved)
            b.assign(kept)

    return outside_graphs(step, averages, variables)


SWAPS: Final = (
    Entrant(BOUND_OP, "eager", partial(by_binding, wrap=eager), ALONE),
    Entrant(BOUND_OP, "tf.function", partial(by_binding, wrap=tf.function), LEADERS),
    Entrant(OURS, "eager", partial(in_tensorflow, wrap=eager), LEADERS),
    Entrant(OURS, "tf.function", partial(in_tensorflow, wrap=tf.function), LEADERS),
    Entrant(OURS, SESSION, in_session, EVERYONE),
    Entrant(f"{OURS}, copying", "tf.function", copying, EVERYONE),
    Entrant(ARITHMETIC, "tf.function", partial(arithmetic, wrap=tf.function), LEADERS),
    Entrant(HOST, "eager", through_host_memory, PEERS),
)
