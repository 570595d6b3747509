"""Averages of DTensor variables on a mesh of two CPUs: prints why each is refused, as JSON."""

import json
from collections.abc import Callable

import tensorflow as tf
from tensorflow.experimental import dtensor

import tf_mavg

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
mesh = dtensor.create_mesh([("x", 2)], devices=["CPU:0", "CPU:1"])
layouts = [dtensor.Layout.replicated(mesh, 1), dtensor.Layout(["x"], mesh)]


def refusals(layout: dtensor.Layout) -> list[list[object]]:
    """What is said, and how many averages there are, by way of making the first one."""
    variable = dtensor.DVariable(dtensor.call_with_layout(tf.ones, layout, [4]), name="v")
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    traced = tf.function(averages.apply, autograph=False)
    return [
        [refusal_of(act, variable), averages.holder.count]
        for act in (averages.create_averages, averages.apply, traced)
    ]


def refusal_of(act: Callable[[list[tf.Variable]], object], variable: tf.Variable) -> str | None:
    """The message of the TypeError that an action raises."""
    try:
        act([variable])
    except TypeError as error:
        return str(error)
    return None


print(json.dumps([refusal for layout in layouts for refusal in refusals(layout)]))
