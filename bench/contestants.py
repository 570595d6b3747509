"""The ways to update averages, and to swap them with their variables, that are measured.

Every contestant owns its variables, so none finds them in a cache where the one before left them.
Averages start at the values of seed 0, variables are at those of seed 1; `averages` and
`variables` read them back, so that a test can see that a contestant really does its work.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
from workloads import DECAY

import tf_mavg
from tf_mavg import _native

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from workloads import Workload

THREADS = os.cpu_count() or 1
OURS = "tf_mavg"
LIMIT = "plain C++ loop"
PER_VARIABLE_AVERAGE = "tf.train.ExponentialMovingAverage"
ARITHMETIC = "arithmetic: a += b; b = a - b; a -= b"


@dataclass(frozen=True)
class Contestant:
    """One way to do it, ready to be timed.

    Attributes:
      name: Whose code does the work.
      runner: What calls that code: "eager", "tf.function", "Session", "torch" or "C++".
      step: Does all the work once.
      averages: Reads the averages, a row for each.
      variables: Reads the variables, a row for each.
    """

    name: str
    runner: str
    step: Callable[[], object]
    averages: Callable[[], NDArray[np.float32]]
    variables: Callable[[], NDArray[np.float32]]

    @property
    def ours(self) -> bool:
        """Whether tf_mavg does the work."""
        return self.name.startswith(OURS)


def make_updates(workload: Workload, stack: contextlib.ExitStack) -> list[Contestant]:
    """All contestants that update averages; what they hold open is closed with `stack`."""
    contestants = [
        group_op(workload),
        eager_apply(workload),
        function_apply(OURS, tf_mavg.ExponentialMovingAverage(DECAY), workload),
        function_apply(PER_VARIABLE_AVERAGE, tf.train.ExponentialMovingAverage(DECAY), workload),
        function_assign_sub(workload),
        session_apply(OURS, tf_mavg.ExponentialMovingAverage(DECAY), workload, stack),
        session_apply(
            PER_VARIABLE_AVERAGE, tf.train.ExponentialMovingAverage(DECAY), workload, stack
        ),
        plain_loop(workload),
        plain_loop_on_many_arrays(workload),
    ]
    if importlib.util.find_spec("torch"):
        contestants.append(torch_foreach(workload))
    return contestants


def make_swaps(workload: Workload, stack: contextlib.ExitStack) -> list[Contestant]:
    """All contestants that swap; what they hold open is closed with `stack`."""
    return [
        function_swap(OURS, workload, copy=False),
        function_swap(f"{OURS}, copying", workload, copy=True),
        function_arithmetic_swap(workload),
        session_swap(workload, stack),
    ]


def make_variables(workload: Workload, seed: int) -> list[tf.Variable]:
    """Variables outside any graph, with the values of `seed`."""
    return [tf.Variable(row) for row in workload.values(seed)]


def rows(variables: Sequence[tf.Variable]) -> NDArray[np.float32]:
    """The values of variables outside any graph."""
    return np.stack([variable.numpy() for variable in variables])


def outside_graphs(
    name: str,
    runner: str,
    step: Callable[[], object],
    averages: Sequence[tf.Variable],
    variables: Sequence[tf.Variable],
) -> Contestant:
    """A contestant whose variables live outside any graph."""
    return Contestant(name, runner, step, lambda: rows(averages), lambda: rows(variables))


def group_op(workload: Workload) -> Contestant:
    """The op on a group of pairs that was bound once, called eagerly."""
    averages, variables = make_variables(workload, 0), make_variables(workload, 1)
    group = tf_mavg.ops.PairGroups(averages, variables)
    decay = tf.constant(DECAY)
    return outside_graphs(
        f"{OURS}, group op",
        "eager",
        lambda: group.apply_moving_average(decay),
        averages,
        variables,
    )


def eager_apply(workload: Workload) -> Contestant:
    """`apply` of the class that a user calls, eagerly."""
    average, variables = tf_mavg.ExponentialMovingAverage(DECAY), make_variables(workload, 0)
    step = functools.partial(average.apply, variables)
    averages = start(average, variables, workload, step)
    return outside_graphs(OURS, "eager", step, averages, variables)


def function_apply(
    name: str, average: tf.train.ExponentialMovingAverage, workload: Workload
) -> Contestant:
    """`apply` of an average, ours or TensorFlow's, in a tf.function."""
    variables = make_variables(workload, 0)

    @tf.function
    def step() -> None:
        average.apply(variables)

    averages = start(average, variables, workload, step)
    return outside_graphs(name, "tf.function", step, averages, variables)


def start(
    average: tf.train.ExponentialMovingAverage,
    variables: Sequence[tf.Variable],
    workload: Workload,
    step: Callable[[], object],
) -> list[tf.Variable]:
    """The averages, which the first step makes at the values of the variables; these then move."""
    step()
    for variable, row in zip(variables, workload.values(1), strict=True):
        variable.assign(row)
    return [average.average(variable) for variable in variables]


def function_assign_sub(workload: Workload) -> Contestant:
    """The formula written out for each variable, in a tf.function."""
    averages, variables = make_variables(workload, 0), make_variables(workload, 1)

    @tf.function
    def step() -> None:
        for average, variable in zip(averages, variables, strict=True):
            average.assign_sub((average - variable) * (1 - DECAY))

    return outside_graphs("assign_sub for each variable", "tf.function", step, averages, variables)


def torch_foreach(workload: Workload) -> Contestant:
    """PyTorch's multi-tensor call, on as many threads as TensorFlow has."""
    import torch  # noqa: PLC0415 - an optional peer.

    torch.set_num_threads(THREADS)
    averages, variables = ([torch.tensor(row) for row in workload.values(s)] for s in (0, 1))
    return Contestant(
        "torch._foreach_lerp_",
        "torch",
        lambda: torch._foreach_lerp_(averages, variables, 1 - DECAY),
        lambda: np.stack([average.numpy() for average in averages]),
        lambda: np.stack([variable.numpy() for variable in variables]),
    )


def plain_loop(workload: Workload) -> Contestant:
    """The limit: a loop in C++ over the same bytes in one array, divided among all threads."""
    averages, variables = workload.values(0), workload.values(1)
    return Contestant(
        LIMIT,
        "C++",
        lambda: _native.plain_loop([averages], [variables], DECAY, THREADS),
        lambda: averages,
        lambda: variables,
    )


def plain_loop_on_many_arrays(workload: Workload) -> Contestant:
    """The same loop over as many arrays as there are variables, each divided among all threads."""
    averages, variables = ([row.copy() for row in workload.values(seed)] for seed in (0, 1))
    return Contestant(
        f"{LIMIT}, as many arrays",
        "C++",
        lambda: _native.plain_loop(averages, variables, DECAY, THREADS),
        lambda: np.stack(averages),
        lambda: np.stack(variables),
    )


def function_swap(name: str, workload: Workload, *, copy: bool) -> Contestant:
    """Our swap in a tf.function."""
    averages, variables = make_variables(workload, 0), make_variables(workload, 1)

    @tf.function
    def step() -> None:
        tf_mavg.ops.swap_variables(averages, variables, copy=copy)

    return outside_graphs(name, "tf.function", step, averages, variables)


def function_arithmetic_swap(workload: Workload) -> Contestant:
    """The swap without a buffer, which rounds three times, in a tf.function."""
    averages, variables = make_variables(workload, 0), make_variables(workload, 1)

    @tf.function
    def step() -> None:
        for a, b in zip(averages, variables, strict=True):
            a.assign_add(b)
            b.assign(a - b)
            a.assign_sub(b)

    return outside_graphs(ARITHMETIC, "tf.function", step, averages, variables)


def session_apply(
    name: str,
    average: tf.train.ExponentialMovingAverage,
    workload: Workload,
    stack: contextlib.ExitStack,
) -> Contestant:
    """The op that `apply` makes, ours or TensorFlow's, in a Session."""
    with tf.Graph().as_default() as graph:
        variables, values = make_graph_variables(workload)
        operation = average.apply(variables)
        averages = [average.average(variable) for variable in variables]
        initialize = tf.compat.v1.global_variables_initializer()
        move = tf.compat.v1.variables_initializer(variables)
    session = open_session(graph, stack)
    session.run(initialize, {values: workload.values(0)})
    session.run(move, {values: workload.values(1)})
    return in_session(name, session, operation, averages, variables)


def session_swap(workload: Workload, stack: contextlib.ExitStack) -> Contestant:
    """Our swap in a Session."""
    with tf.Graph().as_default() as graph:
        (averages, seed_0), (variables, seed_1) = (make_graph_variables(workload) for _ in "ab")
        operation = tf_mavg.ops.swap_variables(averages, variables)
        initialize = tf.compat.v1.global_variables_initializer()
    session = open_session(graph, stack)
    session.run(initialize, {seed_0: workload.values(0), seed_1: workload.values(1)})
    return in_session(OURS, session, operation, averages, variables)


def make_graph_variables(workload: Workload) -> tuple[list[tf.Variable], tf.Tensor]:
    """Variables in the default graph, and the placeholder that their initializers read."""
    values = tf.compat.v1.placeholder(tf.float32, (workload.variables, workload.elements))
    return [tf.Variable(row, trainable=False) for row in tf.unstack(values)], values


def open_session(graph: tf.Graph, stack: contextlib.ExitStack) -> tf.compat.v1.Session:
    """A Session that is closed with `stack`, and not the default one meanwhile."""
    session = tf.compat.v1.Session(graph=graph)
    stack.callback(session.close)
    return session


def in_session(
    name: str,
    session: tf.compat.v1.Session,
    operation: tf.Operation,
    averages: Sequence[tf.Variable],
    variables: Sequence[tf.Variable],
) -> Contestant:
    """A contestant whose op runs in a Session, without the parsing of fetches at every run."""
    return Contestant(
        name,
        "Session",
        session.make_callable(operation),
        lambda: np.stack(session.run(averages)),
        lambda: np.stack(session.run(variables)),
    )
