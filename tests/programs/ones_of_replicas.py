"""Two replicas in one process: prints how many ones they add up to."""

import json

import tensorflow as tf

from tf_mavg._compat.distribute import all_reduce_of_ones

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
print(json.dumps(all_reduce_of_ones(strategy, 5)))
