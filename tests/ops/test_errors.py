"""Bad input to the ops: one sentence that names what, which, expected and received; no effect."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import worlds

from tf_mavg import ops
from tf_mavg._ops.library import OPS


def assert_unchanged(variables: list[tf.Variable], values: list[list[float]]) -> None:
    assert [variable.numpy().tolist() for variable in variables] == values


def pair(*shapes: list[int], names: tuple[str, str] = ("a", "v")) -> list[tf.Variable]:
    return [tf.Variable(tf.zeros(s), name=n) for s, n in zip(shapes, names, strict=True)]


BOTH = pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda first, second: ops.apply_moving_average(first, second, 0.9), "averages variables"),
        (ops.swap_variables, "first second"),
    ],
    ids=["update", "swap"],
)


@BOTH
@pytest.mark.parametrize("counts", [(0, 0), (1, 0), (2, 3)], ids=str)
def test_lists_of_unequal_length_or_empty(call, names, counts):
    first, second = names.split()
    lists = [[tf.Variable(0.0) for _ in range(count)] for count in counts]
    expected = (
        f"`{first}` and `{second}` must have one length, at least 1. "
        f"Received: {counts[0]} {first} and {counts[1]} {second}."
    )
    with pytest.raises(ValueError, match=re.escape(expected)):
        call(*lists)


@BOTH
def test_unequal_shapes(call, names):
    first, second = names.split()
    good, bad = pair([2], [2]), pair([2, 3], [3, 2], names=("kernel_average", "kernel"))
    expected = (
        f"{first}[1] and {second}[1] must have one shape. Received: 'kernel_average:0' with "
        "(2, 3) and 'kernel:0' with (3, 2)."
    )
    with pytest.raises(ValueError, match=re.escape(expected)):
        call([good[0], bad[0]], [good[1], bad[1]])


@BOTH
def test_a_variable_that_occurs_twice(call, names):
    first, second = names.split()
    a, v = pair([2], [2])
    for lists, places in (
        (([a, a], [v, tf.Variable([0.0, 0.0])]), f"{first}[0] and {first}[1]"),
        (([a], [a]), f"{first}[0] and {second}[0]"),
    ):
        expected = f"All variables must be distinct. Received: 'a:0' as {places}."
        with pytest.raises(ValueError, match=re.escape(expected)):
            call(*lists)


@BOTH
def test_what_is_no_floating_point_variable(call, names):
    first, second = names.split()
    with pytest.raises(TypeError, match=rf"{first}\[0\] must be a tf.Variable. Received: 1.5"):
        call([1.5], [tf.Variable(1.0)])
    counter = tf.Variable(3, name="counter")
    expected = (
        f"{second}[0] must be bfloat16, float16, float32 or float64. "
        "Received: 'counter:0' of int32."
    )
    with pytest.raises(TypeError, match=re.escape(expected)):
        call([tf.Variable(0.0)], [counter])


def test_dtypes_that_do_not_fit():
    average = tf.Variable(np.zeros(2, np.float16), name="average")
    variable = tf.Variable(np.zeros(2, np.float32), name="kernel")
    expected = "Received: 'average:0' of float16 for 'kernel:0' of float32."
    with pytest.raises(TypeError, match=re.escape(expected)):
        ops.apply_moving_average([average], [variable], 0.9)
    expected = (
        "The variables at position 0 must have one dtype to change places. "
        "Received: 'average:0' of float16 and 'kernel:0' of float32."
    )
    with pytest.raises(TypeError, match=re.escape(expected)):
        ops.swap_variables([average], [variable])


@pytest.mark.parametrize("decay", [-0.1, 1.5, float("nan"), np.float32(2), float("inf"), 2])
def test_a_decay_that_the_host_knows_to_be_wrong(decay):
    a, v = pair([2], [2])
    expected = f"`decay` must be in [0, 1]. Received: decay={decay}."
    with pytest.raises(ValueError, match=re.escape(expected)):
        ops.apply_moving_average([a], [v], decay)


@pytest.mark.cpu  # On a GPU the decay stays where the host does not see it.
@pytest.mark.parametrize("decay", [-0.1, 1.5, float("nan")])
def test_a_decay_that_only_the_kernel_sees(world, decay):
    a, v = world.variables([np.zeros(2, np.float32), np.ones(2, np.float32)])
    expected = "ApplyMovingAverage: decay must be in [0, 1]. Received: "
    with pytest.raises(tf.errors.InvalidArgumentError, match=re.escape(expected)):
        world.run(lambda: ops.apply_moving_average([a], [v], tf.constant(decay)))
    assert (world.read([a])[0] == 0).all()


def test_a_decay_that_is_no_scalar(world):
    a, v = world.variables([np.zeros(2, np.float32), np.ones(2, np.float32)])
    expected = r"decay must be a scalar\. Received: shape \[2\]\.|must be rank 0 but is rank 1"
    with pytest.raises((tf.errors.InvalidArgumentError, ValueError), match=expected):
        world.run(lambda: ops.apply_moving_average([a], [v], tf.constant([0.5, 0.5])))
    assert (world.read([a])[0] == 0).all()


@pytest.mark.parametrize("kind", worlds.GRAPH_WORLDS)
@BOTH
def test_an_uninitialized_variable(kind, call, names):
    del names
    with worlds.enter(kind) as world:
        ready = world.variables([np.zeros(2, np.float32), np.ones(2, np.float32)], "ready")
        late = tf.compat.v1.Variable(
            [9.0, 9.0], name="late", use_resource="resource variables" in kind
        )
        partner = world.variables([np.zeros(2, np.float32)], "partner")[0]
        operation = call([ready[0], partner], [ready[1], late])
        expected = (
            r"(ApplyMovingAverage|BindNamedVariables|SwapVariables): (second )?variable 1 "
            r"\('late'\) must be initialized\. Received: an uninitialized or deleted variable\."
        )
        with pytest.raises(tf.errors.FailedPreconditionError, match=expected):
            world.session.run(operation)
        assert (world.read(ready[:1])[0] == 0).all()


def raw_update(averages: list[tf.Variable], variables: list[tf.Variable]) -> None:
    OPS.resource_apply_moving_average(
        averages=[a.handle for a in averages],
        variables=[v.handle for v in variables],
        rates=[0.5],
        T=tf.float32,
        Tavg=tf.float32,
    )


def raw_swap(first: list[tf.Variable], second: list[tf.Variable]) -> None:
    OPS.resource_swap_variables(
        first=[v.handle for v in first], second=[v.handle for v in second], T=tf.float32
    )


# What Python catches first, asked of the kernels directly: the last position is bad, and the good
# ones before it must stay as they were.
@pytest.mark.parametrize("call", [raw_update, raw_swap], ids=["update", "swap"])
@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (
            lambda a: (a, tf.Variable([1.0, 2.0], name="w")),
            r"'average_2/\d+'\) must have the shape of .*2 \('w/\d+'\), \[2\]\. Received: \[3\]\.",
        ),
        (
            lambda a: (a, tf.Variable(np.zeros(3), name="w")),
            r"variable 2 \('w/\d+'\) must be float\. Received: double\.",
        ),
        (
            lambda a: (a, a),
            r"must be distinct\. Received: the same variable as .*2 \('average_2/\d+'\) and as .*2",
        ),
    ],
    ids=["shape", "dtype", "twice"],
)
def test_the_kernel_checks_all_variables_before_it_writes(
    call: Callable[..., None], spoil: Callable[..., Any], expected: str
):
    averages = [tf.Variable(tf.zeros(3), name=f"average_{i}") for i in range(3)]
    variables = [tf.Variable(tf.ones(3), name=f"variable_{i}") for i in range(3)]
    good_averages, good_variables = list(averages[:2]), list(variables[:2])
    averages[2], variables[2] = spoil(averages[2])
    with pytest.raises(tf.errors.InvalidArgumentError, match=expected):
        call(averages, variables)
    assert_unchanged(good_averages, [[0.0] * 3] * 2)
    assert_unchanged(good_variables, [[1.0] * 3] * 2)


def test_an_average_on_another_device():
    with tf.Graph().as_default():
        with tf.device("/cpu:0"):
            average = tf.compat.v1.Variable(0.0, name="average")
        with tf.device("/cpu:1"):
            variable = tf.compat.v1.Variable(0.0, name="kernel")
        expected = (
            "averages[0] and variables[0] must be on one device. Received: 'average:0' with "
            "/device:CPU:0 and 'kernel:0' with /device:CPU:1."
        )
        with pytest.raises(ValueError, match=re.escape(expected)):
            ops.apply_moving_average([average], [variable], 0.9)


def test_a_resource_and_a_reference_do_not_fit():
    with tf.Graph().as_default():
        average = tf.compat.v1.Variable(0.0, name="average", use_resource=True)
        variable = tf.compat.v1.Variable(0.0, name="kernel", use_resource=False)
        with pytest.raises(ValueError, match="must be of one kind"):
            ops.swap_variables([average], [variable])


def test_a_distributed_variable_is_refused():
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    with strategy.scope():
        variable = tf.Variable(1.0, name="mirrored")
    with pytest.raises(TypeError, match=r"must be a variable of one device\. Received: 'mirrored"):
        ops.apply_moving_average([tf.Variable(0.0)], [variable], 0.9)


def test_a_graph_whose_shapes_do_not_fit_is_refused_when_it_is_made():
    with tf.Graph().as_default():
        a, b = (
            tf.compat.v1.Variable(np.zeros(shape), use_resource=True) for shape in ([3], [3, 1])
        )
        expected = r"variables at position 0 must have equal shapes\. Received: \[3\] and \[3,1\]\."
        with pytest.raises(ValueError, match=expected):
            OPS.resource_swap_variables(first=[a.handle], second=[b.handle], T=tf.float64)
