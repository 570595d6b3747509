"""Averages on two parameter servers, of two workers: parameter_servers.py folder shards.

The chief prints a line of JSON for each thing that it has seen.
"""

import json
import os
import sys

import numpy as np
import tensorflow as tf
from oracle import assert_same_bits, delicate, updated

import tf_mavg

folder, shards = sys.argv[1], int(sys.argv[2])
resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
partitioner = tf.distribute.experimental.partitioners.FixedShardsPartitioner(shards)
strategy = tf.distribute.ParameterServerStrategy(resolver, variable_partitioner=partitioner)
coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
with strategy.scope():
    table = tf.Variable(tf.random.stateless_normal([7, 3], [1, 2]), name="table")
    scalar, wide = tf.Variable(1.0, name="scalar"), tf.Variable(tf.zeros([5], tf.float64), name="w")
named = {"table": table, "scalar": scalar, "wide": wide}
variables = list(named.values())
averages = tf_mavg.ExponentialMovingAverage(0.9)
averages.create_averages(variables)
pairs = [pair for entry in averages.holder.entries() for pair in entry.pairs]
checkpoint = tf.train.Checkpoint(averages=averages, **named)


def say(**what: object) -> None:
    """Prints what the test is to know."""
    print(json.dumps(what), flush=True)


def values():
    """The bytes of averages and variables."""
    return [one.numpy().tobytes() for pair in pairs for one in pair]


class Oracle:
    """The averages in NumPy, bit for bit."""

    def __init__(self) -> None:
        """Starts at what the servers hold."""
        self.averages = [average.numpy() for average, _ in pairs]

    def step(self, count: int = 1) -> None:
        """Takes steps towards what the variables hold now."""
        now = [variable.numpy() for _, variable in pairs]
        for _ in range(count):
            self.averages = [
                updated(average, variable, 0.9)
                for average, variable in zip(self.averages, now, strict=True)
            ]

    def is_equal(self) -> bool:
        """Whether the servers hold the same bits."""
        received = [average.numpy().tobytes() for average, _ in pairs]
        return received == [np.asarray(average).tobytes() for average in self.averages]


def train(delta):
    with tf.control_dependencies(averages.guard()):
        for _, component in pairs:
            component.assign_add(tf.fill(component.shape, tf.cast(delta, component.dtype)))
        averages.apply(variables)


@tf.autograph.experimental.do_not_convert
def run(delta):
    train(delta)


train_step = tf.function(lambda delta: strategy.run(run, (delta,)), autograph=False)
average_step = tf.function(lambda: [averages.apply(variables), None][1], autograph=False)


def resume() -> None:
    """Restores what another cluster, or none, has saved."""
    checkpoint.restore(tf.train.latest_checkpoint(folder)).assert_consumed()
    with np.load(f"{folder}/expected.npz") as expected:
        for name, variable in named.items():
            for which, one in (("variable", variable), ("average", averages.average(variable))):
                whole = tf.convert_to_tensor(one).numpy()
                assert_same_bits(whole, expected[f"{which}_{name}"])
    say(restored=True)


if tf.train.latest_checkpoint(folder):
    resume()
    os._exit(0)  # The coordinator's threads would keep Python from ending.

say(
    devices=sorted({variable.device for _, variable in pairs}),
    beside=all(average.device == variable.device for average, variable in pairs),
)
oracle = Oracle()
for i in range(50):
    coordinator.schedule(train_step, (tf.constant(0.1 * (i % 7 - 2)),))
    coordinator.join()
    oracle.step()
say(serial=oracle.is_equal())
for _ in range(200):  # Both workers at once: an update is atomic on its server.
    coordinator.schedule(average_step)
coordinator.join()
oracle.step(200)
say(concurrent=oracle.is_equal())

for _ in range(100):
    coordinator.schedule(train_step, (tf.constant(0.5),))
try:
    averages.swap()
except RuntimeError as error:
    say(refused=str(error))
coordinator.join()
kept = [one.numpy() for pair in pairs for one in pair]
for pair in pairs:
    pair[0].assign(delicate(tuple(pair[0].shape), pair[0].dtype.as_numpy_dtype(0).dtype))
before = values()
with averages.swapped():
    swapped = values()
    coordinator.schedule(train_step, (tf.constant(0.5),))
    try:
        coordinator.join()
    except tf.errors.InvalidArgumentError as error:
        say(refused=str(error))
exchanged = [one for i in range(0, len(before), 2) for one in (before[i + 1], before[i])]
say(swapped=swapped == exchanged, back=values() == before)
for one, value in zip([one for pair in pairs for one in pair], kept, strict=True):
    one.assign(value)

# So far from the variables that each step changes every average.
for average, _ in pairs:
    average.assign(tf.fill(average.shape, tf.cast(1e30, average.dtype)))
start = [average.numpy() for average, _ in pairs]
for i in range(300):
    coordinator.schedule(average_step)
    if i == 100:
        say(kill=True)  # The test kills a worker, and starts it anew.
coordinator.join()


def steps_done(value, pair):
    """How many steps an average has taken since `start`; None if no number gives its bits."""
    average, variable = (one.numpy() for one in pair)
    for count in range(400):
        if value.tobytes() == average.tobytes():
            return count
        value = np.asarray(updated(value, variable, 0.9))
    return None


# Each on its own: a step of a dying worker may have reached one server and not the other.
say(scheduled=300, done=[steps_done(*one) for one in zip(start, pairs, strict=True)])

manager = tf_mavg.SwappingCheckpointManager(checkpoint, averages, f"{folder}/swapping")
before, path = values(), manager.save()
shapes = tf.train.load_checkpoint(path).get_variable_to_shape_map()
for pair in pairs:
    for one in pair:
        one.assign(tf.zeros_like(one))
manager.restore(path)
say(resumed=values() == before, whole=shapes["table/.ATTRIBUTES/VARIABLE_VALUE"])
whole = {}
for name, variable in named.items():
    whole[f"variable_{name}"] = tf.convert_to_tensor(variable).numpy()
    whole[f"average_{name}"] = tf.convert_to_tensor(averages.average(variable)).numpy()
np.savez(f"{folder}/expected.npz", **whole)
checkpoint.save(f"{folder}/plain")
os._exit(0)
