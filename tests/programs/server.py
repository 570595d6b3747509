"""A worker or parameter server under a chief, with the ops of a module: server.py module."""

import importlib
import json
import os
import sys

import tensorflow as tf

importlib.import_module(sys.argv[1])
task = json.loads(os.environ["TF_CONFIG"])["task"]
spec = tf.distribute.cluster_resolver.TFConfigClusterResolver().cluster_spec()
tf.distribute.Server(spec, task["type"], task["index"], protocol="grpc").join()
