"""rounding="stochastic" in the drop-in class and the optimizer: bits, counts, files, replicas."""

import copy
import re

import numpy as np
import pytest
import tensorflow as tf
from graphs import letters
from oracle import BFLOAT16, FLOAT16, FLOAT32, assert_same_bits, normal, updated
from replicated_runs import components

import tf_mavg
from tf_mavg import decays
from tf_mavg_check.reference import HALVES, updated_stochastically

tf1 = tf.compat.v1

SEED = 11
DECAY = 0.99
SIZE = 300
half = pytest.mark.parametrize("dtype", HALVES, ids=str)


def average_of(decay=DECAY, **options: object):
    return tf_mavg.ExponentialMovingAverage(decay, rounding="stochastic", seed=SEED, **options)


def expected_after(start, values, decays_of_steps=None, index=0):
    """The average after steps; a decay of 1 keeps it."""
    average = start
    for n, value in enumerate(values, 1):
        decay = DECAY if decays_of_steps is None else decays_of_steps[n - 1]
        average = updated_stochastically(average, value, decay, (SEED, n, index))
    return average


def values_of(dtype, steps=6, size=SIZE):
    rng = np.random.default_rng(4)
    return [normal(rng, size, dtype) for _ in range(steps + 1)]


def steps_of(ema, variable, way):
    """A function that gives the variable a value and updates its average."""

    def step(value):
        variable.assign(value)
        ema.apply([variable])

    if way == "eager":
        return step, None
    function = tf.function(step, jit_compile=True if way == "XLA" else None)
    return lambda value: function(tf.constant(value)), function


@half
@pytest.mark.parametrize("way", ["eager", "tf.function"])
def test_each_step_draws_by_its_number(dtype, way):
    start, *values = values_of(dtype)
    variable = tf.Variable(start)
    ema = average_of()
    ema.create_averages([variable])
    step, function = steps_of(ema, variable, way)
    for n, value in enumerate(values, 1):
        step(value)
        assert_same_bits(ema.average(variable).numpy(), expected_after(start, values[:n]))
    assert int(ema.holder.steps.first) == len(values)
    if function is not None:
        assert function.experimental_get_tracing_count() == 1


@pytest.mark.cpu  # The emulated GPU has no XLA.
@half
def test_xla_draws_by_the_number_of_the_step(dtype):
    start, *values = values_of(dtype)
    variable = tf.Variable(start)
    ema = average_of(1 - 2.0**-6)  # Of one bit, so that a contracted product is the same.
    ema.create_averages([variable])
    step, _ = steps_of(ema, variable, "XLA")
    for value in values:
        step(value)
    expected = expected_after(start, values, [1 - 2.0**-6] * len(values))
    assert_same_bits(ema.average(variable).numpy(), expected)


@half
@pytest.mark.parametrize("use_resource", [True, False], ids=["resource", "reference"])
def test_a_session_draws_by_the_number_of_the_step(dtype, use_resource, tmp_path):
    start, *values = values_of(dtype)
    path = str(tmp_path / "saved")
    for interrupted in (False, True):
        with tf.Graph().as_default(), tf1.Session() as session:
            value = tf1.placeholder(dtype, [SIZE])
            variable = tf1.Variable(start, use_resource=use_resource)
            ema = average_of()
            with tf.control_dependencies([tf1.assign(variable, value).op]):
                step = ema.apply([variable])
            saver = tf1.train.Saver()
            if interrupted:
                saver.restore(session, path)
            else:
                session.run(tf1.global_variables_initializer())
            for each in values[3:] if interrupted else values[:3]:
                session.run(step, {value: each})
            saver.save(session, path)
            received = session.run(ema.average(variable))
    assert_same_bits(received, expected_after(start, values))


@half
@pytest.mark.parametrize(("start", "every"), [(0, 3), (2, 1), (1, 2)], ids=str)
def test_start_and_every_leave_the_number_of_a_step_as_it_is(dtype, start, every):
    initial, *values = values_of(dtype, steps=8)
    variable = tf.Variable(initial)
    ema = average_of(0.9, start=start, every=every)
    ema.create_averages([variable])
    expected = initial
    for n, value in enumerate(values, 1):
        variable.assign(value)
        ema.apply([variable])
        since = n - start
        if start and since <= 1:
            expected = value
        elif since % every == 0:
            decay = decays.Constant(0.9)
            rate = np.float32(float(decay.product_rate(since, every)) if every > 1 else 0)
            moved = 1 - np.float64(rate) if every > 1 else 0.9
            expected = updated_stochastically(expected, value, moved, (SEED, n, 0))
        assert_same_bits(ema.average(variable).numpy(), expected)


@pytest.mark.parametrize("way", ["eager", "tf.function"])
def test_a_schedule_and_stochastic_rounding_share_the_count(way):
    start, *values = values_of(BFLOAT16)
    variable = tf.Variable(start)
    schedule = decays.InverseGamma(maximum=0.9)
    ema = average_of(schedule)
    ema.create_averages([variable])
    step, _ = steps_of(ema, variable, way)
    nearest = tf_mavg.ExponentialMovingAverage(schedule)
    nearest.create_averages([variable])
    for value in values:
        step(value)
    assert int(ema.holder.steps.first) == len(values)
    received = ema.average(variable).numpy().astype(np.float64)
    exact = start.astype(np.float64)
    for n, value in enumerate(values, 1):
        decay = float(schedule.decay(n))
        exact = exact * decay + value.astype(np.float64) * (1 - decay)
    np.testing.assert_allclose(received, exact, atol=0.06)


@half
def test_several_averages_draw_independently(dtype):
    start, *values = values_of(dtype)
    variable = tf.Variable(start)
    ema = average_of([DECAY] * 5)  # One more than an op takes.
    ema.create_averages([variable])
    step, _ = steps_of(ema, variable, "tf.function")
    for value in values:
        step(value)
    for index in range(5):
        expected = expected_after(start, values, index=index)
        assert_same_bits(ema.average(variable, index).numpy(), expected)
    assert np.mean(ema.average(variable, 0).numpy() != ema.average(variable, 4).numpy()) > 0.2


def test_the_order_and_the_company_of_variables_make_no_difference():
    start, *values = values_of(BFLOAT16)
    received = []
    for others in ([], [FLOAT16, FLOAT32, BFLOAT16]):
        variable = tf.Variable(start)
        listed = [*(tf.Variable(normal(np.random.default_rng(1), 7, d)) for d in others), variable]
        ema = average_of()
        ema.create_averages(listed)
        for value in values:
            variable.assign(value)
            ema.apply(listed)
        received.append(ema.average(variable).numpy())
    assert_same_bits(received[1], received[0])


def test_averages_of_other_dtypes_are_what_they_are_without():
    start, *values = values_of(FLOAT32)
    variables = [tf.Variable(start), tf.Variable(start.astype(BFLOAT16))]
    ema = average_of()
    ema.create_averages(variables)
    expected = start
    for value in values:
        for variable in variables:
            variable.assign(value.astype(variable.dtype.as_numpy_dtype))
        ema.apply(variables)
        expected = updated(expected, value, DECAY)
    assert_same_bits(ema.average(variables[0]).numpy(), expected)
    halves = [value.astype(BFLOAT16) for value in values]
    expected = expected_after(start.astype(BFLOAT16), halves)
    assert_same_bits(ema.average(variables[1]).numpy(), expected)


def test_small_steps_arrive_in_the_mean():
    variable = tf.Variable(np.ones(20_000, BFLOAT16))
    ema, nearest = average_of(0.999), tf_mavg.ExponentialMovingAverage(0.999)
    for each in (ema, nearest):
        each.create_averages([variable])
    variable.assign(np.full(20_000, 2, BFLOAT16))
    for _ in range(1000):
        ema.apply([variable])
        nearest.apply([variable])
    found = ema.average(variable).numpy().astype(np.float64)
    assert abs(found.mean() - 1.63230) < 4 * found.std() / np.sqrt(20_000)
    assert (nearest.average(variable).numpy() == 1).all()


@half
@pytest.mark.parametrize("first", [0, 3])
def test_a_run_that_a_checkpoint_interrupts_has_the_bits_of_one_that_none_does(
    dtype, first, tmp_path
):
    start, *values = values_of(dtype)
    variable = tf.Variable(start)
    ema = average_of()
    ema.create_averages([variable])
    for value in values[:first]:
        variable.assign(value)
        ema.apply([variable])
    path = tf.train.Checkpoint(variable=variable, ema=ema).save(str(tmp_path / "checkpoint"))

    variable, ema = tf.Variable(tf.zeros_like(start)), average_of()
    tf.train.Checkpoint(variable=variable, ema=ema).restore(path)
    for value in values[first:]:
        variable.assign(value)
        ema.apply([variable])
    assert_same_bits(ema.average(variable).numpy(), expected_after(start, values))


def test_a_copy_goes_on_with_the_same_draws():
    start, *values = values_of(BFLOAT16)
    holder = {"variable": tf.Variable(start), "ema": average_of()}
    holder["ema"].create_averages([holder["variable"]])
    for n, value in enumerate(values):
        if n == 3:
            holder = copy.deepcopy(holder)
        holder["variable"].assign(value)
        holder["ema"].apply([holder["variable"]])
    received = holder["ema"].average(holder["variable"]).numpy()
    assert_same_bits(received, expected_after(start, values))


def test_a_step_that_is_skipped_draws_nothing():
    start, *values = values_of(BFLOAT16)
    variable = tf.Variable(start)
    ema = average_of(if_not_finite="skip")
    ema.create_averages([variable])
    step, _ = steps_of(ema, variable, "tf.function")
    for value in [*values[:2], np.full(SIZE, np.nan, BFLOAT16), *values[2:]]:
        step(value)
    assert_same_bits(ema.average(variable).numpy(), expected_after(start, values))


def test_a_swap_keeps_every_bit():
    start, *values = values_of(BFLOAT16)
    variable = tf.Variable(start)
    ema = average_of()
    ema.create_averages([variable])
    for value in values:
        with ema.swapped():
            pass
        variable.assign(value)
        ema.apply([variable])
    with ema.swapped():
        assert_same_bits(variable.numpy(), expected_after(start, values))


def test_replicas_draw_alike(logical_cpus):
    start, *values = values_of(BFLOAT16)
    reduction = tf.distribute.ReductionToOneDevice()
    strategy = tf.distribute.MirroredStrategy(logical_cpus[:2], reduction)
    with strategy.scope():
        variable = tf.Variable(start, aggregation=tf.VariableAggregation.MEAN)
    ema = average_of()
    ema.create_averages([variable])

    @tf.function
    def step():
        strategy.run(lambda: ema.apply([variable]))

    for value in values:
        variable.assign(value)
        step()
    for average in components(ema.average(variable)):
        assert_same_bits(average.numpy(), expected_after(start, values))


@pytest.mark.parametrize("kind", ["reference", "resource"])
def test_the_optimizer_takes_both_arguments(kind):
    with letters(kind, rounding="stochastic", seed=3) as made:
        made.train(2)
        assert made.optimizer.holder.seed == 3
        (count,) = made.optimizer.holder.steps_at_hand()
        assert made.session.run(count) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounding": "up"}, "`rounding` must be one of ('nearest', 'stochastic'). Received: 'up'"),
        (
            {"rounding": "stochastic", "average_dtype": "float32"},
            "Received: average_dtype='float32'; take average_dtype=\"same\".",
        ),
        (
            {"rounding": "stochastic", "num_updates": 3},
            "Received: num_updates=3; for its warm-up, use the decay tf_mavg.decays.WarmUp",
        ),
        (
            {"rounding": "stochastic", "sparse": "lazy"},
            "Received: sparse='lazy'; leave it away, or take the nearest rounding.",
        ),
        ({"seed": 2**63}, "`seed` must fit into an int64. Received: seed=9223372036854775808."),
    ],
    ids=str,
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        tf_mavg.ExponentialMovingAverage(0.9, **options)


def test_a_seed_is_a_whole_number():
    with pytest.raises(TypeError, match="'float' object cannot be interpreted as an integer"):
        tf_mavg.ExponentialMovingAverage(0.9, rounding="stochastic", seed=0.5)
    for seed in (-(2**63), 2**63 - 1, np.int64(5)):
        made = tf_mavg.ExponentialMovingAverage(0.9, rounding="stochastic", seed=seed)
        assert made.holder.seed == seed
