"""Checks an installation of tf_mavg below TensorFlow: `tf_mavg check`.

A package of its own: importing tf_mavg imports TensorFlow, and a check needs none.
"""
