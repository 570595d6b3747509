"""tf_mavg.ops.all_finite: whether no element of any variable is infinite or NaN."""

import re

import emitted
import numpy as np
import pytest
import tensorflow as tf
import worlds
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracle import FLOAT32, SAME_DTYPES, SIZES, extreme, infinite, is_finite

from tf_mavg import ops
from tf_mavg._ops.library import OPS

tf1 = tf.compat.v1

dtype = pytest.mark.parametrize("dtype", SAME_DTYPES, ids=str)


def values_with(value, place: int, size: int) -> np.ndarray:
    """Finite numbers, but for one."""
    values = np.resize(extreme(value.dtype), size)
    values[place] = value
    return values


@dtype
def test_what_is_finite_and_what_is_not(world, dtype):
    finite = world.variables([np.resize(extreme(dtype), size) for size in SIZES])
    assert world.value(lambda: ops.all_finite(finite))
    # At either end of arrays of every size, among which the kernels see lanes, blocks and chunks.
    bad = [
        values_with(infinite(dtype)[i % 6], place, size)
        for i, size in enumerate(SIZES[1::3])
        for place in (0, size - 1)
    ]
    for i, variable in enumerate(world.variables(bad, "bad")):
        assert not world.value(lambda v=variable: ops.all_finite([v])), i
        assert not world.value(lambda v=variable: ops.all_finite([*finite, v])), i


@dtype
@given(data=st.data())
def test_any_bits(dtype, data):
    size = data.draw(st.integers(0, 40))
    value = data.draw(hnp.arrays(np.uint8, size * dtype.itemsize)).view(dtype)
    assert ops.all_finite([tf.Variable(value)]).numpy() == is_finite(value).all()


def test_it_gives_one_scalar_and_writes_nothing(world):
    values = [np.arange(6, dtype=FLOAT32).reshape(2, 3), np.array(np.nan, FLOAT32)]
    variables = world.variables(values)
    for some, expected in ((variables[:1], True), (variables, False)):
        answer = world.value(lambda some=some: ops.all_finite(some))
        assert answer.dtype == np.bool_
        assert answer.shape == ()
        assert answer == expected
    for received, value in zip(world.read(variables), values, strict=True):
        np.testing.assert_array_equal(received, value)


def test_variables_of_several_dtypes(world):
    good = world.variables([np.ones(3, dtype) for dtype in SAME_DTYPES], "good")
    bad = world.variables([np.full(3, np.inf, dtype) for dtype in SAME_DTYPES], "bad")
    assert world.value(lambda: ops.all_finite(good))
    for i in range(len(good)):
        chosen = [*good[:i], bad[i], *good[i + 1 :]]
        assert not world.value(lambda chosen=chosen: ops.all_finite(chosen)), i


@pytest.mark.cpu  # There are several devices of that kind.
def test_variables_of_several_devices(logical_cpus):
    variables = []
    for device in logical_cpus[:3]:
        with tf.device(device):
            variables.append(tf.Variable([1.0]))
    ask = tf.function(lambda: ops.all_finite(variables))
    assert ask()
    assert ops.all_finite(variables)
    nodes = emitted.ops_of(ask.get_concrete_function().graph, "ResourceAllFinite")
    assert [op.device[-5:] for op in nodes] == ["CPU:0", "CPU:1", "CPU:2"]
    variables[2].assign([np.nan])
    assert not ask()
    assert not ops.all_finite(variables)


def test_a_partitioned_variable_stands_for_its_shards():
    with tf.Graph().as_default(), worlds.on_device(), tf1.Session() as session:
        parts = tf1.get_variable("parts", [4], partitioner=tf1.fixed_size_partitioner(2))
        whole, first = ops.all_finite([parts]), ops.all_finite(list(parts)[:1])
        session.run(tf1.global_variables_initializer())
        assert session.run([whole, first]) == [True, True]
        session.run(tf1.assign(list(parts)[1], [1.0, np.inf]))
        assert session.run([whole, first]) == [False, True]


@pytest.mark.parametrize("kind", worlds.GRAPH_WORLDS)
def test_one_op_a_dtype_beside_the_variables(kind):
    with worlds.enter(kind) as world:
        variables = world.variables([np.ones(2, d) for d in SAME_DTYPES[:2] * 3])
        one = ops.all_finite(variables[::2], name="one")
        several = ops.all_finite(variables, name="several")
        assert (one.op.name, several.op.name) == ("one", "several")
        found = emitted.ops_of(world.session.graph, "AllFinite")
        assert [op.get_attr("N") for op in found] == [3, 3, 3]
        assert all(op.device == variables[0].device for op in found)


def test_a_write_in_a_function_comes_before_or_after_as_it_stands_there():
    variable = tf.Variable([1.0])

    @tf.function
    def step():
        first = ops.all_finite([variable])
        variable.assign([np.inf])
        second = ops.all_finite([variable])
        variable.assign([2.0])
        return first, second, ops.all_finite([variable])

    for _ in range(20):
        assert [bool(answer) for answer in step()] == [True, False, True]


def test_answers_in_one_function_do_not_wait_for_each_other():
    variable = tf.Variable([1.0])

    @tf.function
    def step():
        return ops.all_finite([variable]), ops.all_finite([variable])

    answers = emitted.ops_of(step.get_concrete_function().graph, "AllFinite")
    assert answers[0] not in emitted.ancestors(answers[1:])


def test_two_answers_with_a_write_between_them_are_two_in_a_session():
    with worlds.enter("session, reference variables") as world:
        (variable,) = world.variables([np.zeros(3, FLOAT32)])
        first = ops.all_finite([variable])
        with tf.control_dependencies([first]):
            spoil = tf1.assign(variable, [0.0, np.nan, 0.0])
        with tf.control_dependencies([spoil]):
            second = ops.all_finite([variable])
        assert world.session.run([first, second]) == [True, False]


def test_an_empty_list_and_what_is_no_variable():
    expected = "`variables` must have at least one member. Received: 0 variables."
    with pytest.raises(ValueError, match=re.escape(expected)):
        ops.all_finite([])
    variable, counter = tf.Variable(0.0, name="v"), tf.Variable(3, name="counter")
    expected = "Received: 'v:0' as variables[0] and variables[1]."
    with pytest.raises(ValueError, match=re.escape(expected)):
        ops.all_finite([variable, variable])
    with pytest.raises(TypeError, match=r"variables\[1\] must be a tf.Variable. Received: 1.5"):
        ops.all_finite([variable, 1.5])
    expected = "variables[0] must be bfloat16, float16, float32 or float64. Received: 'counter:0'"
    with pytest.raises(TypeError, match=re.escape(expected)):
        ops.all_finite([counter])


UNINITIALIZED = r"must be initialized\. Received: an uninitialized or deleted variable\."


@pytest.mark.parametrize("kind", worlds.GRAPH_WORLDS)
def test_an_uninitialized_variable(kind):
    with worlds.enter(kind) as world:
        (ready,) = world.variables([np.zeros(2, FLOAT32)])
        late = tf1.Variable([9.0], name="late", use_resource="resource variables" in kind)
        answer = ops.all_finite([ready, late])
        expected = rf"AllFinite: variable 1 \('late'\) {UNINITIALIZED}"
        with pytest.raises(tf.errors.FailedPreconditionError, match=expected):
            world.session.run(answer)
        world.session.run(late.initializer)
        assert world.session.run(answer)


@pytest.mark.cpu  # The emulated GPU has no XLA.
def test_an_uninitialized_variable_in_a_compiled_function():
    handle = tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[2], shared_name="late")

    @tf.function(jit_compile=True)
    def ask():
        return OPS.resource_all_finite(variables=[handle], T=tf.float32)

    with pytest.raises(tf.errors.FailedPreconditionError, match=rf"variable 0 .*{UNINITIALIZED}"):
        ask()


def test_the_kernel_checks_the_dtype_and_releases_its_locks():
    variables = [tf.Variable([1.0]), tf.Variable([1.0], dtype=tf.float64, name="w")]
    expected = r"ResourceAllFinite: variable 1 \('w/\d+'\) must be float\. Received: double\."
    with pytest.raises(tf.errors.InvalidArgumentError, match=expected):
        OPS.resource_all_finite(variables=[v.handle for v in variables], T=tf.float32)
    for variable in variables:
        variable.assign_add([1.0])  # Would wait for ever.
