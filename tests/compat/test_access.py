"""How a resource variable is read and set: what an upgrade takes away fails here by its name."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mavg._compat.access import before_each_access, before_fetches

tf1 = tf.compat.v1

READS = {
    "value": lambda v: v.value(),
    "read_value": lambda v: v.read_value(),
    "conversion": tf.convert_to_tensor,
    "arithmetic": lambda v: v + 0.0,
    "gather": lambda v: tf.gather(v, [0, 1]),
    "gather_nd": lambda v: tf.gather_nd(v, [[0], [1]]),
    "in a function": lambda v: tf.function(lambda: v + 0.0)(),
}
WRITES = {
    "assign": lambda v: v.assign([5.0, 5.0]),
    "assign_add": lambda v: v.assign_add([5.0, 5.0]),
    "assign_sub": lambda v: v.assign_sub([5.0, 5.0]),
    "a part": lambda v: v[0].assign(5.0),
    "rows": lambda v: v.scatter_update(tf.IndexedSlices([5.0], [0])),
    "rows by nd": lambda v: v.scatter_nd_update([[0]], [5.0]),
}


def prepared_variable():
    """A variable of zeros that is set to ones, past itself, before each access."""
    variable = tf.Variable([0.0, 0.0], use_resource=True)
    handle = variable.handle

    def prepare():
        made = tf.raw_ops.AssignVariableOp(resource=handle, value=[1.0, 1.0])
        return [] if tf.executing_eagerly() else [made]

    before_each_access(variable, prepare)
    return variable


@pytest.mark.parametrize("read", READS)
def test_reads_eagerly(read):
    np.testing.assert_array_equal(READS[read](prepared_variable()), [1, 1])


@pytest.mark.parametrize("read", [*READS, "fetch", "saver"])
def test_reads_in_a_session(read, tmp_path):
    with tf.Graph().as_default(), tf1.Session() as session:
        variable = prepared_variable()
        session.run(tf1.global_variables_initializer())
        if read == "saver":
            path = tf1.train.Saver({"key": variable}).save(session, str(tmp_path / "file"))
            found = tf.train.load_variable(path, "key")
        else:
            found = session.run(variable if read == "fetch" else READS[read](variable))
    np.testing.assert_array_equal(found, [1, 1])


@pytest.mark.parametrize("write", WRITES)
def test_writes_come_after(write):
    plain, prepared = tf.Variable([1.0, 1.0]), prepared_variable()
    WRITES[write](plain)
    WRITES[write](prepared)
    value = tf.raw_ops.ReadVariableOp(resource=prepared.handle, dtype=tf.float32)
    np.testing.assert_array_equal(value, plain)


def test_fetches_alone():
    with tf.Graph().as_default(), tf1.Session() as session:
        variable = tf.Variable([0.0], use_resource=True)
        before_fetches(
            variable,
            lambda: [tf.raw_ops.AssignVariableOp(resource=variable.handle, value=[1.0])],
        )
        session.run(tf1.global_variables_initializer())
        assert session.run(variable.read_value()) == 0
        assert session.run(variable) == 1
