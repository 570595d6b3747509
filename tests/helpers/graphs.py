"""A small trainable model in a graph of TensorFlow 1, for tests of the optimizer and the saver."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from numpy.typing import NDArray

import tf_mavg

tf1 = tf.compat.v1

# How the variables of a model are made: legacy references or resources, whole or in shards.
VARIABLE_KINDS = ["reference", "resource", "reference, partitioned", "resource, partitioned"]
DECAY = 0.9


@dataclass
class Model:
    """A linear model, its optimizer and a session; `variables` are whole variables or shards."""

    session: tf1.Session
    optimizer: tf_mavg.MovingAverageOptimizer
    variables: list[tf.Variable]
    loss: tf.Tensor
    train_op: tf.Operation
    global_step: tf.Variable

    @property
    def averages(self) -> list[tf.Variable]:
        """The average of each of `variables`."""
        return [self.optimizer.averages.average(variable) for variable in self.variables]

    def initialize(self) -> None:
        """Initializes all variables in one run."""
        self.session.run(tf1.global_variables_initializer())

    def train(self, steps: int) -> None:
        """Takes some steps."""
        for _ in range(steps):
            self.session.run(self.train_op)

    def values(self) -> tuple[list[NDArray], list[NDArray]]:
        """The variables' values and their averages'."""
        return self.session.run((self.variables, self.averages))


def make_loss(kind: str) -> tuple[tf.Tensor, list[Any]]:
    """Makes the variables and a loss that none of them has minimized."""
    partitioner = tf1.fixed_size_partitioner(2) if "partitioned" in kind else None
    with tf1.variable_scope("model", use_resource="resource" in kind, partitioner=partitioner):
        kernel = tf1.get_variable("kernel", [4, 3], initializer=tf1.random_uniform_initializer())
        bias = tf1.get_variable("bias", [4], initializer=tf1.zeros_initializer())
    # No matrix product: cuBLAS is not part of the emulated GPU.
    output = tf.reduce_sum(tf.convert_to_tensor(kernel), axis=0)
    loss = tf.reduce_sum((output - 1.0) ** 2) + tf.reduce_sum(
        (tf.convert_to_tensor(bias) - 2.0) ** 2
    )
    return loss, [kernel, bias]


@contextmanager
def model(
    kind: str, wrapped: tf1.train.Optimizer | None = None, decay: Any = DECAY, **options: Any
) -> Iterator[Model]:
    """A model with its default graph and default session; `options` go to the optimizer."""
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.set_random_seed(7)
        loss, made = make_loss(kind)
        global_step = tf1.train.get_or_create_global_step()
        optimizer = tf_mavg.MovingAverageOptimizer(
            wrapped or tf1.train.MomentumOptimizer(0.01, 0.9), decay, **options
        )
        train_op = optimizer.minimize(loss, global_step)
        variables = [shard for v in made for shard in (v if "partitioned" in kind else [v])]
        yield Model(session, optimizer, variables, loss, train_op, global_step)


@dataclass
class Letters:
    """Variables "a", "b" and "c", some of which an optimizer trains, and a session.

    `variables` are in the order in which they are trained, then the others; whole or in shards.
    """

    session: tf1.Session
    optimizer: tf_mavg.MovingAverageOptimizer
    variables: dict[str, list[tf.Variable]]
    train_op: tf.Operation

    def averages(self, name: str) -> list[tf.Variable]:
        """The average of a variable, or of each shard; empty if it has none."""
        averages = [self.optimizer.averages.average(v) for v in self.variables[name]]
        return [average for average in averages if average is not None]

    def train(self, steps: int) -> None:
        """Initializes all variables in one run, then takes some steps."""
        self.session.run(tf1.global_variables_initializer())
        for _ in range(steps):
            self.session.run(self.train_op)

    def values(self) -> dict[str, list[float]]:
        """The elements of each variable, and of each average, which is called "average of a"."""
        found = dict(self.variables)
        found |= {f"average of {name}": self.averages(name) for name in self.variables}
        values = self.session.run({name: shards for name, shards in found.items() if shards})
        return {name: [x for shard in shards for x in shard] for name, shards in values.items()}


@contextmanager
def letters(kind: str, trained: str = "abc", shape: int = 4, **options: Any) -> Iterator[Letters]:
    """Variables of which some are trained, with default graph and session.

    A step adds 1 to "a", 10 to "b", 100 to "c"; averages have the decay 0.5.
    """
    partitioner = tf1.fixed_size_partitioner(2) if "partitioned" in kind else None
    with (
        tf.Graph().as_default(),
        tf1.Session() as session,
        tf1.variable_scope("", use_resource="resource" in kind, partitioner=partitioner),
    ):
        made = {
            name: tf1.get_variable(name, [shape], initializer=tf1.constant_initializer(slope))
            for name, slope in (("a", 1.0), ("b", 10.0), ("c", 100.0))
        }
        loss = -tf.add_n(
            [
                slope * tf.reduce_sum(tf.convert_to_tensor(made[name]))
                for name, slope in (("a", 1.0), ("b", 10.0), ("c", 100.0))
            ]
        )
        parts = {name: list(v) if partitioner else [v] for name, v in made.items()}
        optimizer = tf_mavg.MovingAverageOptimizer(
            tf1.train.GradientDescentOptimizer(1.0), 0.5, **options
        )
        train_op = optimizer.minimize(
            loss, var_list=[shard for name in trained for shard in parts[name]]
        )
        order = trained + "".join(name for name in "abc" if name not in trained)
        yield Letters(session, optimizer, {name: parts[name] for name in order}, train_op)
