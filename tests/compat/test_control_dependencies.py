"""How automatic control dependencies are told what a binding touches; an upgrade may end it.

tests/ops/test_binding.py has all that follows from it.
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
