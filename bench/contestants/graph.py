"""Contestants in a graph of TensorFlow 1, run by a Session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from .. import device
from ..workloads import AVERAGES, VARIABLES
from .contestant import Contestant, Ground

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

# An op, its averages and its variables.
Built = tuple[tf.Operation, list[tf.Variable], list[tf.Variable]]

tf1 = tf.compat.v1


@dataclass(frozen=True)
class Loader:
    """Sets variables of a graph, in one run."""

    placeholders: list[tf.Tensor]
    operation: tf.Operation

    @staticmethod
    def of(variables: Sequence[tf.Variable]) -> Loader:
        """Makes the ops in the default graph."""
        placeholders = [tf1.placeholder(v.dtype.base_dtype, v.shape) for v in variables]
        pairs = zip(variables, placeholders, strict=True)
        return Loader(placeholders, tf.group(*(v.assign(p).op for v, p in pairs)))

    def run(self, session: tf1.Session, values: Iterable[NDArray[Any]]) -> None:
        """Sets the variables to values."""
        session.run(self.operation, dict(zip(self.placeholders, values, strict=True)))


def make_variables(ground: Ground, role: str) -> list[tf.Variable]:
    """Variables in the default graph, not yet initialized."""
    dtype = tf.as_dtype(getattr(ground.case.dtypes, role))
    return [
        tf.Variable(tf.zeros(shape, dtype), trainable=False)
        for shape in ground.case.workload.shapes
    ]


def in_session(ground: Ground, build: Callable[[], Built]) -> Contestant:
    """A contestant whose op runs in a Session, without the parsing of fetches at every run.

    Args:
      ground: What it is measured on.
      build: Makes all of it in the default graph.
    """
    with tf.Graph().as_default() as graph, tf.device(device.name()):
        operation, averages, variables = build()
        lists = {AVERAGES: averages, VARIABLES: variables}
        loaders = {role: Loader.of(made) for role, made in lists.items()}
        initialize = tf1.global_variables_initializer()
    session = open_session(graph, ground.stack)
    session.run(initialize)
    for role, loader in loaders.items():
        loader.run(session, ground.case.values(role))
    return Contestant(session.make_callable(operation), lambda role: session.run(lists[role]))


def open_session(graph: tf.Graph, stack: contextlib.ExitStack) -> tf1.Session:
    """A Session that is closed with `stack`, and not the default one meanwhile."""
    session = tf1.Session(graph=graph)
    stack.callback(session.close)
    return session
