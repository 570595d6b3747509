"""What cannot work under a strategy is refused in our words, and nothing has changed."""

import json

import cluster
import keras
import numpy as np
import prepared
import pytest
import tensorflow as tf
from places import PROGRAMS
from strategies import STRATEGIES, components
from tensorflow.python.distribute import tpu_values

import tf_mavg
import tf_mavg.keras


def test_variables_of_dtensor_are_refused(tmp_path):
    # In a process of its own: a mesh stays a device of its process.
    printed = prepared.must_run([PROGRAMS / "dtensor.py"], tmp_path)
    message = (
        "A variable must lie on CPUs and GPUs, plain or of a tf.distribute strategy, to be "
        "averaged. Received: 'v:0', a DTensor variable; average it with "
        "tf.train.ExponentialMovingAverage."
    )
    assert json.loads(printed.splitlines()[-1]) == [[message, 0]] * 6


def test_variables_of_tpus_are_refused(logical_cpus):
    # No TPU is at hand: the class of its variables, around variables of a CPU, stands for one.
    strategy = STRATEGIES["mirrored"](logical_cpus)
    both = [tf.Variable([1.0], name="v") for _ in range(2)]
    variable = tpu_values.TPUMirroredVariable(strategy, both, tf.VariableAggregation.MEAN)
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    plain = tf.Variable([1.0])
    with pytest.raises(TypeError, match=r"Received: 'v:0', one of TPUStrategy; average it with"):
        averages.create_averages([plain, variable])
    assert averages.average(plain) is None


def in_replicas(strategy, variable, averages):
    averages.create_averages([variable])

    def average():
        averages.apply([variable])

    @tf.function(autograph=False, jit_compile=True)
    def step():
        strategy.run(average)

    return step


def in_replicas_one_by_one(strategy, variable, averages):
    @tf.function(autograph=False, jit_compile=True)
    def average():
        averages.apply([variable])

    averages.create_averages([variable])
    return tf.function(lambda: strategy.run(average), autograph=False)


def across_replicas(strategy, variable, averages):
    del strategy

    @tf.function(autograph=False, jit_compile=True)
    def step():
        averages.apply([variable])

    return step


def swapping(strategy, variable, averages):
    del strategy, variable
    return tf.function(averages.swap, autograph=False, jit_compile=True)


makers = [in_replicas, in_replicas_one_by_one, across_replicas, swapping]


@pytest.mark.parametrize("make", makers)
def test_xla_of_several_cpus_is_refused(make, logical_cpus):
    strategy = STRATEGIES["mirrored"](logical_cpus)
    with strategy.scope():
        variable = tf.Variable([1.0])
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    averages.create_averages([variable])
    step = make(strategy, variable, averages)
    variable.assign([3.0])
    with pytest.raises(RuntimeError, match="XLA compiles a step for one device") as refused:
        step()
    assert "a step with variables on 2 devices, /job:localhost" in str(refused.value)
    assert "leave jit_compile=True away, or train on GPUs alone" in str(refused.value)
    assert [one.numpy() for one in components(averages.average(variable))] == [1.0, 1.0]


def test_xla_of_one_device_is_not_refused():
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    with strategy.scope():
        variable = tf.Variable([1.0])
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    step = in_replicas(strategy, variable, averages)
    variable.assign([3.0])
    step()
    assert averages.average(variable).numpy() == [2.0]


def test_fit_by_xla_on_several_cpus_is_refused_and_trains_nothing(logical_cpus):
    with STRATEGIES["mirrored"](logical_cpus).scope():
        model = keras.Sequential([keras.layers.Input([3]), keras.layers.Dense(2)])
        model.compile(tf_mavg.keras.MovingAverage("sgd"), loss="mse", jit_compile=True)
    before = [weight.numpy().tobytes() for weight in model.weights]
    with pytest.raises(RuntimeError, match="XLA compiles a step for one device"):
        model.fit(np.ones([8, 3]), np.ones([8, 2]), verbose=0)
    assert [weight.numpy().tobytes() for weight in model.weights] == before


def test_a_server_that_has_not_imported_tf_mavg_is_named(tmp_path):
    program = cluster.running(
        cluster.PARAMETER_SERVERS, "unready_servers.py", tmp_path, servers_import="tensorflow"
    )
    with program as servers:
        assert servers.wait([("chief", 0)], 100) == [0], servers.logs()
        said = {key: value for line in servers.said(("chief", 0)) for key, value in line.items()}
    for act in ("eager", "scheduled", "swap"):
        assert said[act].startswith("A process must import tf_mavg before it serves others")
        assert "Received: variables on /job:ps/replica:0/task:" in said[act]
        assert said[act].endswith("import tf_mavg there, before tf.distribute.Server(...).join().")
    assert said["each worker"].endswith(
        "which has a value for each worker; make it without per_worker_variable=True."
    )
    assert said["value"] == [1.0]
