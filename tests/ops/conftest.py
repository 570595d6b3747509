"""A binding, for tests of what it does."""

import pytest
import tensorflow as tf

from tf_mavg import ops


@pytest.fixture
def pair():
    """An average that holds 0 and its variable that holds 1."""
    return tf.Variable([0.0], name="average"), tf.Variable([1.0], name="variable")


@pytest.fixture
def binding(pair):
    """The two, bound."""
    return ops.Binding(pair[:1], pair[1:])
