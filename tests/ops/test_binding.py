"""Variables bound once, for eager steps and functions: what a binding does, holds and refuses."""

import gc
import re
import weakref
from typing import Any

import pytest
import tensorflow as tf
from emitted import graph_of, runs_before, updates
from tensorflow.python.framework.func_graph import FuncGraph

import tf_mavg
from tf_mavg import ops
from tf_mavg._compat import control_dependencies
from tf_mavg._ops.library import OPS


def test_a_binding_updates_eagerly_and_in_a_function(binding, pair):
    @tf.function
    def step():
        binding.apply_moving_average(0.5)

    binding.apply_moving_average(0.5)
    assert pair[0].numpy() == [0.5]
    step()
    assert pair[0].numpy() == [0.75]


def test_a_function_captures_one_handle_for_all_variables():
    variables = [tf.Variable(tf.ones(3)) for _ in range(100)]
    averages = tf_mavg.ExponentialMovingAverage(0.5)

    @tf.function
    def step():
        averages.apply(variables)

    concrete = step.get_concrete_function()
    assert len(concrete.captured_inputs) == 2  # The other tells whether they are swapped.
    assert [op.type for op in updates(concrete.graph)] == ["BoundApplyMovingAverage"]
    for variable in variables:
        variable.assign(tf.zeros(3))
    step()
    assert all((averages.average(v).numpy() == 0.5).all() for v in variables)


def test_a_function_that_xla_compiles_takes_every_variable(pair):
    averages = tf_mavg.ExponentialMovingAverage(0.5)

    @tf.function(jit_compile=True)
    def step():
        averages.apply(pair[1:])

    assert [op.type for op in updates(graph_of(step))] == ["ResourceApplyMovingAverage"]


def traced_update(
    average: tf.Variable, variable: tf.Variable
) -> tuple[Any, weakref.ref[ops.Binding]]:
    """An update of the pair as a concrete function, and the binding that it was traced with."""
    binding = ops.Binding([average], [variable])

    @tf.function
    def update():
        binding.apply_moving_average(0.5)

    return update.get_concrete_function(), weakref.ref(binding)


@pytest.mark.slow
def test_a_concrete_function_outlives_the_binding_it_was_traced_with(pair):
    update, binding = traced_update(*pair)
    gc.collect()
    assert binding() is None

    @tf.function
    def step():
        pair[1].assign([3.0])
        update()

    assert runs_before(graph_of(step), "AssignVariableOp", "PartitionedCall")
    step()
    assert pair[0].numpy() == [1.5]


def test_nothing_is_remembered_of_a_binding_that_is_gone(pair):
    gc.collect()
    before = len(control_dependencies._bindings)
    update, _ = traced_update(*pair)
    assert len(control_dependencies._bindings) == before + 1
    del update
    gc.collect()
    assert len(control_dependencies._bindings) == before


def test_what_a_graph_captures_later_is_seen_too(binding):
    graph = FuncGraph("function")
    with graph.as_default():
        assert not control_dependencies._touched_in(graph)
        binding.apply_moving_average(0.5)
        assert len(control_dependencies._touched_in(graph)) == 1


def test_steps_in_a_while_loop(binding, pair):
    @tf.function
    def steps():
        for _ in tf.range(3):
            pair[1].assign_add([1.0])
            binding.apply_moving_average(0.5)

    steps()
    assert pair[0].numpy() == [((2 * 0.5 + 3) * 0.5 + 4) * 0.5]


@pytest.mark.parametrize("taken", [True, False])
def test_a_step_in_a_conditional(binding, pair, taken):
    average, variable = pair

    @tf.function
    def step(condition):
        variable.assign_add([1.0])
        if condition:
            binding.apply_moving_average(0.5)
        variable.assign_add([1.0])
        return average.read_value()

    assert step(tf.constant(taken)).numpy() == ([1.0] if taken else [0.0])
    assert variable.numpy() == [3.0]


def test_a_binding_in_a_function_is_not_retraced_for_another_decay(binding):
    traces = []

    @tf.function
    def step(decay):
        traces.append(decay)
        binding.apply_moving_average(decay)

    for decay in (0.9, 0.8):
        step(tf.constant(decay))
    assert len(traces) == 1


@pytest.mark.cpu  # The emulated GPU has no XLA.
def test_xla_refuses_it_and_says_what_to_do(binding):
    @tf.function(jit_compile=True)
    def step():
        binding.apply_moving_average(0.5)

    words = (
        "BoundApplyMovingAverage: variables that are bound cannot be compiled; call the averaging "
        "inside the function that has jit_compile=True, so that it is traced for XLA, or outside of"
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=re.escape(words)):
        step()
    with pytest.raises(tf.errors.InvalidArgumentError, match="BoundSwapVariables: variables that"):
        tf.function(binding.swap_variables, jit_compile=True)()
    with pytest.raises(tf.errors.InvalidArgumentError, match="BoundAllFinite: variables that"):
        tf.function(binding.all_finite, jit_compile=True)()


@pytest.mark.cpu  # Saves to disk, whatever the device.
def test_an_export_shows_what_to_do(binding, tmp_path):
    module = tf.Module()
    module.update = tf.function(lambda: binding.apply_moving_average(0.5), input_signature=[])
    words = "tf_mavg binding of 1 variables and 1 average(s) of each (number "
    with pytest.raises(KeyError, match=re.escape(words)) as raised:
        tf.saved_model.save(module, str(tmp_path))
    assert "export a function that does not update or swap averages" in str(raised.value)


def test_a_binding_of_unlike_dtypes_is_not_swapped():
    binding = ops.Binding(
        [tf.Variable([0.0], name="average")], [tf.Variable([1.0], dtype=tf.float16, name="half")]
    )
    expected = "The variables at position 0 must have one dtype to change places. Received: "
    with pytest.raises(TypeError, match=re.escape(expected)):
        binding.swap_variables()


def test_the_kernel_swaps_no_unlike_dtypes():
    average, half = tf.Variable([0.0]), tf.Variable([1.0], dtype=tf.float16)
    binding = ops.Binding([average], [half])
    with pytest.raises(tf.errors.InvalidArgumentError, match="must have one dtype to change"):
        OPS.bound_swap_variables(binding._handles[0], index=0, copy=False)
    assert (average.numpy(), half.numpy()) == (0.0, 1.0)


def test_lists_of_variables_that_come_and_go_are_forgotten():
    variables = [tf.Variable([1.0]) for _ in range(20)]
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    for i in range(20):
        averages.apply(variables[: i + 1])
    assert len(averages.holder.update._bindings) < 10
    assert all(averages.average(v).numpy() == [1.0] for v in variables)
