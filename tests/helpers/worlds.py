"""The ways in which TensorFlow runs an op, behind one face, so that a test is written once.

A world makes variables, runs a function that emits ops, and reads variables back as NumPy arrays.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

# Where variables and ops live; conftest sets it from the command line.
DEVICE = "/cpu:0"


def on_device() -> AbstractContextManager[Any]:
    """The scope of the run's device; a new graph needs to enter it anew."""
    return tf.device(DEVICE)


def require_gpu() -> None:
    """Fails unless TensorFlow has a GPU."""
    if not tf.config.list_physical_devices("GPU"):
        message = "TensorFlow finds no GPU: run the tests with tests/gpu.py, which lends one."
        raise RuntimeError(message)


class EagerWorld:
    """Ops run as they are called."""

    has_graph = False

    def variables(self, values: Sequence[NDArray], name: str = "variable") -> list[tf.Variable]:
        """Variables that hold the values."""
        return [tf.Variable(value, name=f"{name}_{i}") for i, value in enumerate(values)]

    def run(self, emit: Callable[[], Any]) -> None:
        """Runs the ops that `emit` makes."""
        emit()

    def value(self, emit: Callable[[], tf.Tensor]) -> NDArray:
        """The value of the tensor that `emit` makes."""
        return np.array(emit())

    def read(self, variables: Sequence[tf.Variable]) -> list[NDArray]:
        """The values of the variables, as copies."""
        return [np.array(variable.numpy()) for variable in variables]


class FunctionWorld(EagerWorld):
    """Ops run inside a tf.function, traced anew for each call."""

    def run(self, emit: Callable[[], Any]) -> None:
        """Runs the ops that `emit` makes."""

        @tf.function
        def body() -> None:
            emit()

        body()

    def value(self, emit: Callable[[], tf.Tensor]) -> NDArray:
        """The value of the tensor that `emit` makes."""
        return np.array(tf.function(emit)())


class SessionWorld:
    """Ops run in a Session of TensorFlow 1, with resource or reference variables."""

    has_graph = True

    def __init__(self, session: tf.compat.v1.Session, *, use_resource: bool) -> None:
        """Works in the session's graph, which must be the default one."""
        self.session = session
        self.use_resource = use_resource

    def variables(self, values: Sequence[NDArray], name: str = "variable") -> list[tf.Variable]:
        """Variables that hold the values."""
        made = [
            tf.compat.v1.Variable(value, name=f"{name}_{i}", use_resource=self.use_resource)
            for i, value in enumerate(values)
        ]
        self.session.run([variable.initializer for variable in made])
        return made

    def run(self, emit: Callable[[], Any]) -> None:
        """Runs the ops that `emit` makes."""
        self.session.run(emit())

    def value(self, emit: Callable[[], tf.Tensor]) -> NDArray:
        """The value of the tensor that `emit` makes."""
        return np.array(self.session.run(emit()))

    def read(self, variables: Sequence[tf.Variable]) -> list[NDArray]:
        """The values of the variables, as copies."""
        return [np.array(value) for value in self.session.run(list(variables))]


World = EagerWorld | SessionWorld
WORLDS = ["eager", "function", "session, resource variables", "session, reference variables"]
GRAPH_WORLDS = WORLDS[2:]


@contextmanager
def enter(kind: str) -> Iterator[World]:
    """Enters the world of that name."""
    if kind == "eager":
        yield EagerWorld()
    elif kind == "function":
        yield FunctionWorld()
    else:
        with tf.Graph().as_default(), on_device(), tf.compat.v1.Session() as session:
            yield SessionWorld(session, use_resource="resource" in kind)
