"""Variables bound once: by handle for eager steps and functions, by name for Sessions."""

import gc
import re
import weakref
from typing import Any

import emitted
import numpy as np
import pytest
import tensorflow as tf
from oracle import FLOAT16, FLOAT32, assert_same_bits, normal, updated
from tensorflow.python.framework.func_graph import FuncGraph

import tf_mavg
from tf_mavg import ops
from tf_mavg._compat import control_dependencies
from tf_mavg._ops.library import OPS

tf1 = tf.compat.v1


@pytest.fixture
def pair():
    """An average that holds 0 and its variable that holds 1."""
    return tf.Variable([0.0], name="average"), tf.Variable([1.0], name="variable")


@pytest.fixture
def binding(pair):
    """The two, bound."""
    return ops.Binding(pair[:1], pair[1:])


def graph_of(function: tf.types.experimental.PolymorphicFunction) -> tf.Graph:
    return function.get_concrete_function().graph


def runs_before(graph: tf.Graph, first: str, second: str) -> bool:
    """Whether the only op of a graph with the first type runs before all with the second."""
    (before,) = emitted.ops_of(graph, first)
    after = emitted.ops_of(graph, second)
    assert after
    return all(before in emitted.ancestors([op]) for op in after)


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
    assert [op.type for op in emitted.updates(concrete.graph)] == ["BoundApplyMovingAverage"]
    for variable in variables:
        variable.assign(tf.zeros(3))
    step()
    assert all((averages.average(v).numpy() == 0.5).all() for v in variables)


def test_a_function_that_xla_compiles_takes_every_variable(pair):
    averages = tf_mavg.ExponentialMovingAverage(0.5)

    @tf.function(jit_compile=True)
    def step():
        averages.apply(pair[1:])

    assert [op.type for op in emitted.updates(graph_of(step))] == ["ResourceApplyMovingAverage"]


def test_it_waits_for_writes_and_holds_up_later_ones(binding, pair):
    average, variable = pair

    @tf.function
    def step():
        variable.assign_add([1.0])
        binding.apply_moving_average(0.5)
        variable.assign([100.0])
        return average.read_value()

    graph = graph_of(step)
    assert runs_before(graph, "AssignAddVariableOp", "BoundApplyMovingAverage")
    assert runs_before(graph, "BoundApplyMovingAverage", "AssignVariableOp")
    assert runs_before(graph, "BoundApplyMovingAverage", "ReadVariableOp")
    assert step().numpy() == [1.0]
    assert variable.numpy() == [100.0]


def test_reads_of_its_variables_run_beside_it(binding, pair):
    @tf.function
    def step():
        binding.apply_moving_average(0.5)
        return pair[1].read_value()

    assert not runs_before(graph_of(step), "BoundApplyMovingAverage", "ReadVariableOp")


def test_a_swap_of_a_binding_holds_up_reads_of_both_sides(binding, pair):
    @tf.function
    def evaluate():
        binding.swap_variables()
        seen = [v.read_value() for v in pair]
        binding.swap_variables()
        return seen

    assert [value.numpy().tolist() for value in evaluate()] == [[1.0], [0.0]]
    assert [v.numpy().tolist() for v in pair] == [[0.0], [1.0]]


@pytest.mark.parametrize("shared", ["average", "variable"])
def test_bindings_that_share_a_variable_keep_their_order(pair, shared):
    others = [tf.Variable([5.0]), tf.Variable([6.0])]
    first = ops.Binding(*([v] for v in pair))
    if shared == "average":
        second = ops.Binding([others[0], pair[0]], [others[1], tf.Variable([2.0])])
    else:
        second = ops.Binding([others[0], others[1]], [tf.Variable([2.0]), pair[1]])

    @tf.function
    def step():
        first.apply_moving_average(0.5)
        second.apply_moving_average(0.5)

    before, after = emitted.updates(graph_of(step))
    assert before in emitted.ancestors([after])


def test_bindings_that_share_nothing_run_side_by_side(binding):
    other = ops.Binding([tf.Variable([5.0])], [tf.Variable([6.0])])

    @tf.function
    def step():
        binding.apply_moving_average(0.5)
        other.apply_moving_average(0.5)

    before, after = emitted.updates(graph_of(step))
    assert before not in emitted.ancestors([after])


def test_a_call_of_a_function_with_a_binding_keeps_its_place(binding, pair):
    average, variable = pair

    @tf.function(autograph=False)
    def update():
        binding.apply_moving_average(0.5)

    @tf.function
    def step():
        variable.assign_add([1.0])
        update()
        variable.assign([100.0])
        return average.read_value()

    graph = graph_of(step)
    assert runs_before(graph, "AssignAddVariableOp", "PartitionedCall")
    assert runs_before(graph, "PartitionedCall", "AssignVariableOp")
    assert runs_before(graph, "PartitionedCall", "ReadVariableOp")
    assert step().numpy() == [1.0]


def test_it_is_asked_for_its_variables_and_not_for_its_averages(binding, pair):
    average, variable = pair
    average.assign([np.nan])
    assert binding.all_finite()
    variable.assign([np.inf])
    assert not binding.all_finite()


def test_it_is_asked_once_for_variables_of_many_averages():
    variables = [tf.Variable([1.0]), tf.Variable([1.0], dtype=tf.float16)]
    averages = [[tf.Variable([0.0]) for _ in variables] for _ in range(6)]
    binding = ops.Binding(averages, variables)
    assert len(binding._handles) == 4

    @tf.function
    def check():
        return binding.all_finite()

    assert len(emitted.ops_of(graph_of(check), "AllFinite")) == 2
    assert check()
    for variable in variables:
        variable.assign([np.inf])
        assert not check()
        variable.assign([1.0])


def test_an_answer_waits_for_writes_and_holds_up_later_ones(binding, pair):
    average, variable = pair

    @tf.function
    def step():
        variable.assign_add([np.inf])
        finite = binding.all_finite()
        variable.assign([2.0])
        binding.apply_moving_average(0.5)
        return finite, average.read_value()

    graph = graph_of(step)
    assert runs_before(graph, "AssignAddVariableOp", "BoundAllFinite")
    assert runs_before(graph, "BoundAllFinite", "AssignVariableOp")
    assert runs_before(graph, "BoundAllFinite", "BoundApplyMovingAverage")
    finite, value = step()
    assert not finite
    assert value.numpy() == [1.0]


def test_reads_and_other_answers_run_beside_an_answer(binding, pair):
    @tf.function
    def step():
        first = binding.all_finite()
        return first, pair[1].read_value(), pair[0].assign_add([1.0]), binding.all_finite()

    graph = graph_of(step)
    first, second = emitted.ops_of(graph, "BoundAllFinite")
    assert first not in emitted.ancestors([second])
    for other in ("ReadVariableOp", "AssignAddVariableOp"):
        assert first not in emitted.ancestors(emitted.ops_of(graph, other))


def test_a_swap_holds_up_an_answer_and_waits_for_it(binding, pair):
    pair[0].assign([np.nan])

    @tf.function
    def step():
        found = [binding.all_finite()]
        for _ in range(2):
            binding.swap_variables()
            found.append(binding.all_finite())
        return found

    assert [bool(answer) for answer in step()] == [True, False, True]


@pytest.mark.parametrize("shared", ["average", "variable"])
def test_an_answer_keeps_its_place_among_bindings_that_share_a_variable(pair, shared):
    # No variable is an input of the function: only the bindings are.
    other = tf.Variable([np.inf])
    first = ops.Binding(*([v] for v in pair))
    second = ops.Binding(*(([pair[1]], [other]) if shared == "average" else ([other], [pair[1]])))

    @tf.function
    def step():
        before = first.all_finite()
        second.swap_variables()
        return before, first.all_finite()

    assert [bool(answer) for answer in step()] == [True, False]
    swap, answers = (emitted.ops_of(graph_of(step), t) for t in ("SwapVariables", "AllFinite"))
    assert answers[0] in emitted.ancestors(swap)
    assert swap[0] in emitted.ancestors(answers[1:])


def test_a_call_that_only_asks_is_ordered_as_a_read(binding, pair):
    variable = pair[1]

    @tf.function(autograph=False)
    def ask():
        return binding.all_finite()

    @tf.function
    def step():
        variable.assign_add([np.inf])
        finite = ask()
        seen = variable.read_value()
        variable.assign([1.0])
        return finite, seen, ask()

    graph = graph_of(step)
    calls = emitted.ops_of(graph, "PartitionedCall")
    for op, ancestor in [
        (calls[0], emitted.ops_of(graph, "AssignAddVariableOp")[0]),
        (emitted.ops_of(graph, "AssignVariableOp")[0], calls[0]),
        (calls[1], emitted.ops_of(graph, "AssignVariableOp")[0]),
    ]:
        assert ancestor in emitted.ancestors([op])
    assert calls[0] not in emitted.ancestors(emitted.ops_of(graph, "ReadVariableOp"))
    first, _, second = step()
    assert (bool(first), bool(second)) == (False, True)


def test_an_answer_decides_in_a_conditional_and_in_a_loop(binding, pair):
    average, variable = pair

    @tf.function
    def steps(values):
        for value in values:
            variable.assign([value])
            if binding.all_finite():
                binding.apply_moving_average(0.5)

    steps(tf.constant([1.0, np.inf, 2.0, np.nan]))
    assert average.numpy() == [1.25]


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


def resources(rng) -> tuple[list[tf.Variable], list[np.ndarray]]:
    """Two pairs in the default graph, averages first, and their values."""
    values = [normal(rng, 5, FLOAT32) for _ in range(4)]
    made = [tf1.Variable(v, name=f"v{i}", use_resource=True) for i, v in enumerate(values)]
    return made, values


def test_a_session_finds_resources_by_name(rng):
    with tf.Graph().as_default() as graph, tf1.Session() as session:
        made, values = resources(rng)
        update = ops.apply_moving_average(made[:2], made[2:], 0.5)
        (fused,) = emitted.updates(graph)
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
        assert [op.type for op in emitted.updates(graph)] == ["ResourceApplyMovingAverage"]
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
        kinds = [op.type for op in emitted.updates(graph_of(step))]
        assert kinds == ["ResourceApplyMovingAverage"]


def test_float32_averages_of_half_variables_in_a_session(rng):
    average, value = normal(rng, 7, FLOAT32), normal(rng, 7, FLOAT16)
    with tf.Graph().as_default(), tf1.Session() as session:
        a, v = (tf1.Variable(x, use_resource=True) for x in (average, value))
        update = ops.apply_moving_average([a], [v], 0.5)
        session.run(tf1.global_variables_initializer())
        session.run(update)
        assert_same_bits(session.run(a), updated(average, value, 0.5))
