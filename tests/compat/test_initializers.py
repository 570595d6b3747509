"""What TensorFlow's variables let be done with their initializers; an upgrade may take it away."""

import pytest
import tensorflow as tf

from tf_mavg._compat.initializers import follow_initializer, value_assigned_by_initializer

tf1 = tf.compat.v1

kinds = pytest.mark.parametrize("resource", [False, True], ids=["reference", "resource"])


@kinds
def test_a_warm_start_replaces_the_initializer(resource, tmp_path):
    with tf.Graph().as_default(), tf1.Session() as session:
        variable = tf1.get_variable("v", initializer=1.0, use_resource=resource)
        assert session.run(value_assigned_by_initializer(variable)) == 1.0
        session.run(variable.initializer)
        path = tf1.train.Saver().save(session, str(tmp_path / "model"))
        tf1.assign(variable, 3.0)
        before = variable.initializer
        tf1.train.init_from_checkpoint(path, {"v": variable})
        assert variable.initializer is not before
        assert variable.initializer is variable.initializer  # It is told by `is`.
        assert session.run(value_assigned_by_initializer(variable)) == 1.0
        assert value_assigned_by_initializer(variable).op.name.startswith(
            "Identity" if resource else "checkpoint_initializer"
        )


@kinds
def test_a_variable_can_follow_another(resource):
    with tf.Graph().as_default(), tf1.Session() as session:
        leader, follower = (
            tf1.get_variable(name, initializer=1.0, use_resource=resource) for name in "ab"
        )

        def make() -> tf.Operation:
            return tf1.assign(follower, value_assigned_by_initializer(leader) + 10.0).op

        kind = type(follower)
        follow_initializer(follower, leader, make)
        assert isinstance(follower, kind)
        for start in (1.0, 2.0):
            leader._initializer_op = tf1.assign(leader, start).op
            assert follower.initializer is follower.initializer
            session.run([leader.initializer, follower.initializer])
            assert session.run([leader, follower]) == [start, start + 10.0]
        leader._initializer_op = tf1.assign(leader, 3.0).op
        proto = follower.to_proto()
        assert proto.initializer_name != follower.initializer.name
        assert proto.initializer_name in [op.name for op in session.graph.get_operations()]
        assert isinstance(follower, kind)
        own = tf1.assign(follower, 7.0).op
        follower._initializer_op = own
        leader._initializer_op = tf1.assign(leader, 4.0).op
        assert follower.initializer is own
