"""Two replicas for programs that run as either: of one process, or one each of two workers."""

import json
import os

import tensorflow as tf


def strategy_of(kind: str) -> tf.distribute.Strategy:
    """A strategy of two replicas, "mirrored" in this process or of "workers"."""
    if kind == "workers":
        return tf.distribute.MultiWorkerMirroredStrategy()
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])


def worker_index() -> int:
    """The number of this process among the workers."""
    config = os.environ.get("TF_CONFIG", '{"task": {"index": 0}}')
    return int(json.loads(config)["task"]["index"])
