"""A table in shards on two parameter servers, averaged lazily and, beside it, densely.

The chief prints a line of JSON for each thing that it has seen.
"""

import json
import os

import numpy as np
import tensorflow as tf

import tf_mavg

ROWS = 11
resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
partitioner = tf.distribute.experimental.partitioners.FixedShardsPartitioner(2)
strategy = tf.distribute.ParameterServerStrategy(resolver, variable_partitioner=partitioner)
coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
with strategy.scope():
    table = tf.Variable(tf.random.stateless_normal([ROWS, 3], [1, 2]), name="table")
    dense = tf.Variable(1.0, name="dense")
shards = table.variables
lazy = tf_mavg.ExponentialMovingAverage(0.9, sparse="lazy")
reference = tf_mavg.ExponentialMovingAverage(0.9)
for averages in (lazy, reference):
    averages.create_averages([table, dense])


def say(**what: object) -> None:
    """Prints what the test is to know."""
    print(json.dumps(what), flush=True)


def replica_step(words, rate):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.nn.embedding_lookup(table, words) ** 2)
    gradients = tape.gradient(loss, shards)
    lazy.catch_up(shards, gradients)
    for shard, gradient in zip(shards, gradients, strict=True):
        shard.scatter_sub(tf.IndexedSlices(rate * gradient.values, gradient.indices))
    for averages in (lazy, reference):
        averages.apply([table, dense])


@tf.function(autograph=False)
def step(words, rate):
    strategy.run(tf.autograph.experimental.do_not_convert(replica_step), (words, rate))


def farthest() -> float:
    """How far lazy and dense averages are apart."""
    found = [tf.convert_to_tensor(one.average(table)).numpy() for one in (lazy, reference)]
    return float(np.abs(found[0] - found[1]).max())


rng = np.random.default_rng(4)
for _ in range(60):
    coordinator.schedule(step, (tf.constant(rng.integers(0, ROWS, 3)), tf.constant(0.1)))
    coordinator.join()
tables = lazy.holder.lazy.tables(lazy.holder.entries())
say(
    devices=sorted({one.device for one in tables[0] + tables[1]}),
    beside=all(len({one.device for one in of_shard}) == 1 for of_shard in tables),
    behind=any(int(t.seen.numpy().min()) < t.clock.numpy()[0] for t in tables),
)
say(serial=farthest())
for _ in range(200):  # Both workers at once: no step is lost.
    coordinator.schedule(step, (tf.constant(rng.integers(0, ROWS, 3)), tf.constant(0.0)))
coordinator.join()
say(steps=[int(t.clock.numpy()[0]) for t in tables], concurrent=farthest())
with lazy.swapped():
    whole = tf.convert_to_tensor(table).numpy()
say(swapped=bool(np.allclose(whole, tf.convert_to_tensor(lazy.average(table)), atol=0)))
os._exit(0)  # The coordinator's threads would keep Python from ending.
