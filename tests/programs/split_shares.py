"""Replicas that share split averages, beside float32 ones: split_shares.py kind folder.

The kind is "mirrored" or "workers". Prints a line of JSON.
"""

import json
import sys
import zlib

import numpy as np
import tensorflow as tf
from two_replicas import strategy_of, worker_index

import tf_mavg

kind, folder = sys.argv[1:3]
index, strategy = worker_index(), strategy_of(kind)
# Not all of them are whole numbers of 8 bytes long.
shapes = {"kernel": [7, 3], "twin": [7, 3], "bias": [5]}
with strategy.scope():
    variables = [
        tf.Variable(
            tf.zeros(shape, tf.bfloat16), name=name, aggregation=tf.VariableAggregation.MEAN
        )
        for name, shape in shapes.items()
    ]
    step = tf.Variable(0, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)


def sharded(choice):
    averages = tf_mavg.ExponentialMovingAverage(0.9, placement="sharded", average_dtype=choice)
    averages.create_averages(variables)
    return averages


split, whole = sharded("split"), sharded("float32")


@tf.autograph.experimental.do_not_convert
def replica_step():
    for variable in variables:
        noise = tf.random.stateless_normal(variable.shape, [3, step.read_value()])
        variable.assign_sub(tf.cast(0.1 * noise, variable.dtype))
    split.apply(variables)
    whole.apply(variables)
    step.assign_add(1)


def bits(averages):
    """The bytes of all averages, which all workers read at once."""
    return [averages.holder.array(variable).tobytes() for variable in variables]


def in_place(averages):
    """What each component of the variables holds while they are swapped."""
    with averages.swapped():
        return [one.numpy().tobytes() for v in variables for one in v.values]


train = tf.function(lambda: strategy.run(replica_step), autograph=False)
for _ in range(20):
    train()
before = [one.numpy().tobytes() for v in variables for one in v.values]
placed = in_place(split)
after = [one.numpy().tobytes() for v in variables for one in v.values]
mine = folder if index == 0 else f"{folder}/others/{index}"
model = tf.train.Checkpoint(variables=variables, averages=split)
model.write(f"{mine}/split")
tf.train.Checkpoint(variables=variables, averages=whole).write(f"{mine}/whole")
expected = bits(whole)
read = []
for choice, file in (("float32", "split"), ("split", "whole"), ("split", "split")):
    other = sharded(choice)
    tf.train.Checkpoint(variables=variables, averages=other).read(f"{mine}/{file}")
    read.append(bits(other) == expected)
print(
    json.dumps(
        {
            "alike": bits(split) == expected,
            "back": before == after,
            "read": read,
            "checksum": zlib.crc32(b"".join(expected)),
            "placed": zlib.crc32(b"".join(placed[:: len(variables[0].values)])),
            "moved": bool(np.any(np.frombuffer(expected[0], np.uint16)[::2])),
        }
    ),
    flush=True,
)
