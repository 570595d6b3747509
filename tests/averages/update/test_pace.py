"""Schedules, `start` and `every`: the rate of each step, in every way of running one."""

import copy
import math

import emitted
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from oracle import assert_same_bits
from paces import averages_of

import tf_mavg
from tf_mavg import decays
from tf_mavg._averages.update.pace import Pace

tf1 = tf.compat.v1

SCHEDULES = [
    decays.Constant(0.9),
    decays.WarmUp(0.9),
    decays.InverseGamma(maximum=0.99),
    decays.HalfLife(steps=3),
    decays.PowerFunction(sigma_rel=0.1),
    decays.Uniform(),
]
schedules = pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
paces = pytest.mark.parametrize(("start", "every"), [(0, 1), (3, 1), (0, 4), (3, 2)], ids=str)
STEPS = 12
VALUES = [math.sin(3 * n) for n in range(1, STEPS + 1)]
INITIAL = 5.0


def expected(decay, start, every):
    return averages_of(VALUES, decay, start, every, initial=INITIAL)


def eagerly(average, variable):
    def step(value):
        variable.assign([value])
        average.apply([variable])

    return step


def traced(average, variable, jit_compile=None):
    @tf.function(jit_compile=jit_compile)
    def step(value):
        variable.assign([value])
        average.apply([variable])

    return lambda value: step(tf.constant(value))


RUNNERS = {
    "eager": eagerly,
    "tf.function": traced,
    "XLA": lambda *pair: traced(*pair, jit_compile=True),
}


def followed(average, runner):
    """The average after each step of a runner, and the count of steps if there is one."""
    variable = tf.Variable([INITIAL])
    average.create_averages([variable])
    step = RUNNERS[runner](average, variable)
    received = []
    for value in VALUES:
        step(value)
        received.append(average.average(variable).numpy()[0])
    steps = average.holder.steps.first
    return received, None if steps is None else int(steps)


@pytest.mark.sampled(pairs=True)
@pytest.mark.parametrize(
    "runner", ["eager", "tf.function", pytest.param("XLA", marks=pytest.mark.slow)]
)
@paces
@schedules
def test_each_step_moves_as_the_three_say(schedule, start, every, runner):
    average = tf_mavg.ExponentialMovingAverage(schedule, start=start, every=every)
    received, count = followed(average, runner)
    np.testing.assert_allclose(received, expected(schedule.decay, start, every), rtol=2e-6)
    assert count == STEPS


@pytest.mark.sampled(pairs=True)
@pytest.mark.parametrize(
    "use_resource",
    [False, pytest.param(True, marks=pytest.mark.slow)],
    ids=["reference", "resource"],
)
@paces
@schedules
def test_in_a_session(schedule, start, every, use_resource):
    with tf.Graph().as_default(), tf1.Session() as session:
        variable = tf1.get_variable("v", initializer=[INITIAL], use_resource=use_resource)
        value = tf1.placeholder(tf.float32, [])
        average = tf_mavg.ExponentialMovingAverage(schedule, start=start, every=every)
        with tf.control_dependencies([tf1.assign(variable, [value])]):
            step = average.apply([variable])
        session.run(tf1.global_variables_initializer())
        received = []
        for each in VALUES:
            session.run(step, {value: each})
            received.append(session.run(average.average(variable))[0])
    np.testing.assert_allclose(received, expected(schedule.decay, start, every), rtol=2e-6)


@pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
def test_in_a_session_a_step_is_counted_after_it_is_taken(use_resource):
    with tf.Graph().as_default() as graph:
        variable = tf1.get_variable("v", initializer=[INITIAL], use_resource=use_resource)
        step = tf_mavg.ExponentialMovingAverage(0.5, start=1).apply([variable])
        counts = [op for op in emitted.ancestors([step]) if op.type.startswith("AssignAdd")]
        assert len(counts) == 1
        # A step that fails would else be counted by chance.
        assert set(emitted.updates(graph)) <= emitted.ancestors(counts)


@pytest.mark.parametrize(
    "make", [float, tf.constant, tf.Variable], ids=["number", "tensor", "variable"]
)
@pytest.mark.parametrize("runner", ["eager", "tf.function"])
@paces
def test_plain_decays_start_late_and_move_seldom_too(start, every, make, runner):
    average = tf_mavg.ExponentialMovingAverage(make(0.9), start=start, every=every)
    received, count = followed(average, runner)
    np.testing.assert_allclose(received, expected(lambda _: 0.9, start, every), rtol=2e-6)
    assert count == (STEPS if start > 0 or every > 1 else None)


@pytest.mark.parametrize("make", [float, tf.constant], ids=["number", "tensor"])
def test_plain_decays_that_start_late_keep_their_bits(make):
    plain, late = (tf_mavg.ExponentialMovingAverage(make(0.9999), start=s) for s in (0, 1))
    variable = tf.Variable([0.1, 3.0])
    late.apply([variable])  # Copies, as the step after it does.
    late.apply([variable])
    plain.create_averages([variable])
    for value in VALUES:
        variable.assign([value, 2 * value])
        for average in (plain, late):
            average.apply([variable])
        assert_same_bits(late.average(variable).numpy(), plain.average(variable).numpy())


@given(st.sampled_from(SCHEDULES), st.integers(0, 5), st.integers(1, 5), st.integers(1, 40))
def test_numbers_and_tensors_give_the_same_rate(schedule, start, every, n):
    pace = Pace(schedule, start, every)
    np.testing.assert_allclose(pace.rates(tf.constant(n, tf.int64)), pace.rates(n), rtol=1e-14)


def test_a_schedule_is_traced_once():
    variable = tf.Variable([INITIAL])
    average = tf_mavg.ExponentialMovingAverage(decays.Uniform(), start=2, every=2)

    @tf.function
    def step():
        average.apply([variable])

    for _ in range(5):
        step()
    assert step.experimental_get_tracing_count() == 1


def test_before_the_start_a_swap_changes_nothing_and_a_file_holds_the_weights(tmp_path):
    variable = tf.Variable([INITIAL])
    average = tf_mavg.ExponentialMovingAverage(0.9, start=5)
    for value in VALUES[:4]:
        variable.assign([value])
        average.apply([variable])
    with average.swapped_for_saving():
        assert_same_bits(variable.numpy(), np.float32([VALUES[3]]))
        path = tf.train.Checkpoint(variable=variable).write(str(tmp_path / "c"))
    held = tf.train.load_checkpoint(path).get_tensor("variable/.ATTRIBUTES/VARIABLE_VALUE")
    assert_same_bits(held, np.float32([VALUES[3]]))


def run(average, variable, values):
    for value in values:
        variable.assign([value])
        average.apply([variable])
    return average.average(variable).numpy()


def fresh(start=0, every=1):
    variable = tf.Variable([INITIAL])
    average = tf_mavg.ExponentialMovingAverage(decays.Uniform(), start=start, every=every)
    return average, variable


@pytest.mark.parametrize("at", range(STEPS))
@pytest.mark.parametrize("late", [False, True], ids=["made before", "made after the restore"])
def test_a_run_resumed_at_any_step_has_the_bits_of_one_never_interrupted(at, late, tmp_path):
    options = {"start": 2, "every": 3}
    average, variable = fresh(**options)
    whole = run(average, variable, VALUES)
    average, variable = fresh(**options)
    average.create_averages([variable])
    run(average, variable, VALUES[:at])
    path = tf.train.Checkpoint(v=variable, averages=average).save(str(tmp_path / "c"))
    average, variable = fresh(**options)
    if not late:
        average.create_averages([variable])
    status = tf.train.Checkpoint(v=variable, averages=average).restore(path)
    status.assert_consumed()
    assert_same_bits(run(average, variable, VALUES[at:]), whole)


def test_the_swapping_saver_holds_the_count(tmp_path):
    def build():
        variable = tf1.get_variable("v", initializer=[INITIAL])
        optimizer = tf_mavg.MovingAverageOptimizer(
            tf1.train.GradientDescentOptimizer(0.1), decays.Uniform(), every=2
        )
        step = optimizer.minimize(variable[0] ** 2)
        return variable, optimizer, step, optimizer.swapping_saver()

    results = []
    for parts in ([7], [3, 4]):
        for part, steps in enumerate(parts):
            with tf.Graph().as_default(), tf1.Session() as session:
                variable, optimizer, step, saver = build()
                if part:
                    saver.restore(session, str(tmp_path / "model"))
                else:
                    session.run(tf1.global_variables_initializer())
                for _ in range(steps):
                    session.run(step)
                saver.save(session, str(tmp_path / "model"))
                found = session.run([variable, optimizer.averages.average(variable)])
                names = [one.op.name for one in optimizer.variables()]
        results.append(found)
        assert names[-1] == "ExponentialMovingAverage/steps"
    for one, other in zip(*results, strict=True):
        assert_same_bits(one, other)


def test_a_refused_step_is_not_counted():
    average, variable = fresh()
    run(average, variable, VALUES[:2])
    with average.swapped(), pytest.raises(RuntimeError, match="cannot be updated"):
        average.apply([variable])
    variable.assign([1.0])
    broken = tf.Variable([1.0, 2.0], shape=[None])
    average.create_averages([broken])
    broken.assign([1.0])
    with pytest.raises(tf.errors.InvalidArgumentError, match="must have the shape"):
        average.apply([variable, broken])
    assert average.holder.steps.first.numpy() == 2


@pytest.mark.parametrize("traced", [False, True], ids=["eager", "function"])
def test_two_lists_that_take_turns_are_refused(traced):
    average, first = fresh()
    second, third = tf.Variable([1.0], name="second"), tf.Variable([1.0])

    def step(*variables: tf.Variable):
        def apply():
            average.apply(variables)

        (tf.function(apply) if traced else apply)()

    step(first)
    with pytest.raises(ValueError, match=r"must name the same variables\. Received: 'second"):
        step(second)
    assert average.average(second) is None
    assert average.holder.steps.first.numpy() == 1
    step(first, third)  # A layer more is trained from now on.
    step(first, third)
    assert average.holder.steps.first.numpy() == 3


def test_a_copy_counts_for_itself():
    average, variable = fresh()
    run(average, variable, VALUES[:3])
    copied, its_variable = copy.deepcopy((average, variable))
    run(copied, its_variable, VALUES[3:4])
    assert (average.holder.steps.first.numpy(), copied.holder.steps.first.numpy()) == (3, 4)


def test_a_restore_that_fails_leaves_the_count(tmp_path):
    average, variable = fresh()
    run(average, variable, VALUES[:3])
    tf.train.Checkpoint(v=variable, averages=average).save(str(tmp_path / "ckpt"))
    average, variable = fresh()
    run(average, variable, VALUES[:1])
    checkpoint = tf.train.Checkpoint(v=variable, averages=average)
    manager = tf_mavg.SwappingCheckpointManager(checkpoint, average, str(tmp_path), 3)
    with pytest.raises(ValueError, match="must be one of a SwappingCheckpointManager"):
        manager.restore(str(tmp_path / "ckpt-1"))
    assert average.holder.steps.first.numpy() == 1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"start": -1}, ValueError, r"^`start` must be 0 or more\. Received: start=-1\.$"),
        ({"every": 0}, ValueError, r"^`every` must be 1 or more\. Received: every=0\.$"),
        ({"every": 1.5}, TypeError, "float"),
        (
            {"decay": decays.Uniform(), "num_updates": 3},
            ValueError,
            r"^`num_updates` is for a plain decay: .* Received: num_updates=3; .*WarmUp",
        ),
    ],
    ids=str,
)
def test_what_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        tf_mavg.ExponentialMovingAverage(**{"decay": 0.9, **arguments})


def test_averages_of_tensors_take_a_plain_decay():
    with tf.Graph().as_default():
        average = tf_mavg.ExponentialMovingAverage(decays.Uniform())
        with pytest.raises(ValueError, match=r"^Averages of tensors take one plain decay"):
            average.apply([tf.constant(1.0)])


def test_replicas_count_alike_and_without_a_word(logical_cpus):
    strategy = tf.distribute.MirroredStrategy(logical_cpus[:2])
    average = tf_mavg.ExponentialMovingAverage(decays.Uniform(), start=2, every=2)
    with strategy.scope():
        variable = tf.Variable([INITIAL])

    @tf.function
    def step(value):
        strategy.run(lambda: (variable.assign([value]), average.apply([variable]), None)[-1])

    for value in VALUES:
        step(tf.constant(value))
    (mean,) = {float(one.numpy()[0]) for one in average.average(variable).values}
    np.testing.assert_allclose(mean, expected(decays.Uniform().decay, 2, 2)[-1], rtol=2e-6)
    assert [int(count) for count in average.holder.steps.variables()] == [STEPS] * 2


@pytest.mark.parametrize("dtype", [tf.float64, tf.float32], ids=["float64", "float32"])
def test_a_uniform_average_of_many_steps_keeps_its_digits(dtype):
    count = 20_000
    variable = tf.Variable(tf.zeros([1], dtype))
    average = tf_mavg.ExponentialMovingAverage(decays.Uniform())
    average.create_averages([variable])

    @tf.function
    def run():
        for n in tf.range(1, count + 1):
            variable.assign(tf.cast(n, dtype)[None])
            average.apply([variable])

    run()
    np.testing.assert_allclose(average.average(variable), (count + 1) / 2, rtol=1e-5)
    assert int(average.holder.steps.first) == count


@pytest.mark.parametrize("every", [1, 2])
def test_a_decay_that_is_a_reference_variable_is_read_in_its_place(every):
    with tf.Graph().as_default(), tf1.Session() as session:
        variable = tf1.get_variable("v", initializer=[0.0], use_resource=False)
        decay = tf1.get_variable("d", initializer=1.0, use_resource=False, trainable=False)
        average = tf_mavg.ExponentialMovingAverage(decay, every=every, overwrite_every=1000)
        before = [tf1.assign(decay, 0.5), tf1.assign(variable, [1.0])]
        with tf.control_dependencies(before):
            step = average.apply([variable])
        session.run(tf1.global_variables_initializer())
        for _ in range(every):
            session.run(step)
        expected = 1 - 0.5**every
        np.testing.assert_allclose(session.run(average.average(variable)), [expected], rtol=1e-6)
