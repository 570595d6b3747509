"""Fifty steps of replicas: replicated_training.py mirrored|workers folder [action].

Prints a line of JSON. It resumes from the folder and saves there every ten steps. With "die" the
second worker ends in step 35; with "alone" it swaps alone after step 5.
"""

import json
import os
import sys
import time
import zlib

import tensorflow as tf
from oracle import assert_same_bits, delicate, updated
from two_replicas import strategy_of, worker_index

import tf_mavg

kind, folder, action = (*sys.argv[1:], None)[:3]
index, strategy = worker_index(), strategy_of(kind)
mean = tf.VariableAggregation.MEAN
on_read = tf.VariableSynchronization.ON_READ
with strategy.scope():
    kernel = tf.Variable(tf.random.stateless_normal([7, 3], [1, 2]), aggregation=mean)
    wide = tf.Variable(tf.zeros([5], tf.float64), aggregation=mean)
    statistics = tf.Variable(
        tf.zeros([3]), trainable=False, aggregation=mean, synchronization=on_read
    )
    step = tf.Variable(0, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
variables = [kernel, wide, statistics]
averages = tf_mavg.ExponentialMovingAverage(0.9)
if index == 0:  # At another moment than in other workers.
    averages.create_averages(variables)
checkpoint = tf.train.Checkpoint(variables=variables, averages=averages, step=step)
# All workers save, since variables are read across them; the first one's files count.
manager = tf_mavg.SwappingCheckpointManager(
    checkpoint, averages, folder if index == 0 else f"{folder}/others/{index}"
)
checkpoints = tf.train.latest_checkpoint(folder)
if checkpoints:
    manager.restore(checkpoints)


@tf.autograph.experimental.do_not_convert
def replica_step():
    with tf.control_dependencies(averages.guard()):
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        seed = [replica, step.read_value()]
        noise = [tf.random.stateless_normal(v.shape, seed, dtype=v.dtype) for v in variables]
        kernel.assign_sub(0.1 * noise[0])
        wide.assign_sub(0.1 * noise[1])
        statistics.assign(noise[2])
        averages.apply(variables)
        step.assign_add(1)


train = tf.function(lambda: strategy.run(replica_step), autograph=False)
averages.create_averages(variables)
expected = [[one.numpy() for one in averages.average(v).values] for v in variables]
while step.numpy() < 50:
    train()
    for values, variable in zip(expected, variables, strict=True):
        for i, one in enumerate(variable.values):
            values[i] = updated(values[i], one.numpy(), 0.9)
    if step.numpy() % 10 == 0:
        manager.save()
    if action == "die" and index == 1 and step.numpy() == 35:
        os._exit(42)
    if action == "alone" and step.numpy() == 5:
        began = time.monotonic()
        try:
            if index == 1:
                with averages.swapped():
                    pass
            else:
                while True:
                    train()
        except (RuntimeError, tf.errors.OpError) as error:
            took = time.monotonic() - began
            print(json.dumps({"seconds": took, "error": str(error)[:300]}), flush=True)
            os._exit(0)
for values, variable in zip(expected, variables, strict=True):
    for value, average in zip(values, averages.average(variable).values, strict=True):
        assert_same_bits(average.numpy(), value)
mirrored = [averages.average(v).values[0].numpy().tobytes() for v in (kernel, wide)]
checksum = zlib.crc32(b"".join(mirrored))
both = [one for v in variables for one in (*v.values, *averages.average(v).values)]
for variable in variables:
    for one in variable.values:
        one.assign(delicate(tuple(one.shape), one.dtype.as_numpy_dtype(0).dtype))
before = [one.numpy().tobytes() for one in both]
with averages.swapped():
    swapped = [kernel.numpy().tobytes(), averages.average(kernel).numpy().tobytes()]
assert swapped == [averages.average(kernel).numpy().tobytes(), kernel.numpy().tobytes()]
assert [one.numpy().tobytes() for one in both] == before
print(json.dumps({"step": int(step.numpy()), "checksum": checksum}), flush=True)
