"""Variables bound by name, for Sessions."""

import numpy as np
import pytest
import tensorflow as tf
from emitted import graph_of, updates
from oracle import FLOAT16, FLOAT32, assert_same_bits, normal, updated

import tf_mavg
from tf_mavg import ops

tf1 = tf.compat.v1


def resources(rng) -> tuple[list[tf.Variable], list[np.ndarray]]:
    """Two pairs in the default graph, averages first, and their values."""
    values = [normal(rng, 5, FLOAT32) for _ in range(4)]
    made = [tf1.Variable(v, name=f"v{i}", use_resource=True) for i, v in enumerate(values)]
    return made, values


def test_a_session_finds_resources_by_name(rng):
    with tf.Graph().as_default() as graph, tf1.Session() as session:
        made, values = resources(rng)
        update = ops.apply_moving_average(made[:2], made[2:], 0.5)
        (fused,) = updates(graph)
        assert fused.inputs[0].op.type == "BindNamedVariables"
        assert not fused.inputs[0].op.inputs
        session.run(tf1.global_variables_initializer())
        session.run(update)
        for i, average in enumerate(session.run(made[:2])):
            assert_same_bits(average, updated(values[i], values[i + 2], 0.5))


def test_a_variable_that_was_deleted_and_made_anew_is_found(rng):
    with tf.Graph().as_default(), tf1.Session() as session:
        made, values = resources(rng)
        update = ops.apply_moving_average(made[:2], made[2:], 0.5)
        initialize = tf1.global_variables_initializer()
        session.run(initialize)
        session.run(update)
        session.run(tf.raw_ops.DestroyResourceOp(resource=made[3].handle))
        expected = r"variable 1 \('v3'\) must be initialized"
        with pytest.raises(tf.errors.FailedPreconditionError, match=expected):
            session.run(update)
        session.run(initialize)
        session.run(update)
        for i, average in enumerate(session.run(made[:2])):
            assert_same_bits(average, updated(values[i], values[i + 2], 0.5))


def test_variables_in_a_container_are_found_by_their_handles(rng):
    with tf.Graph().as_default() as graph, tf1.Session() as session, graph.container("other"):
        made, values = resources(rng)
        update = ops.apply_moving_average(made[:2], made[2:], 0.5)
        assert [op.type for op in updates(graph)] == ["ResourceApplyMovingAverage"]
        session.run(tf1.global_variables_initializer())
        session.run(update)
        assert_same_bits(session.run(made[0]), updated(values[0], values[2], 0.5))


def test_a_graph_that_is_imported_under_another_name_updates_the_same_variables(rng):
    with tf.Graph().as_default():
        made, values = resources(rng)
        update = ops.apply_moving_average(made[:2], made[2:], 0.5, name="update")
        exported = tf1.train.export_meta_graph()
    with tf.Graph().as_default() as graph, tf1.Session() as session:
        tf1.train.import_meta_graph(exported, import_scope="imported")
        session.run(tf1.global_variables_initializer())
        session.run(graph.get_operation_by_name(f"imported/{update.name}"))
        average = graph.get_tensor_by_name("imported/v0/Read/ReadVariableOp:0")
        assert_same_bits(session.run(average), updated(values[0], values[2], 0.5))


def test_a_function_within_a_graph_takes_handles():
    with tf.Graph().as_default():
        variable = tf1.get_variable("v", [2], use_resource=True)
        averages = tf_mavg.ExponentialMovingAverage(0.5)
        averages.apply([variable])

        @tf.function
        def step():
            averages.apply([variable])

        step()
        kinds = [op.type for op in updates(graph_of(step))]
        assert kinds == ["ResourceApplyMovingAverage"]


def test_float32_averages_of_half_variables_in_a_session(rng):
    average, value = normal(rng, 7, FLOAT32), normal(rng, 7, FLOAT16)
    with tf.Graph().as_default(), tf1.Session() as session:
        a, v = (tf1.Variable(x, use_resource=True) for x in (average, value))
        update = ops.apply_moving_average([a], [v], 0.5)
        session.run(tf1.global_variables_initializer())
        session.run(update)
        assert_same_bits(session.run(a), updated(average, value, 0.5))
