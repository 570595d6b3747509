"""Trains with parameter servers, which hold the weights in shards, and averages beside them.

Run it with `python examples/parameter_servers.py`: it starts a coordinator, two workers and two
servers on this machine. Workers take steps whenever they are done with the one before; each step
has the averages updated on the servers, so no average ever travels.
"""

import argparse
import os
import sys

import cluster
import tensorflow as tf
from digits_data import train_and_held_out

import tf_mavg

JOBS = {"chief": 1, "worker": 2, "ps": 2}
BATCH_SIZE = 32


def serve() -> None:
    """What workers and servers do. They must have imported tf_mavg: its ops run in them."""
    job, index = cluster.own_task()
    spec = tf.distribute.cluster_resolver.TFConfigClusterResolver().cluster_spec()
    tf.distribute.Server(spec, job, index, protocol="grpc").join()


def coordinate(epochs: int) -> None:
    """What the coordinator does."""
    strategy = tf.distribute.ParameterServerStrategy(
        tf.distribute.cluster_resolver.TFConfigClusterResolver(),
        variable_partitioner=tf.distribute.experimental.partitioners.FixedShardsPartitioner(2),
    )
    coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
    x, y, held_out_x, held_out_y = train_and_held_out()
    with strategy.scope():
        draw = tf.random.stateless_normal
        hidden = tf.Variable(draw([64, 64], seed=[0, 0], stddev=0.1), name="hidden")
        output = tf.Variable(draw([64, 10], seed=[0, 1], stddev=0.1), name="output")
    weights = [hidden, output]
    averages = tf_mavg.ExponentialMovingAverage(0.99)
    averages.create_averages(weights)

    def scores(images: tf.Tensor) -> tf.Tensor:
        whole_hidden, whole_output = map(tf.convert_to_tensor, weights)
        return tf.nn.relu(images @ whole_hidden) @ whole_output

    def batches() -> tf.data.Dataset:
        data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x))
        return data.batch(BATCH_SIZE, drop_remainder=True).repeat()

    def replica_step(images: tf.Tensor, labels: tf.Tensor) -> None:
        shards = [shard for weight in weights for shard in weight.variables]
        with tf.control_dependencies(averages.guard()), tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores(images))
            loss = tf.reduce_mean(losses)
        for shard, gradient in zip(shards, tape.gradient(loss, shards), strict=True):
            shard.assign_sub(0.5 * gradient)
        averages.apply(weights)

    @tf.function
    def step(iterator: tf.data.Iterator) -> None:
        strategy.run(replica_step, next(iterator))

    def report(what: str) -> None:
        found = tf.argmax(scores(held_out_x), axis=1, output_type=tf.int32)
        accuracy = float(tf.reduce_mean(tf.cast(found == held_out_y, tf.float32)))
        print(f"accuracy {what}: {accuracy:.4f}", flush=True)

    iterator = iter(coordinator.create_per_worker_dataset(batches))
    for _ in range(epochs * (len(x) // BATCH_SIZE)):
        coordinator.schedule(step, (iterator,))
    coordinator.join()  # A swap is refused before.
    report("with the last weights")
    with averages.swapped():
        report("with their averages")


def main() -> None:
    """Starts all processes, or is one of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=20)
    epochs = parser.parse_args().epochs
    task = cluster.own_task()
    if task is None:
        sys.exit(cluster.run(JOBS, leader="chief"))
    if task[0] != "chief":
        serve()
    coordinate(epochs)
    os._exit(0)  # The coordinator's threads would keep Python from ending.


if __name__ == "__main__":
    main()
