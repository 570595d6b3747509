"""Who swaps averages and variables: a line for each contestant, and what it does."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import tensorflow as tf

import tf_mavg

from . import graph
from .contestant import OURS, Contestant, Entrant, Ground, outside_graphs
from .updates_tensorflow import eager
from .workloads import ALONE, AVERAGES, EVERYONE, LEADERS, PEERS, VARIABLES

if TYPE_CHECKING:
    from .updates_tensorflow import Wrap

ARITHMETIC: Final = "arithmetic: a += b; b = a - b; a -= b"
HOST: Final = "through host memory"


def in_tensorflow(ground: Ground, wrap: Wrap, *, copy: bool = False) -> Contestant:
    """Our swap, eagerly or in a tf.function."""
    averages, variables = ground.variables(AVERAGES), ground.variables(VARIABLES)

    def step() -> None:
        tf_mavg.ops.swap_variables(averages, variables, copy=copy)

    return outside_graphs(wrap(step), averages, variables)


def by_group(ground: Ground, wrap: Wrap) -> Contestant:
    """Our swap of a group of pairs that was bound once."""
    averages, variables = ground.variables(AVERAGES), ground.variables(VARIABLES)
    groups = tf_mavg.ops.PairGroups(averages, variables)
    return outside_graphs(wrap(groups.swap_variables), averages, variables)


def in_session(ground: Ground) -> Contestant:
    """Our swap in a Session."""

    def build() -> graph.Built:
        averages, variables = (graph.make_variables(ground, r) for r in (AVERAGES, VARIABLES))
        return tf_mavg.ops.swap_variables(averages, variables), averages, variables

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
    Entrant(f"{OURS}, group op", "eager", partial(by_group, wrap=eager), ALONE),
    Entrant(f"{OURS}, group op", "tf.function", partial(by_group, wrap=tf.function), LEADERS),
    Entrant(OURS, "eager", partial(in_tensorflow, wrap=eager), LEADERS),
    Entrant(OURS, "tf.function", partial(in_tensorflow, wrap=tf.function), LEADERS),
    Entrant(OURS, "Session", in_session, LEADERS),
    Entrant(
        f"{OURS}, copying",
        "tf.function",
        partial(in_tensorflow, wrap=tf.function, copy=True),
        EVERYONE,
    ),
    Entrant(ARITHMETIC, "tf.function", partial(arithmetic, wrap=tf.function), LEADERS),
    Entrant(HOST, "eager", through_host_memory, PEERS),
)
