"""A cluster in one process: prints whether a step is under way, before, while and after it is.

Then, whether a variable and one with a value a worker have such values.
"""

import json
import socket
import threading

import numpy as np
import tensorflow as tf

from tf_mavg._compat.distribute import has_a_value_a_worker, steps_are_under_way

addresses = {}
for job in ("worker", "ps"):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        addresses[job] = [f"127.0.0.1:{listening.getsockname()[1]}"]
spec = tf.train.ClusterSpec(addresses)
servers = [tf.distribute.Server(spec, job, 0, protocol="grpc") for job in addresses]
resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(spec, rpc_layer="grpc")
strategy = tf.distribute.ParameterServerStrategy(resolver)
seen = [steps_are_under_way(strategy)]
coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
gate = threading.Event()


@tf.function
def wait() -> None:
    """A step that lasts until the gate opens."""
    tf.numpy_function(lambda: np.bool_(gate.wait(30)), [], tf.bool)


coordinator.schedule(wait)
seen.append(steps_are_under_way(strategy))
gate.set()
coordinator.join()
seen.append(steps_are_under_way(strategy))
with strategy.scope():
    both = [tf.Variable(1.0), tf.Variable(1.0, per_worker_variable=True)]
print(json.dumps([seen, [has_a_value_a_worker(one) for one in both]]), flush=True)
