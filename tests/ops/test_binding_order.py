"""What a binding touches keeps its place in a function, among reads, writes and other bindings."""

import numpy as np
import pytest
import tensorflow as tf
from emitted import ancestors, graph_of, ops_of, runs_before, updates

from tf_mavg import ops


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

    before, after = updates(graph_of(step))
    assert before in ancestors([after])


def test_bindings_that_share_nothing_run_side_by_side(binding):
    other = ops.Binding([tf.Variable([5.0])], [tf.Variable([6.0])])

    @tf.function
    def step():
        binding.apply_moving_average(0.5)
        other.apply_moving_average(0.5)

    before, after = updates(graph_of(step))
    assert before not in ancestors([after])


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

    assert len(ops_of(graph_of(check), "AllFinite")) == 2
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
    first, second = ops_of(graph, "BoundAllFinite")
    assert first not in ancestors([second])
    for other in ("ReadVariableOp", "AssignAddVariableOp"):
        assert first not in ancestors(ops_of(graph, other))


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
    swap, answers = (ops_of(graph_of(step), t) for t in ("SwapVariables", "AllFinite"))
    assert answers[0] in ancestors(swap)
    assert swap[0] in ancestors(answers[1:])


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
    calls = ops_of(graph, "PartitionedCall")
    for op, ancestor in [
        (calls[0], ops_of(graph, "AssignAddVariableOp")[0]),
        (ops_of(graph, "AssignVariableOp")[0], calls[0]),
        (calls[1], ops_of(graph, "AssignVariableOp")[0]),
    ]:
        assert ancestor in ancestors([op])
    assert calls[0] not in ancestors(ops_of(graph, "ReadVariableOp"))
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
