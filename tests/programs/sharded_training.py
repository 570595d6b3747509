"""Fifty steps of replicas that share averages: sharded_training.py kind folder [action].

The kind is "mirrored" or "workers". Prints lines of JSON. It resumes from the folder and saves
there every ten steps. With "die" the second worker ends in step 35; with "disagree" it makes
averages in another order than the first one; with "alone" it alone collects one after step 5.
"""

import json
import os
import sys
import time
import zlib

import numpy as np
import tensorflow as tf
from oracle import assert_same_bits, patterns, updated
from two_replicas import strategy_of, worker_index

import tf_mavg

kind, folder, action = (*sys.argv[1:], None)[:3]
index, strategy = worker_index(), strategy_of(kind)
mean = tf.VariableAggregation.MEAN
# Replica 0 has the averages of kernel and wide. Not all of them are whole numbers of 8 bytes long.
shapes = {
    "kernel": ([7, 3], "float32"),
    "twin": ([7, 3], "float32"),
    "wide": ([5], "float64"),
    "half": ([3], "float16"),
}
with strategy.scope():
    variables = [
        tf.Variable(tf.zeros(shape, dtype), name=name, aggregation=mean)
        for name, (shape, dtype) in shapes.items()
    ]
    statistics = tf.Variable(
        tf.zeros([3]),
        name="statistics",
        trainable=False,
        aggregation=mean,
        synchronization=tf.VariableSynchronization.ON_READ,
    )
    step = tf.Variable(0, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
averages = tf_mavg.ExponentialMovingAverage(0.9, placement="sharded")
everything = [*variables, statistics]
if action == "disagree" and index == 1:
    averages.create_averages(variables[1:2])
averages.create_averages(everything)
checkpoint = tf.train.Checkpoint(variables=everything, averages=averages, step=step)
# All workers save, since values are collected from them; the first one's files count.
mine = folder if index == 0 else f"{folder}/others/{index}"
manager = tf_mavg.SwappingCheckpointManager(checkpoint, averages, mine)
if tf.train.latest_checkpoint(folder):
    manager.restore(tf.train.latest_checkpoint(folder))


def say(**facts: object):
    print(json.dumps(facts), flush=True)


@tf.autograph.experimental.do_not_convert
def replica_step():
    with tf.control_dependencies(averages.guard()):
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        seed = [replica, step.read_value()]
        for variable in variables:
            noise = tf.random.stateless_normal(variable.shape, seed)
            variable.assign_sub(tf.cast(0.1 * noise, variable.dtype))
        statistics.assign(tf.random.stateless_normal([3], seed))
        tf.cond(step >= 0, lambda: [averages.apply(everything), None][1], lambda: None)
        step.assign_add(1)


def owned():
    """The averages that this process has, and their components of variables."""
    return [pair for entry in averages.holder.entries() for pair in entry.pairs]


def refusal_of(call):
    """What a call is refused with."""
    try:
        call()
    except (RuntimeError, tf.errors.OpError) as error:
        return str(error)
    return None


def checksum():
    """Of all averages, which are read in the place of the variables."""
    with averages.swapped():
        return zlib.crc32(b"".join(variable.numpy().tobytes() for variable in variables))


train = tf.function(lambda: strategy.run(replica_step), autograph=False)
if action == "disagree":
    for one, _ in owned():  # Averages that are not equal to their variables.
        one.assign(tf.ones_like(one))
    before = [one.numpy().tobytes() for pair in owned() for one in pair]
    say(swap=refusal_of(averages.swap), is_swapped=averages.is_swapped)
    say(unchanged=before == [one.numpy().tobytes() for pair in owned() for one in pair])
    os._exit(0)
expected = [average.numpy() for average, _ in owned()]
while step.numpy() < 50:
    train()
    expected = [
        updated(value, variable.numpy(), 0.9)
        for value, (_, variable) in zip(expected, owned(), strict=True)
    ]
    if action == "alone" and step.numpy() == 5:
        began = time.monotonic()
        if index == 1:
            error = refusal_of(lambda: averages.holder.array(variables[0]))
        else:
            error = refusal_of(lambda: [train() for _ in range(10**6)])
        say(error=error, seconds=time.monotonic() - began)
        os._exit(0)
    if step.numpy() % 10 == 0:
        manager.save()
    if action == "die" and index == 1 and step.numpy() == 35:
        os._exit(42)
for value, (average, _) in zip(expected, owned(), strict=True):
    assert_same_bits(average.numpy(), value)
checkpoint.write(f"{mine}/plain")
say(step=int(step.numpy()), checksum=checksum())
elsewhere = [
    v for v in variables if all(average is not averages.average(v) for average, _ in owned())
]
say(
    owned=[average.name for average, _ in owned()],
    elsewhere=[refusal_of(averages.average(variable).numpy) for variable in elsewhere],
    converted=[refusal_of(lambda: averages.average(elsewhere[0]) + tf.ones([]))]
    if elsewhere
    else [],
)
# Bits that a sum of floating-point numbers would lose, and components that differ.
rng = np.random.default_rng(index)
for pair in owned():
    for one in pair:
        dtype = np.dtype(one.dtype.as_numpy_dtype)
        one.assign(patterns(rng, one.shape.num_elements(), dtype).reshape(one.shape))
state = [one.numpy().tobytes() for v in everything for one in v.values] + [
    average.numpy().tobytes() for average, _ in owned()
]
with averages.swapped():
    components = [[one.numpy().tobytes() for one in v.values] for v in variables]
    say(
        received=[zlib.crc32(values[0]) for values in components],
        alike=all(len({*values}) == 1 for values in components),
        refused=[refusal_of(train), refusal_of(lambda: strategy.run(averages.guard))],
    )
say(
    back=state
    == [one.numpy().tobytes() for v in everything for one in v.values]
    + [average.numpy().tobytes() for average, _ in owned()]
)
averages.overwrite()
say(overwritten=[zlib.crc32(v.values[-1].numpy().tobytes()) for v in variables])
