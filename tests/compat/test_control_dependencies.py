"""How automatic control dependencies are told what a binding touches; an upgrade may end it.

tests/ops/test_binding_order.py has all that follows from it.
"""

import tensorflow as tf

from tf_mavg import ops
from tf_mavg._compat import control_dependencies


def test_declare_orders_a_binding_like_its_variables(monkeypatch):
    average, variable = tf.Variable([0.0]), tf.Variable([1.0])
    declared = []

    def declare(handle, averages, variables):
        declared.append((averages, variables))
        original(handle, averages, variables)

    original = control_dependencies.declare
    monkeypatch.setattr(control_dependencies, "declare", declare)
    binding = ops.Binding([average], [variable])
    assert declared == [([average.handle], [variable.handle])]

    @tf.function
    def step():
        variable.assign([8.0])
        binding.apply_moving_average(0.5)
        variable.assign([0.0])
        return average.read_value()

    assert step().numpy() == [4.0]
    (update,) = (
        op
        for op in step.get_concrete_function().graph.get_operations()
        if op.type == "BoundApplyMovingAverage"
    )
    assert "AssignVariableOp" in {op.type for op in update.control_inputs}


def test_the_ops_that_only_look_are_registered_as_reads():
    variable = tf.Variable([0.0])
    binding = ops.Binding([tf.Variable([0.0])], [variable])

    @tf.function
    def look():
        ops.all_finite([variable])
        binding.all_finite()
        return ops.all_finite([variable]), binding.all_finite()

    # An answer that nothing uses does not run, as a read does not.
    nodes = look.get_concrete_function().graph.get_operations()
    answers = [op for op in nodes if op.type.endswith("AllFinite")]
    assert [bool(op.outputs[0].consumers()) for op in answers] == [False, False, True, True]
    assert not any(op.control_inputs for op in answers)
    outer = tf.function(look).get_concrete_function().graph
    (call,) = (op for op in outer.get_operations() if op.type.endswith("PartitionedCall"))
    assert list(call.get_attr("_read_only_resource_inputs")) == [0, 1]
