"""What is swapped is known: to Python, to functions traced before, and when Ctrl-C comes."""

import signal
import threading

import numpy as np
import pytest
import tensorflow as tf

import tf_mavg
from tf_mavg._averages.swap import uninterrupted
from tf_mavg._averages.weights import WeightAverages

jit = pytest.mark.parametrize("jit_compile", [False, True], ids=["plain", "jit_compile"])


def averages_of(weight, average):
    """An ExponentialMovingAverage at given values."""
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    averages.create_averages([weight])
    averages.average(weight).assign(average)
    return averages


class InterruptedAverages(tf_mavg.ExponentialMovingAverage):
    """Averages that Ctrl-C hits each time that values have been exchanged."""

    def _exchange(self):
        operation = super()._exchange()
        signal.raise_signal(signal.SIGINT)
        return operation


class InterruptedWeightAverages(WeightAverages):
    """The same of those that the Keras optimizers keep."""

    def _exchange(self):
        super()._exchange()
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_within_a_swap_leaves_averages_and_variables_in_their_places():
    variable = tf.Variable([1.0])
    averages = InterruptedAverages(0.5)
    averages.create_averages([variable])
    averages.average(variable).assign([2.0])
    with pytest.raises(KeyboardInterrupt), averages.swapped():
        pytest.fail("the body ran")
    assert not averages.is_swapped
    assert (variable.numpy(), averages.average(variable).numpy()) == (1.0, 2.0)
    with pytest.raises(KeyboardInterrupt):
        averages.swap()
    assert averages.is_swapped
    assert (variable.numpy(), averages.average(variable).numpy()) == (2.0, 1.0)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_interrupt_leaves_rounded_averages_in_their_places_too(dtype):
    weight, average = tf.Variable([1.0], dtype=dtype), tf.Variable([2.0])
    averages = InterruptedWeightAverages([average], [weight])
    with pytest.raises(KeyboardInterrupt), averages.swapped():
        pytest.fail("the body ran")
    assert not averages.is_swapped
    assert (weight.numpy(), average.numpy()) == (1.0, 2.0)


def test_a_swap_that_fails_is_none():
    weights = [tf.Variable([1.0], dtype=tf.float16), tf.Variable(np.ones(2), dtype=tf.float16)]
    # The second one's average does not fit, which shows when the first has its place already.
    averages = WeightAverages([tf.Variable([2.0]), tf.Variable(np.zeros(3, np.float32))], weights)
    with pytest.raises(ValueError, match="shape"), averages.swapped():
        pytest.fail("the body ran")
    assert not averages.is_swapped
    assert weights[0].numpy() == [1.0]


def test_an_interrupt_comes_after_what_it_must_not_interrupt():
    done = []
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        signal.raise_signal(signal.SIGINT)
        done.append(1)
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_swap_works_in_a_thread():
    variable = tf.Variable([1.0])
    averages, seen = averages_of(variable, [2.0]), []

    def evaluate():
        with averages.swapped():
            seen.append(variable.numpy()[0])

    thread = threading.Thread(target=evaluate)
    thread.start()
    thread.join()
    assert (seen, variable.numpy()) == ([2.0], [1.0])


def traced_step(*, jit_compile):
    """A variable that holds 1, its averages, and a step of theirs that was traced and run."""
    variable = tf.Variable([1.0])
    averages = averages_of(variable, [2.0])

    @tf.function(jit_compile=jit_compile)
    def step():
        averages.apply([variable])

    step()
    return variable, averages, step


@jit
def test_a_function_that_was_traced_before_a_swap_refuses_to_update(jit_compile):
    variable, averages, step = traced_step(jit_compile=jit_compile)
    for _ in range(2):
        with averages.swapped(), pytest.raises(tf.errors.InvalidArgumentError, match="averages"):
            step()
        before = averages.average(variable).numpy()
        step()
        assert averages.average(variable).numpy() == (before + 1) / 2
    assert step.experimental_get_tracing_count() == 1


@jit
def test_who_leaves_the_context_by_that_error_reads_a_clear_sentence(jit_compile):
    variable, averages, step = traced_step(jit_compile=jit_compile)
    expected = "while averages and variables are swapped; swap back first"
    with pytest.raises(tf.errors.InvalidArgumentError, match=expected), averages.swapped():
        step()
    assert variable.numpy() == [1.0]


def test_another_error_leaves_the_context_as_it_is():
    averages = averages_of(tf.Variable([1.0]), [2.0])
    error = tf.errors.InvalidArgumentError(None, None, "of another kind")
    with pytest.raises(tf.errors.InvalidArgumentError) as raised, averages.swapped():
        raise error
    assert raised.value is error


def test_a_function_that_is_traced_while_swapped_refuses():
    variable = tf.Variable([1.0])
    averages = averages_of(variable, [2.0])
    with averages.swapped(), pytest.raises(RuntimeError, match="Averages cannot be updated while"):
        tf.function(lambda: averages.apply([variable]))()


def test_a_module_with_such_a_function_can_be_exported(tmp_path):
    module = tf.Module()
    module.variable = tf.Variable([1.0])
    module.averages = averages_of(module.variable, [2.0])

    @tf.function
    def step():
        module.averages.apply([module.variable])

    step()
    module.step = step
    tf.saved_model.save(module, str(tmp_path))
    assert tf.saved_model.load(str(tmp_path)).variable.numpy() == [1.0]
