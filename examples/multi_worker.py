"""Trains on several workers that hold the same weights, with averages, and saves them.

Run it with `python examples/multi_worker.py`: it starts two workers on this machine. Each step adds
up the gradients of both; the averages cost no communication, since every worker updates its own.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import cluster
import tensorflow as tf
from digits_data import train_and_held_out

import tf_mavg

BATCH_SIZE = 32  # Of all workers together.


def train(epochs: int, folder: Path) -> None:
    """What each worker does; the first one prints."""
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    _, index = cluster.own_task()
    x, y, held_out_x, held_out_y = train_and_held_out()
    batches = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=0)
    batches = batches.batch(BATCH_SIZE, drop_remainder=True)
    batches = strategy.experimental_distribute_dataset(batches)
    with strategy.scope():
        draw = tf.random.stateless_normal
        hidden = tf.Variable(draw([64, 64], seed=[0, 0], stddev=0.1))
        output = tf.Variable(draw([64, 10], seed=[0, 1], stddev=0.1))
    weights = [hidden, output]
    averages = tf_mavg.ExponentialMovingAverage(0.99)
    averages.create_averages(weights)

    def scores(images: tf.Tensor) -> tf.Tensor:
        return tf.nn.relu(images @ hidden) @ output

    def replica_step(images: tf.Tensor, labels: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores(images))
            loss = tf.reduce_sum(losses) / BATCH_SIZE
        gradients = tape.gradient(loss, weights)
        replica = tf.distribute.get_replica_context()
        gradients = replica.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.assign_sub(1.0 * gradient)
        averages.apply(weights)

    @tf.function
    def step(images: tf.Tensor, labels: tf.Tensor) -> None:
        strategy.run(replica_step, (images, labels))

    def report(what: str) -> None:
        found = tf.argmax(scores(held_out_x), axis=1, output_type=tf.int32)
        accuracy = float(tf.reduce_mean(tf.cast(found == held_out_y, tf.float32)))
        if index == 0:
            print(f"accuracy {what}: {accuracy:.4f}")

    for _ in range(epochs):
        for batch in batches:
            step(*batch)
    report("with the last weights")
    with averages.swapped():  # All workers do it, at the same point.
        report("with their averages")

    # All workers save, since they read the weights together; the first one's file counts.
    checkpoint = tf.train.Checkpoint(hidden=hidden, output=output, averages=averages)
    own_folder = str(folder / f"worker-{index}")
    tf_mavg.SwappingCheckpointManager(checkpoint, averages, own_folder).save()
    restored = tf.train.Checkpoint(hidden=hidden, output=output)
    restored.restore(tf.train.latest_checkpoint(own_folder)).expect_partial()
    report("from the checkpoint")


def main() -> None:
    """Starts the workers, or is one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where to save; by default nowhere for long")
    options = parser.parse_args()
    if cluster.own_task() is None:
        sys.exit(cluster.run({"worker": options.workers}, leader="worker"))
    with tempfile.TemporaryDirectory() as temporary:
        train(options.epochs, options.folder or Path(temporary))


if __name__ == "__main__":
    main()
