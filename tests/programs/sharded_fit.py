"""A fit of tf_keras in which workers share averages: sharded_fit.py folder.

Prints a line of JSON: the losses, and checksums of all averages by every way that collects them.
"""

import json
import sys
import zlib
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras as keras
from two_replicas import worker_index

import tf_mavg
import tf_mavg.tf_keras

index = worker_index()
folder = Path(sys.argv[1]) / str(index)
folder.mkdir(parents=True)
strategy = tf.distribute.MultiWorkerMirroredStrategy()
if index == 0:  # Layers of this worker have other numbers in their names then.
    keras.layers.Dense(1)(np.zeros([1, 1], np.float32))
keras.utils.set_random_seed(0)
x, y = np.random.default_rng(0).normal(size=(2, 64, 4)).astype(np.float32)
options = tf.data.Options()
options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
data = tf.data.Dataset.from_tensor_slices((x, y)).batch(16).with_options(options)
with strategy.scope():
    optimizer = tf_mavg.tf_keras.MovingAverage(
        keras.optimizers.Adam(0.01), 0.9, placement="sharded"
    )
    model = keras.Sequential([keras.layers.Dense(3), keras.layers.Dense(4)])
    model.build([None, 4])
    model.compile(optimizer, loss="mse", jit_compile=False)


def checksum(variables):
    return zlib.crc32(b"".join(variable.numpy().tobytes() for variable in variables))


def swapped():
    """Of the averages, in the place of the weights."""
    with optimizer.swapped():
        return checksum(model.trainable_variables)


evaluation = tf_mavg.tf_keras.EvaluateAverages()
history = model.fit(
    data, epochs=2, verbose=0, validation_data=data, shuffle=False, callbacks=[evaluation]
)
facts = {"losses": history.history, "swapped": swapped()}
model.save(folder / "model.keras")
loaded = keras.models.load_model(folder / "model.keras")  # In no strategy: it is one worker's.
facts["keras"] = checksum(map(loaded.optimizer.average, loaded.trainable_variables))
checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer)
manager = tf_mavg.SwappingCheckpointManager(checkpoint, optimizer, str(folder / "checkpoints"))
manager.save()
asynchronous = tf.train.CheckpointOptions(experimental_enable_async_checkpoint=True)
plain = tf.train.Checkpoint(model=model, optimizer=optimizer)
path = plain.save(str(folder / "plain"), options=asynchronous)
plain.sync()
for way, restore in (("manager", manager.restore), ("plain", lambda: plain.restore(path))):
    model.fit(data, epochs=1, verbose=0, shuffle=False)
    assert swapped() != facts["swapped"]
    restore()
    facts[way] = swapped()
print(json.dumps(facts))
