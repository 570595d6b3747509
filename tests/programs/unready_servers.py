"""Averages on servers that have not imported tf_mavg: prints what the chief is told, as JSON."""

import json
import os

import tensorflow as tf

import tf_mavg

resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
strategy = tf.distribute.ParameterServerStrategy(resolver)
coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
with strategy.scope():
    variable = tf.Variable([1.0])
    each = tf.Variable([1.0], per_worker_variable=True)
averages = tf_mavg.ExponentialMovingAverage(0.5)


@tf.function(autograph=False)
def step() -> None:
    """Averages on the server, in a worker's step."""
    averages.apply([variable])


def say_refusal(name, act):
    """Prints why an action is refused."""
    try:
        act()
    except (tf.errors.NotFoundError, TypeError) as error:
        print(json.dumps({name: str(error)}), flush=True)


say_refusal("eager", lambda: averages.apply([variable]))
say_refusal("scheduled", lambda: coordinator.schedule(step))
say_refusal("swap", averages.swap)
say_refusal("each worker", lambda: averages.apply([each]))
print(json.dumps({"value": averages.average(variable).numpy().tolist()}), flush=True)
os._exit(0)  # The coordinator's threads would keep Python from ending.
