"""One worker of several: prints which replicas it has, and what the replica says of itself."""

import json

import tensorflow as tf

from tf_mavg._compat.distribute import replicas_here

strategy = tf.distribute.MultiWorkerMirroredStrategy()


def number():
    return tf.distribute.get_replica_context().replica_id_in_sync_group


print(json.dumps({"here": list(replicas_here(strategy)), "context": int(strategy.run(number))}))
