"""An eager step that passes by the runtime: it does what the op does, or nothing."""

import threading

import numpy as np
import pytest
import tensorflow as tf
from oracle import FLOAT32, assert_same_bits, normal, split, updated
from tensorflow.python.eager import context, executor

from tf_mavg import ops
from tf_mavg._compat.tensorflow import runs_at_once
from tf_mavg._ops.library import OPS

# On a GPU a step is enqueued by the runtime.
pytestmark = pytest.mark.cpu


@pytest.fixture
def variables(rng):
    """Averages and their variables."""
    return [[tf.Variable(normal(rng, n, FLOAT32)) for n in (0, 1, 64, 5000)] for _ in range(2)]


@pytest.fixture
def prepared(variables):
    """A binding of them that has taken a first step at a decay of 0.5."""
    binding = ops.Binding(*variables)
    binding.apply_moving_average(0.5)
    (step,) = binding._kept
    assert step.prepared is not None
    return binding


@pytest.fixture
def op_calls(monkeypatch):
    """The calls of the op."""
    made = []
    op = OPS.bound_apply_moving_average

    def note(*args: object, **kwargs: object):
        made.append(args)
        return op(*args, **kwargs)

    monkeypatch.setattr(OPS, "bound_apply_moving_average", note)
    return made


@pytest.fixture
def asynchronous():
    """Ops of this thread run some time after their calls."""
    used = executor.new_executor(enable_async=True)
    with context.executor_scope(used):
        yield used
        used.wait()


def test_it_is_the_op(prepared, variables, op_calls):
    averages, weights = variables
    expected = [updated(a.numpy(), w.numpy(), 0.5) for a, w in zip(averages, weights, strict=True)]
    prepared.apply_moving_average(0.5)
    assert not op_calls
    for average, wanted in zip(averages, expected, strict=True):
        assert_same_bits(average.numpy(), wanted)


def test_split_and_several_averages(rng, op_calls):
    weights = [tf.Variable(tf.cast(normal(rng, 300, FLOAT32), tf.bfloat16))]
    sides = [[tf.Variable(weights[0])] for _ in range(2)]
    remainders = [[tf.Variable(tf.zeros(300, tf.int16))] for _ in range(2)]
    binding = ops.Binding(sides, weights, remainders)
    first = weights[0].numpy().astype(FLOAT32)
    weights[0].assign(-weights[0])
    for _ in range(3):
        binding.apply_moving_average((0.9, 0.5))
    assert len(op_calls) == 1  # The first time.
    for (average,), decay in zip(sides, (0.9, 0.5), strict=True):
        wanted = first
        for _ in range(3):
            wanted = updated(wanted, -first, decay)
        assert_same_bits(average.numpy(), split(wanted)[0])


def test_a_reader_keeps_the_value_that_it_has_read(prepared, variables):
    averages, _ = variables
    read = averages[3].read_value()
    before = read.numpy().copy()
    prepared.apply_moving_average(0.5)
    assert_same_bits(read.numpy(), before)
    assert (averages[3].numpy() != before).any()


def test_what_fails_changes_nothing_and_is_said_by_the_op(op_calls):
    averages, weights = (
        [tf.Variable(value), tf.Variable(value, shape=tf.TensorShape(None))]
        for value in ([0.0], [1.0])
    )
    binding = ops.Binding(averages, weights)
    binding.apply_moving_average(0.5)
    op_calls.clear()
    weights[1].assign([1.0, 2.0])
    with pytest.raises(tf.errors.InvalidArgumentError, match="must have the shape of variable 1"):
        binding.apply_moving_average(0.5)
    assert len(op_calls) == 1
    assert averages[0].numpy() == [0.5]


def test_it_waits_for_what_an_asynchronous_step_has_asked_for(prepared, variables, asynchronous):
    averages, weights = variables
    assert not runs_at_once()
    slow = tf.ones([2000, 2000]) / 2000  # Its own square.
    for _ in range(3):
        slow = slow @ slow
    # By ops, since a variable's own assign() waits for the shape.
    values = tf.raw_ops.AddV2(x=[8.0], y=0.0 * slow[0, 0]), [0.0]
    for variable, value in zip((weights[1], averages[1]), values, strict=True):
        tf.raw_ops.AssignVariableOp(resource=variable.handle, value=value)
    prepared.apply_moving_average(0.5)
    asynchronous.wait()
    np.testing.assert_array_equal(averages[1].numpy(), [4.0])


def test_a_function_takes_the_op(prepared, variables, op_calls):
    step = tf.function(lambda: prepared.apply_moving_average(0.5))
    before = variables[0][3].numpy()
    traced = step.get_concrete_function()
    assert len(op_calls) == 1
    assert_same_bits(variables[0][3].numpy(), before)
    traced()
    assert_same_bits(variables[0][3].numpy(), updated(before, variables[1][3].numpy(), 0.5))


def test_another_decay_is_taken(prepared, variables):
    averages, weights = variables
    wanted = averages[3].numpy()
    for decay in (0.5, 0.9, 0.9, 0.5):
        prepared.apply_moving_average(decay)
        wanted = updated(wanted, weights[3].numpy(), decay)
    assert_same_bits(averages[3].numpy(), wanted)


def test_threads_take_turns(prepared, variables):
    averages, weights = variables
    for variable in averages:
        variable.assign(tf.zeros_like(variable))
    for variable in weights:
        variable.assign(tf.ones_like(variable))
    threads = [
        threading.Thread(target=lambda: [prepared.apply_moving_average(0.5) for _ in range(5)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (averages[3].numpy() == 1 - 0.5**20).all()
