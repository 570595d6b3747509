"""What is swapped is known: to Python, to functions traced before, and when Ctrl-C comes."""

import signal
import sys
import threading

import numpy as np
import pytest
import tensorflow as tf

import tf_mavg
from tf_mavg._averages.entry import Entry
from tf_mavg._averages.swap.signals import uninterrupted

interrupted = pytest.mark.usefixtures("interrupts")
jit = pytest.mark.parametrize("jit_compile", [False, True], ids=["plain", "jit_compile"])


def averages_of(weight, average, average_dtype="same"):
    """An ExponentialMovingAverage at given values."""
    averages = tf_mavg.ExponentialMovingAverage(0.5, average_dtype=average_dtype)
    averages.create_averages([weight])
    averages.average(weight).assign(average)
    return averages


def interrupt_exchanges_of(averages):
    """Has Ctrl-C hit each time that these averages have been exchanged."""
    (exchange,) = averages.holder.swaps._exchanges

    def exchange_and_interrupt():
        operation = exchange()
        signal.raise_signal(signal.SIGINT)
        return operation

    averages.holder.swaps._exchanges = [exchange_and_interrupt]


@interrupted
def test_an_interrupt_within_a_swap_leaves_averages_and_variables_in_their_places():
    variable = tf.Variable([1.0])
    averages = averages_of(variable, [2.0])
    interrupt_exchanges_of(averages)
    with pytest.raises(KeyboardInterrupt), averages.swapped():
        pytest.fail("the body ran")
    assert not averages.is_swapped
    assert (variable.numpy(), averages.average(variable).numpy()) == (1.0, 2.0)
    with pytest.raises(KeyboardInterrupt):
        averages.swap()
    assert averages.is_swapped
    assert (variable.numpy(), averages.average(variable).numpy()) == (2.0, 1.0)


@interrupted
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_interrupt_leaves_rounded_averages_in_their_places_too(dtype):
    weight = tf.Variable([1.0], dtype=dtype)
    averages = averages_of(weight, [2.0], average_dtype="float32")
    interrupt_exchanges_of(averages)
    with pytest.raises(KeyboardInterrupt), averages.swapped():
        pytest.fail("the body ran")
    assert not averages.is_swapped
    assert (weight.numpy(), averages.average(weight).numpy()) == (1.0, 2.0)


def test_a_swap_that_fails_is_none_and_holds_nothing():
    kinds = ((1, tf.float16), (2, tf.float16), (1, tf.float32))
    weights = [tf.Variable(tf.ones(size, dtype)) for size, dtype in kinds]
    averages = tf_mavg.ExponentialMovingAverage(0.5, average_dtype="float32")
    averages.create_averages(weights[::2])
    averages.average(weights[0]).assign([2.0])
    averages.average(weights[2]).assign([2.0])
    # The last one's average does not fit, which shows when the others have their places already.
    unfit = tf.Variable(np.zeros(3, np.float32))
    averages.holder._add([Entry(weights[1], unfit, [(unfit, weights[1])], "second")])
    with pytest.raises(ValueError, match="shape"), averages.swapped():
        pytest.fail("the body ran")
    assert not averages.is_swapped
    assert [weight.numpy()[0] for weight in weights] == [1.0, 1.0, 1.0]
    (exchange,) = averages.holder.swaps._exchanges
    assert exchange._held._held == []  # Tensors as large as the weights would stay in memory.


@pytest.fixture
def terminated():
    """SIGTERM raises SystemExit, as programs under a job scheduler have it."""

    def stop(number, frame):
        del frame
        sys.exit(number)

    before = signal.signal(signal.SIGTERM, stop)
    yield stop
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("terminated")
@pytest.mark.parametrize("when", ["there", "back"])
def test_a_handler_that_raises_within_a_swap_leaves_all_in_place(when):
    variable = tf.Variable([1.0])
    averages = averages_of(variable, [2.0])
    (exchange,) = averages.holder.swaps._exchanges
    calls = []

    def exchange_and_terminate():
        exchange()
        calls.append(1)
        if len(calls) == ("there", "back").index(when) + 1:
            signal.raise_signal(signal.SIGTERM)

    averages.holder.swaps._exchanges = [exchange_and_terminate]
    with pytest.raises(SystemExit, match="15"), averages.swapped():
        pass
    assert not averages.is_swapped
    assert variable.numpy()[0] == 1.0
    assert averages.average(variable).numpy()[0] == 2.0


@interrupted
@pytest.mark.usefixtures("terminated")
def test_each_signal_that_came_is_handled_in_the_end():
    done = []
    signal.signal(signal.SIGTERM, lambda *_: done.append("term"))
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        done.append("body")
    assert done == ["body", "term"]


def test_one_that_was_made_in_a_graph_is_entered_outside_of_it():
    with tf.Graph().as_default():
        variable = tf.compat.v1.get_variable("variable", initializer=[1.0])
        averages = averages_of(variable, [2.0])
        session = tf.compat.v1.Session()
        session.run(tf.compat.v1.global_variables_initializer())
        session.run(averages.average(variable).assign([2.0]))
        swapped = averages.swapped(session)
    with session, swapped:
        assert averages.is_swapped
        assert session.run(variable) == [2.0]
    assert not averages.is_swapped


@interrupted
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


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_guard_that_was_traced_before_the_first_averages_refuses_too(jit_compile):
    variable, averages = tf.Variable(1.0), tf_mavg.ExponentialMovingAverage(0.5)

    @tf.function(jit_compile=jit_compile)
    def step():
        with tf.control_dependencies(averages.guard()):
            variable.assign_add(10.0)
        averages.apply([variable])

    step()
    average = averages.average(variable)
    before = variable.numpy(), average.numpy()
    with pytest.raises(tf.errors.InvalidArgumentError), averages.swapped():
        step()
    assert (variable.numpy(), average.numpy()) == before


def test_no_average_is_made_while_swapped():
    variable, new = tf.Variable(1.0), tf.Variable(5.0)
    averages = averages_of(variable, 2.0)
    plain = tf_mavg.MovingAverageOptimizer(tf.compat.v1.train.GradientDescentOptimizer(0.1), 0.5)
    plain.apply_gradients([(tf.constant(0.0), variable)])
    with averages.swapped(), pytest.raises(RuntimeError, match="Averages cannot be made while"):
        averages.create_averages([new])
    with averages.swapped(), pytest.raises(RuntimeError, match="Averages cannot be updated while"):
        tf.function(lambda: [averages.apply([new]), None][1])()
    with plain.averages.swapped(), pytest.raises(RuntimeError, match="cannot be trained while"):
        plain.apply_gradients([(tf.constant(1.0), new)])
    assert averages.average(new) is plain.averages.average(new) is None


@pytest.mark.parametrize("element", [tf.Variable(1), tf.constant(1.0)], ids=["int32", "tensor"])
def test_no_average_is_made_of_what_cannot_be_averaged(element):
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    with pytest.raises(TypeError):
        averages.create_averages([element])
    assert averages.holder.count == 0


def test_of_several_threads_one_is_within_and_sees_the_average():
    variable = tf.Variable([1.0])
    averages, seen, refused = averages_of(variable, [2.0]), [], []

    def evaluate_once(_):
        try:
            with averages.swapped():
                seen.append(float(variable.numpy()[0]))
        except RuntimeError:
            refused.append(1)

    def evaluate():
        list(map(evaluate_once, range(100)))

    threads = [threading.Thread(target=evaluate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) + len(refused) == 400
    assert set(seen) == {2.0}
    assert (variable.numpy(), averages.average(variable).numpy()) == (1.0, 2.0)


def test_after_the_swap_back_no_value_is_held():
    weight = tf.Variable([1.0], dtype="bfloat16")
    averages = averages_of(weight, [2.0], average_dtype="float32")
    (exchange,) = averages.holder.swaps._exchanges
    with averages.swapped():
        assert len(exchange._held._held) == 1
    assert exchange._held._held == []  # A tensor as large as the weight would stay in memory.
