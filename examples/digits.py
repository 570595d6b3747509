"""Trains a small convolutional network on handwritten digits and evaluates its averaged weights.

The three lines that averaging takes are in `build_training`. After training, the checkpoint of the
swapping saver is restored by a plain Saver into a graph that knows nothing of averages: what it
reads under the network's own names are the averages.

    python examples/digits.py
"""

from __future__ import annotations

import argparse
import timeit
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import tf_mavg

mpl.use("Agg")  # The plot is saved, not shown, so no display is needed.
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

# Small batches and a high learning rate reach a good network soon, but the weights then jump about
# it; that is what averaging is for. 0.99 averages over about the last 100 steps.
BATCH_SIZE = 16
LEARNING_RATE = 0.02
MOMENTUM = 0.9
AVERAGE_DECAY = 0.99
EVALUATIONS = 50
SPLIT_SEED = 0  # The split is the same whatever seed the training has.
TIMING_ROUNDS = 300


class Data(NamedTuple):
    """Images, as floats in [0, 1] of shape (count, 8, 8, 1), and the digits that they show."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]


class Score(NamedTuple):
    """How well the network does on some data."""

    accuracy: float
    loss: float


class Network(NamedTuple):
    """The network in a graph, from its inputs to what is measured of it."""

    images: tf.Tensor
    labels: tf.Tensor
    loss: tf.Tensor
    accuracy: tf.Tensor

    def feed(self, data: Data) -> dict[tf.Tensor, NDArray[Any]]:
        """What to feed a Session to run the network on `data`."""
        return {self.images: data.images, self.labels: data.labels}

    def score(self, session: tf.compat.v1.Session, data: Data) -> Score:
        """The network's score with the weights that its variables hold now."""
        return Score(*map(float, session.run([self.accuracy, self.loss], self.feed(data))))


class Training(NamedTuple):
    """The network with what trains it."""

    network: Network
    optimizer: tf_mavg.MovingAverageOptimizer
    train_op: tf.Operation


@dataclass
class History:
    """Scores on the test images in the course of training."""

    steps: list[int] = field(default_factory=list)
    raw: list[Score] = field(default_factory=list)
    averaged: list[Score] = field(default_factory=list)


class Times(NamedTuple):
    """Median seconds of one run of an op in a Session."""

    tf_mavg: float
    tensorflow: float
    nothing: float


def load_data() -> tuple[Data, Data]:
    """Training and test images of scikit-learn's digits: 1,797, of which 30 % are for the test."""
    digits = load_digits()
    images = (digits.images[..., np.newaxis] / digits.images.max()).astype(np.float32)
    train_images, test_images, train_labels, test_labels = train_test_split(
        images,
        digits.target,
        test_size=0.3,
        random_state=SPLIT_SEED,
        stratify=digits.target,
    )
    return Data(train_images, train_labels), Data(test_images, test_labels)


def batches(data: Data, steps: int, seed: int) -> Iterator[Data]:
    """`steps` batches, each moved a little; every image is seen once before one is seen again."""
    generator = np.random.default_rng(seed)
    order = np.array([], dtype=np.int64)
    for _ in range(steps):
        if len(order) < BATCH_SIZE:
            order = np.concatenate([order, generator.permutation(len(data.labels))])
        batch, order = order[:BATCH_SIZE], order[BATCH_SIZE:]
        yield Data(moved(data.images[batch], generator), data.labels[batch])


def moved(images: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
    """The images moved by up to one pixel each way, so that they cannot be learnt by heart."""
    height, width = images.shape[1:3]
    top, left = generator.integers(0, 3, size=2)
    return np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))[
        :, top : top + height, left : left + width
    ]


def layer(name: str, inputs: tf.Tensor, kernel_shape: Sequence[int]) -> tf.Tensor:
    """A convolution, or a dense layer where the kernel is a matrix, with a bias."""
    with tf.compat.v1.variable_scope(name):
        initializer = tf.compat.v1.initializers.he_normal()
        kernel = tf.compat.v1.get_variable("kernel", kernel_shape, initializer=initializer)
        bias = tf.compat.v1.get_variable(
            "bias", kernel_shape[-1:], initializer=tf.compat.v1.initializers.zeros()
        )
        if inputs.shape.rank == kernel.shape.rank == 2:  # noqa: PLR2004 - a matrix.
            return tf.matmul(inputs, kernel) + bias
        return tf.nn.conv2d(inputs, kernel, strides=1, padding="SAME") + bias


def build_network() -> Network:
    """Two convolutions and two dense layers, in the default graph."""
    images = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 1], "images")
    labels = tf.compat.v1.placeholder(tf.int64, [None], "labels")
    hidden = tf.nn.relu(layer("convolution_1", images, [3, 3, 1, 16]))
    hidden = tf.nn.max_pool2d(hidden, ksize=2, strides=2, padding="VALID")
    hidden = tf.nn.relu(layer("convolution_2", hidden, [3, 3, 16, 32]))
    hidden = tf.nn.max_pool2d(hidden, ksize=2, strides=2, padding="VALID")
    hidden = tf.reshape(hidden, [-1, 2 * 2 * 32])
    hidden = tf.nn.relu(layer("dense_1", hidden, [128, 64]))
    logits = layer("dense_2", hidden, [64, 10])
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    hits = tf.equal(tf.argmax(logits, axis=1), labels)
    return Network(
        images, labels, tf.reduce_mean(losses), tf.reduce_mean(tf.cast(hits, tf.float32))
    )


def build_training() -> Training:
    """The network and its training with averages, in the default graph."""
    network = build_network()
    step = tf.compat.v1.train.get_or_create_global_step()
    optimizer = tf.compat.v1.train.MomentumOptimizer(LEARNING_RATE, MOMENTUM)
    # Given the count of steps, the decay warms up: early averages forget the start sooner.
    optimizer = tf_mavg.MovingAverageOptimizer(optimizer, AVERAGE_DECAY, num_updates=step)
    train_op = optimizer.minimize(network.loss, global_step=step)
    return Training(network, optimizer, train_op)


def train(
    session: tf.compat.v1.Session,
    training: Training,
    data: tuple[Data, Data],
    steps: int,
    seed: int,
) -> History:
    """Trains, and evaluates raw and averaged weights on the way."""
    network, averages = training.network, training.optimizer.averages
    train_data, test_data = data
    history = History()
    with tqdm(total=steps, desc="training", unit="step") as progress:
        for step, batch in enumerate(batches(train_data, steps, seed), start=1):
            session.run(training.train_op, network.feed(batch))
            progress.update()
            if step % max(1, steps // EVALUATIONS) and step != steps:
                continue
            history.steps.append(step)
            history.raw.append(network.score(session, test_data))
            with averages.swapped(session):
                history.averaged.append(network.score(session, test_data))
            progress.set_postfix(
                raw=f"{history.raw[-1].accuracy:.2%}",
                averaged=f"{history.averaged[-1].accuracy:.2%}",
            )
    return history


def train_and_save(data: tuple[Data, Data], steps: int, seed: int, checkpoint: Path) -> History:
    """Trains in a graph of its own, saves with the swapping saver, and returns the scores."""
    with tf.Graph().as_default():
        tf.compat.v1.set_random_seed(seed)
        training = build_training()
        saver = training.optimizer.swapping_saver()
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            history = train(session, training, data, steps, seed)
            saver.save(session, str(checkpoint))
            return history


def score_checkpoint(checkpoint: Path, data: Data) -> Score:
    """Restores a checkpoint with a plain Saver into the bare network, and evaluates that."""
    with tf.Graph().as_default():
        network = build_network()
        saver = tf.compat.v1.train.Saver()
        with tf.compat.v1.Session() as session:
            saver.restore(session, str(checkpoint))
            return network.score(session, data)


def time_averaging(rounds: int) -> Times:
    """Times the averaging of the network's variables: one fused op, and TensorFlow's own way.

    Each is run in a Session on variables of the same graph, by turns; running an op that does
    nothing shows how much of the time is the Session's.
    """
    with tf.Graph().as_default():
        build_network()
        variables = tf.compat.v1.trainable_variables()
        operations = [
            tf_mavg.ExponentialMovingAverage(AVERAGE_DECAY, name="fused").apply(variables),
            tf.train.ExponentialMovingAverage(AVERAGE_DECAY, name="own").apply(variables),
            tf.no_op(),
        ]
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            return medians([session.make_callable(operation) for operation in operations], rounds)


def medians(functions: Sequence[Callable[[], object]], rounds: int) -> Times:
    """The median seconds of each function, called by turns after two calls to warm up."""
    timers = [timeit.Timer(function) for function in functions]
    for timer in timers:
        timer.timeit(2)
    seconds = [[timer.timeit(1) for timer in timers] for _ in range(rounds)]
    return Times(*map(float, np.median(seconds, axis=0)))


def plot(history: History, path: Path) -> None:
    """Saves both test accuracies over the steps as a picture."""
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for scores, label, colour in (
        (history.raw, "raw weights", "#E69F00"),
        (history.averaged, "averaged weights", "#0072B2"),
    ):
        accuracies = [100 * score.accuracy for score in scores]
        axes.plot(history.steps, accuracies, label=label, color=colour, linewidth=2)
    # The start is far below the rest, which would have no room to be told apart.
    late = len(history.steps) // 5
    lowest = min(score.accuracy for score in history.raw[late:] + history.averaged[late:])
    axes.set_ylim(100 * lowest - 0.5, 100)
    axes.set_xlabel("step")
    axes.set_ylabel("test accuracy in %")
    axes.set_title("A convolutional network on scikit-learn's digits")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def report(raw: Score, averaged: Score, keys: Sequence[str], times: Times) -> str:
    """All that was found, as text."""
    lines = [
        f"{'on the test images':34}{'accuracy':>10}{'loss':>10}",
        f"{'raw weights':34}{raw.accuracy:>10.2%}{raw.loss:>10.4f}",
        f"{'averaged, from the checkpoint':34}{averaged.accuracy:>10.2%}{averaged.loss:>10.4f}",
        "",
        "one averaging of these variables in a Session, median",
        *(
            f"{name:34}{1e6 * seconds:>7.0f} us"
            for name, seconds in (
                ("tf_mavg", times.tf_mavg),
                ("tf.train.ExponentialMovingAverage", times.tensorflow),
                ("a run that does nothing", times.nothing),
            )
        ),
        "",
        f"the checkpoint's {len(keys)} keys",
        *(f"  {key}" for key in keys),
    ]
    return "\n".join(lines)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description="Trains on handwritten digits with averaged weights.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--steps", type=int, default=2000, help="training steps")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and batches")
    parser.add_argument(
        "--output", type=Path, default=Path("out"), help="folder for checkpoint and plot"
    )
    options = parser.parse_args(arguments)
    if options.steps < 1:
        parser.error(f"--steps must be at least 1. Received: {options.steps}")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, saves, restores, evaluates, and prints what came out."""
    options = parse(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    data = load_data()
    _, test_data = data
    checkpoint, picture = options.output / "digits", options.output / "digits.png"
    history = train_and_save(data, options.steps, options.seed, checkpoint)
    averaged = score_checkpoint(checkpoint, test_data)
    keys = sorted(tf.train.load_checkpoint(str(checkpoint)).get_variable_to_shape_map())
    times = time_averaging(TIMING_ROUNDS)
    plot(history, picture)
    print(report(history.raw[-1], averaged, keys, times))
    print(f"\ncheckpoint: {checkpoint}\nplot: {picture}")


if __name__ == "__main__":
    main()
