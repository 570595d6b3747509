"""References, and reads that Grappler leaves in their order; an upgrade may move them again."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mavg._compat.references import read_in_order, reference_of

tf1 = tf.compat.v1


def test_a_reference_is_no_read():
    with tf.Graph().as_default():
        variable = tf1.get_variable("v", [2], use_resource=False)
        assert reference_of(variable).dtype == tf.float32._as_ref
        assert reference_of(variable).op is variable.op


@pytest.mark.parametrize("resource", [False, True], ids=["reference", "resource"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32, np.int64])
def test_a_read_sees_what_ran_before_it(resource, dtype):
    with tf.Graph().as_default(), tf1.Session() as session:
        variable = tf1.get_variable("v", initializer=dtype(0), use_resource=resource)
        # A chain of ops before the write leaves time to a read that does not wait.
        slow = tf1.random_uniform([200, 200])
        for _ in range(10):
            slow = tf.sin(slow)
        with tf.control_dependencies([slow]):
            write = tf1.assign_add(variable, dtype(1))
        with tf.control_dependencies([write]):
            count = read_in_order(variable, tf.float32)
        with tf.control_dependencies([count]):
            later = tf1.assign_add(variable, dtype(1))
        with tf.control_dependencies([later]):
            result = tf.minimum(count, 1000.0), (1.0 + count) / (10.0 + count)
        session.run(tf1.global_variables_initializer())
        for step in range(10):
            seen, ratio = session.run(result)
            assert seen == 2 * step + 1
            assert ratio == pytest.approx((1 + seen) / (10 + seen))
