"""Times the first step: averages are made, the step is built or traced, and runs once."""

from __future__ import annotations

import contextlib
import gc
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import tensorflow as tf

from .. import device
from ..contestants.contestant import Ground
from ..contestants.graph import make_variables, open_session
from ..contestants.updates_tensorflow import assign_sub, ours, tensorflows
from ..names import ASSIGN_SUB, OURS, PEER
from ..workloads import DECAY, MODEST, SMALLEST, VARIABLES, Case
from .spread import summary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..contestants.updates_tensorflow import MakeAverage

    Apply = Callable[[Sequence[tf.Variable]], object]

CASE: Final = Case(MODEST)
ROUNDS: Final = 3
tf1 = tf.compat.v1


@dataclass(frozen=True)
class FirstStep:
    """One way to come to the first step.

    Attributes:
      name: Whose code does the work.
      runner: "tf.function" or "Session".
      take: Takes it, with variables of its own: the seconds, and the nodes of the step's graph.
    """

    name: str
    runner: str
    take: Callable[[Case], tuple[float, int]]


def in_function(case: Case, make: Callable[[], Apply]) -> tuple[float, int]:
    """In a tf.function; its nodes are those of the graph and of the functions that it calls."""
    with contextlib.ExitStack() as stack:
        variables = Ground(case, stack).variables(VARIABLES)
    begin = time.perf_counter()
    apply = make()

    @tf.function
    def step() -> None:
        apply(variables)

    step()
    device.wait()
    seconds = time.perf_counter() - begin
    graph = step.get_concrete_function().graph.as_graph_def()
    return seconds, len(graph.node) + sum(len(f.node_def) for f in graph.library.function)


def in_session(case: Case, make: Callable[[], Apply]) -> tuple[float, int]:
    """In a Session whose variables are initialized; its nodes are those that the step adds."""
    with (
        tf.Graph().as_default() as graph,
        tf.device(device.name()),
        contextlib.ExitStack() as stack,
    ):
        variables = make_variables(Ground(case, stack), VARIABLES)
        session = open_session(graph, stack)
        session.run(tf1.variables_initializer(variables))
        before = len(graph.get_operations())
        begin = time.perf_counter()
        operation = make()(variables)
        trained = {variable.ref() for variable in variables}
        averages = [v for v in tf1.global_variables() if v.ref() not in trained]
        session.run(tf1.variables_initializer(averages))
        session.run(operation)
        seconds = time.perf_counter() - begin
        return seconds, len(graph.get_operations()) - before


def applied(make: MakeAverage) -> Apply:
    """`apply` of an object that makes the averages."""
    return make(CASE).apply


def assigned() -> Apply:
    """The formula for each variable, with averages made before it is traced."""
    averages: list[tf.Variable] = []

    def apply(variables: Sequence[tf.Variable]) -> None:
        with tf.init_scope():
            averages.extend(tf.Variable(v) for v in variables[len(averages) :])
        for average, variable in zip(averages, variables, strict=True):
            assign_sub(average, variable, DECAY)

    return apply


_ours = partial(applied, ours)
_peer = partial(applied, tensorflows)

FIRST_STEPS: Final = (
    FirstStep(OURS, "tf.function", partial(in_function, make=_ours)),
    FirstStep(PEER, "tf.function", partial(in_function, make=_peer)),
    FirstStep(ASSIGN_SUB, "tf.function", partial(in_function, make=assigned)),
    FirstStep(OURS, "Session", partial(in_session, make=_ours)),
    FirstStep(PEER, "Session", partial(in_session, make=_peer)),
)


def measure_first_steps(case: Case = CASE, rounds: int = ROUNDS) -> dict[str, Any]:
    """Takes all first steps by turns, ready for JSON."""
    print(f"first step, {case.name}: {len(FIRST_STEPS)} contestants", file=sys.stderr)
    seconds: list[list[float]] = [[] for _ in FIRST_STEPS]
    nodes = [0 for _ in FIRST_STEPS]
    for first_step in FIRST_STEPS:  # Imports, pools and such are made once in a process.
        first_step.take(Case(SMALLEST))
    for _ in range(rounds):
        for i, first_step in enumerate(FIRST_STEPS):
            gc.collect()
            taken, nodes[i] = first_step.take(case)
            seconds[i].append(taken)
    return {
        "workload": case.workload.name,
        "baseline": PEER,
        "contestants": [
            {
                "name": f.name,
                "runner": f.runner,
                "ours": f.name.startswith(OURS),
                "graph_nodes": n,
                **summary(s),
            }
            for f, n, s in zip(FIRST_STEPS, nodes, seconds, strict=True)
        ],
    }
