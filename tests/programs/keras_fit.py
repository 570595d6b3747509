"""tf_keras's fit on a cluster: keras_fit.py workers|servers folder.

Workers follow each step of the averages by an oracle. Servers, whose steps have no order, first
train at the learning rate zero: what the averages are then is known all the same. Prints a line of
JSON.
"""

import json
import os
import sys

import numpy as np
import tensorflow as tf
import tf_keras
from oracle import assert_same_bits, updated
from two_replicas import worker_index

import tf_mavg
import tf_mavg.tf_keras

DECAY = 0.9
STEPS = 5

kind, folder = sys.argv[1:]
if kind == "workers":
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
else:
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    partitioner = tf.distribute.experimental.partitioners.FixedShardsPartitioner(2)
    strategy = tf.distribute.ParameterServerStrategy(resolver, variable_partitioner=partitioner)
x, y = np.random.default_rng(0).normal(size=(2, 64, 4)).astype("float32")


def data(_=None):
    """Batches without end; each worker takes its share of the rows."""
    options = tf.data.Options()
    policy = tf.data.experimental.AutoShardPolicy.DATA
    options.experimental_distribute.auto_shard_policy = policy
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(16).repeat().with_options(options)


def dataset():
    """The data as `fit` takes it."""
    return data() if kind == "workers" else tf_keras.utils.experimental.DatasetCreator(data)


def make():
    """A model and its optimizer."""
    optimizer = tf_mavg.tf_keras.MovingAverage(tf_keras.optimizers.SGD(0.1), DECAY)
    layers = tf_keras.layers
    model = tf_keras.Sequential([layers.Dense(3), layers.BatchNormalization(), layers.Dense(4)])
    model.build([None, 4])
    model.compile(optimizer, loss="mse")
    optimizer.build(model.trainable_variables)
    return model, optimizer


with strategy.scope():
    model, optimizer = make()
weights = model.trainable_variables


def copies(variables):
    """The components of variables, in this process."""
    return [one for v in variables for one in getattr(v, "values", [v])]


def averages():
    """The components of the averages."""
    return copies(optimizer.average(weight) for weight in weights)


def both():
    """The bytes of averages and weights."""
    return [[one.numpy().tobytes() for one in side] for side in (averages(), copies(weights))]


class Follow(tf_keras.callbacks.Callback):
    """Takes the steps of the averages in NumPy."""

    def __init__(self) -> None:
        """Starts at what they are."""
        super().__init__()
        self.expected = [average.numpy() for average in averages()]

    def step(self):
        """Moves them towards what the weights are now."""
        for i, one in enumerate(copies(weights)):
            self.expected[i] = updated(self.expected[i], one.numpy(), DECAY)

    def check(self):
        """Asserts that the averages are these."""
        for value, average in zip(self.expected, averages(), strict=True):
            assert_same_bits(average.numpy(), value)


class EachBatch(Follow):
    """Takes a step with each of fit's."""

    def on_train_batch_end(self, batch, logs=None):  # noqa: ARG002 - as Keras calls it.
        """Takes a step."""
        self.step()


seen = []
on_test = tf_keras.callbacks.LambdaCallback(
    on_epoch_end=lambda epoch, logs: seen.append("val_loss" in logs)  # noqa: ARG005 - as Keras's.
)
callbacks = [tf_mavg.tf_keras.EvaluateAverages(), on_test]
options = {"steps_per_epoch": STEPS, "verbose": 0, "callbacks": callbacks}
options |= {"validation_data": dataset(), "validation_steps": 2}
if kind == "workers":
    follow = EachBatch()
    callbacks.append(follow)
    model.fit(dataset(), epochs=2, **options)
    follow.check()
else:
    for average in averages():
        average.assign_add(tf.ones(average.shape))
    follow = Follow()
    optimizer.learning_rate = 0.0
    model.fit(dataset(), epochs=2, **options)
    for _ in range(2 * STEPS):
        follow.step()
    follow.check()
    optimizer.learning_rate = 0.1
    model.fit(dataset(), epochs=1, **options)
before = both()
with optimizer.swapped():
    assert both() == before[::-1]
assert both() == before
assert before[0] != before[1]
places = [one.device for one in averages()]
assert places == [one.device for one in copies(weights)]
# All workers save, since statistics are read across them.
mine = f"{folder}/{worker_index()}"


def manager_of(model, optimizer):
    """The manager of a model's checkpoints."""
    checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer)
    return tf_mavg.SwappingCheckpointManager(checkpoint, optimizer, mine)


manager = manager_of(model, optimizer)
path = manager.save()
for one in [*averages(), *copies(weights)]:
    one.assign(tf.zeros_like(one))
manager.restore(path)
assert both() == before


def state_of(model, optimizer):
    """The bytes of a model's weights and averages, of the first replica."""
    variables = [*model.trainable_variables, *map(optimizer.average, model.trainable_variables)]
    return [copies([variable])[0].numpy().tobytes() for variable in variables]


alone, other = make()  # Without a strategy, and so without shards.
start, refused = state_of(alone, other), None
try:
    manager_of(alone, other).restore(path)
except AssertionError as error:
    refused = str(error)
now = state_of(alone, other)
unchanged, moved = now == start, now == state_of(model, optimizer)
facts = {"devices": len(set(places)), "validated": all(seen), "refused": refused}
print(json.dumps({**facts, "unchanged": unchanged, "moved": moved}), flush=True)
os._exit(0)  # The coordinator's threads would keep Python from ending.
