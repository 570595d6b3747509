"""A bfloat16 table in shards on two parameter servers, with split averages and float32 ones.

The chief prints a line of JSON for each thing that it has seen. Its argument is a folder for files.
"""

import json
import os
import sys

import numpy as np
import tensorflow as tf

import tf_mavg

folder = sys.argv[1]
resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
partitioner = tf.distribute.experimental.partitioners.FixedShardsPartitioner(2)
strategy = tf.distribute.ParameterServerStrategy(resolver, variable_partitioner=partitioner)
coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
with strategy.scope():
    start = tf.cast(tf.random.stateless_normal([7, 3], [1, 2]), tf.bfloat16)
    table = tf.Variable(start, name="table")
    scalar = tf.Variable(1.0, name="scalar")
variables = [table, scalar]
split = tf_mavg.ExponentialMovingAverage(0.99, average_dtype="split")
wide = tf_mavg.ExponentialMovingAverage(0.99, average_dtype="float32")
for averages in (split, wide):
    averages.create_averages(variables)
checkpoint = tf.train.Checkpoint(table=table, scalar=scalar, averages=split)


def say(**what: object) -> None:
    """Prints what the test is to know."""
    print(json.dumps(what), flush=True)


def bits(averages) -> list[bytes]:
    """All bits of the averages."""
    values = [averages.average_value(variable) for variable in variables]
    return [tf.convert_to_tensor(value).numpy().tobytes() for value in values]


def weights() -> list[bytes]:
    """The bytes of the variables."""
    return [tf.convert_to_tensor(variable).numpy().tobytes() for variable in variables]


def replica_step(delta):
    for shard in (*table.variables, scalar):
        shard.assign_add(tf.fill(shard.shape, tf.cast(delta, shard.dtype)))
    for averages in (split, wide):
        averages.apply(variables)


@tf.function(autograph=False)
def step(delta):
    strategy.run(tf.autograph.experimental.do_not_convert(replica_step), (delta,))


for i in range(50):
    coordinator.schedule(step, (tf.constant(0.1 * (i % 7 - 2)),))
    coordinator.join()
(entry,) = (one for one in split.holder.entries() if one.is_split)
say(
    devices=sorted({component.device for _, component in entry.pairs}),
    beside=all(
        {average.device, remainder.device} == {variable.device}
        for (average, variable), remainder in zip(entry.pairs, entry.remainders, strict=True)
    ),
    remains=any(one.numpy().any() for one in entry.remainders),
)
say(serial=bits(split) == bits(wide))
for _ in range(200):  # Both workers at once: an update of both halves is atomic on its server.
    coordinator.schedule(step, (tf.constant(0.0),))
coordinator.join()
say(concurrent=bits(split) == bits(wide))
before, trained = bits(split), weights()
with split.swapped():
    exchanged = tf.convert_to_tensor(table).numpy()
    kept = bits(split) == before
expected = tf.convert_to_tensor(split.average(table)).numpy()
say(swapped=exchanged.tobytes() == expected.tobytes(), kept=kept, back=weights() == trained)

path = checkpoint.write(f"{folder}/plain")
manager = tf_mavg.SwappingCheckpointManager(checkpoint, split, f"{folder}/swapping", 1)
manager.save()
for restore in (lambda: checkpoint.read(path), manager.restore_or_initialize):
    for _ in range(3):
        coordinator.schedule(step, (tf.constant(1.0),))
    coordinator.join()
    moved = bits(split) != before
    restore()
    say(resumed=moved and bits(split) == before and weights() == trained)
one = tf.Variable(np.zeros([7, 3]), dtype=tf.bfloat16)
alone = tf_mavg.ExponentialMovingAverage(0.99, average_dtype="split")
alone.create_averages([one])
tf.train.Checkpoint(table=one, averages=alone).read(path).expect_partial()
say(whole=alone.average_value(one).numpy().tobytes() == before[0])
os._exit(0)  # The coordinator's threads would keep Python from ending.
