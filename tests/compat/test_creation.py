"""How TensorFlow makes a variable beside another; an upgrade may take it away."""

import pytest
import tensorflow as tf
from tensorflow.python.ops.resource_variable_ops import UninitializedVariable

from tf_mavg._compat.creation import make_at_once, make_beside

tf1 = tf.compat.v1


@pytest.mark.parametrize("resource", [False, True], ids=["reference", "resource"])
def test_a_variable_beside_another_is_of_its_kind(resource):
    with tf.Graph().as_default():
        whole = tf1.get_variable("whole", [2], use_resource=resource)
        part, _ = tf1.get_variable(
            "parts", [4], use_resource=resource, partitioner=tf1.fixed_size_partitioner(2)
        )
        for variable in (whole, part):
            made = make_beside(variable, tf.zeros([2]), "average")
            assert made.op.name == f"{variable.op.name}/average"
            assert made.op.type == variable.op.type
            assert made.op.colocation_groups() == [f"loc:@{variable.op.name}".encode()]
            assert not made.trainable
        assert made._get_save_slice_info().full_name == "parts/average"
        assert made._get_save_slice_info().spec == part._get_save_slice_info().spec


def test_a_variable_beside_a_component_is_in_no_collection(logical_cpus):
    with tf.Graph().as_default():
        strategy = tf1.distribute.MirroredStrategy(logical_cpus[:2])
        with strategy.scope():
            whole = tf1.get_variable("v", initializer=[1.0], use_resource=True)
            made = [make_beside(one, tf.zeros([1]), "average") for one in whole.values]
        assert [one.op.name for one in made] == ["v/average", "v/replica_1/average"]
        assert [one.device for one in made] == [one.device for one in whole.values]
        (known,) = tf1.global_variables()
        assert known is whole


def test_a_variable_made_at_once_passes_creators():
    variable, traces = tf.Variable([3.0], name="v"), []
    made = {}

    @tf.function
    def step():
        traces.append(1)
        with tf.init_scope():
            if not made:
                made["average"] = make_at_once(variable, "average", variable.dtype, variable)
        return variable + made["average"]

    with tf.variable_creator_scope(lambda *_, **__: pytest.fail("a creator was asked")):
        assert step().numpy() == [6.0]
    assert len(traces) == 1
    average = made["average"]
    assert isinstance(average, tf.Variable)
    assert (average.name, average.trainable, average.device) == (
        "v/average:0",
        False,
        variable.device,
    )


def test_a_variable_beside_one_without_a_value_is_zero():
    variable = UninitializedVariable(shape=[2], dtype=tf.bfloat16, name="v")
    named_after = tf.Variable(1.0, name="other")
    made = make_at_once(variable, "average", tf.float32, named_after)
    assert (made.name, made.trainable, made.device) == ("other/average:0", False, variable.device)
    assert (made.shape, made.dtype) == (variable.shape, tf.float32)
    assert made.numpy().tolist() == [0.0, 0.0]


def test_a_variable_beside_another_may_start_at_zero():
    variable = tf.Variable([3.0, 4.0], dtype=tf.bfloat16, name="v")
    made = make_at_once(variable, "remainder", tf.int16, variable, zero=True)
    assert (made.dtype, made.numpy().tolist()) == (tf.int16, [0, 0])
