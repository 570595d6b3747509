"""Several averages of each variable: as that many objects of one average, to the bit."""

import copy

import numpy as np
import pytest
import tensorflow as tf
from graphs import VARIABLE_KINDS, model
from oracle import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, assert_same_bits

import tf_mavg
from tf_mavg import decays

tf1 = tf.compat.v1

DECAYS = [0.5, 0.9, 0.99, 0.999, 0.9999]  # One more than an op takes.
STEPS = 4
counts = pytest.mark.parametrize("count", [1, 2, 3, 4, 5], ids="K={}".format)
dtypes = pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64, FLOAT16, BFLOAT16], ids=str)


def variables_of(dtype):
    random = np.random.default_rng(5)
    return [tf.Variable(random.standard_normal(shape).astype(dtype)) for shape in ((3,), (2, 5))]


def run(step, variables):
    """Takes steps, each after new values of the variables, the same in each call."""
    random = np.random.default_rng(6)
    for _ in range(STEPS):
        for variable in variables:
            variable.assign(random.standard_normal(variable.shape).astype(variable.dtype.name))
        step()


def averaged(decay, dtype, way, **options: object):
    """The values of all averages after some steps: for each index, those of all variables."""
    variables = variables_of(dtype)
    average = tf_mavg.ExponentialMovingAverage(decay, **options)
    average.create_averages(variables)

    def apply():
        average.apply(variables)

    functions = {"tf.function": None, "XLA": True}
    step = tf.function(apply, jit_compile=functions[way]) if way in functions else apply
    run(step, variables)
    count = len(decay) if isinstance(decay, list) else 1
    return [[average.average(v, index).numpy() for v in variables] for index in range(count)]


@pytest.mark.sampled(pairs=True)
@counts
@dtypes
@pytest.mark.parametrize("way", ["eager", "tf.function"])
@pytest.mark.parametrize("average_dtype", ["same", "float32"])
def test_each_is_the_average_that_it_would_be_alone(count, dtype, way, average_dtype):
    chosen = DECAYS[:count]
    together = averaged(chosen, dtype, way, average_dtype=average_dtype)
    for received, decay in zip(together, chosen, strict=True):
        (expected,) = averaged(decay, dtype, way, average_dtype=average_dtype)
        for one, other in zip(received, expected, strict=True):
            assert_same_bits(one, other)


@pytest.mark.cpu  # The emulated GPU has no XLA.
@pytest.mark.parametrize("count", [2, 5], ids="K={}".format)
def test_xla_is_within_an_ulp_a_step(count):
    chosen = DECAYS[:count]
    together = averaged(chosen, FLOAT32, "XLA")
    for received, decay in zip(together, chosen, strict=True):
        (expected,) = averaged(decay, FLOAT32, "eager")
        for one, other in zip(received, expected, strict=True):
            np.testing.assert_array_max_ulp(one, other, STEPS)


@pytest.mark.parametrize("way", ["eager", "tf.function"])
@pytest.mark.parametrize(("start", "every"), [(0, 1), (2, 1), (0, 3)], ids=str)
def test_schedules_and_numbers_go_together_and_count_once(way, start, every):
    chosen = [0.9, decays.Uniform(), decays.PowerFunction(exponent=6.94)]
    options = {"start": start, "every": every}
    together = averaged(chosen, FLOAT64, way, **options)
    for received, decay in zip(together, chosen, strict=True):
        (expected,) = averaged(decay, FLOAT64, way, **options)
        for one, other in zip(received, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6)
    average = tf_mavg.ExponentialMovingAverage(chosen, **options)
    average.apply([tf.Variable(1.0)])
    assert int(average.holder.steps.first) == 1
    assert len(average.holder.steps.variables()) == 1


def test_num_updates_warms_up_each():
    variable, count = tf.Variable(0.0), tf.Variable(8.0)
    average = tf_mavg.ExponentialMovingAverage([0.25, 0.999], num_updates=count)
    average.create_averages([variable])
    variable.assign(1.0)
    average.apply([variable])
    assert average.average(variable, 0).numpy() == 0.75
    assert average.average(variable, 1).numpy() == 0.5  # 1 - (1 + 8) / (10 + 8)


@pytest.mark.parametrize("kind", VARIABLE_KINDS)
def test_in_a_session(kind):
    chosen = DECAYS[:3]
    with model(kind) as one, one.session.as_default():
        together = tf_mavg.ExponentialMovingAverage(chosen)
        alone = [tf_mavg.ExponentialMovingAverage(decay, name=f"alone_{decay}") for decay in chosen]
        steps = [average.apply(one.variables) for average in (together, *alone)]
        one.initialize()
        for _ in range(STEPS):
            one.train(1)
            one.session.run(steps)
        for index, average in enumerate(alone):
            pairs = [(together.average(v, index), average.average(v)) for v in one.variables]
            for received, expected in one.session.run(pairs):
                assert_same_bits(received, expected)


def three():
    """A variable of 1 whose averages are 10, 20 and 30."""
    variable = tf.Variable([1.0], name="v")
    average = tf_mavg.ExponentialMovingAverage(DECAYS[:3])
    average.create_averages([variable])
    for index in range(3):
        average.average(variable, index).assign([10.0 * (index + 1)])
    return variable, average


def values_of(variable, average):
    every = [variable, *(average.average(variable, index) for index in range(3))]
    return [float(one.numpy()[0]) for one in every]


def test_their_names_tell_them_apart():
    variable, average = three()
    names = [average.average_name(variable, index) for index in range(3)]
    assert names[0] == "v/ExponentialMovingAverage"
    assert names[1:] == [f"{names[0]}_1", f"{names[0]}_2"]
    new = tf.Variable(1.0, name="new")
    assert average.average_name(new, 2) == "new/ExponentialMovingAverage_2"
    assert average.average(new, 2) is None


@pytest.mark.parametrize("index", [0, 1, 2])
def test_one_changes_places_at_a_time(index):
    variable, average = three()
    swapped = [1.0, 10.0, 20.0, 30.0]
    swapped[0], swapped[index + 1] = swapped[index + 1], swapped[0]
    with average.swapped(index=index):
        assert values_of(variable, average) == swapped
        for other in range(3):
            with pytest.raises(RuntimeError, match=r"^swapped\(\) cannot be entered while"):
                average.swapped(index=other).__enter__()
        other = (index + 1) % 3
        with pytest.raises(RuntimeError, match=f"^Averages of index {other} cannot be swapped whi"):
            average.swap(index=other)
        for refused in (
            lambda: average.apply([variable]),
            average.guard,
            average.restart,
            lambda: average.overwrite(index=other),
            lambda: tf.train.Checkpoint(v=variable, a=average).write("unwritten"),
        ):
            with pytest.raises(RuntimeError, match="swap back first"):
                refused()
        assert values_of(variable, average) == swapped
    assert values_of(variable, average) == [1.0, 10.0, 20.0, 30.0]


def test_swap_goes_back_by_itself():
    variable, average = three()
    average.swap(index=2)
    average.swap()
    assert values_of(variable, average) == [1.0, 10.0, 20.0, 30.0]


@pytest.mark.parametrize(
    # The emulated GPU has no XLA.
    "jit_compile",
    [None, pytest.param(True, marks=pytest.mark.cpu)],
    ids=["tf.function", "XLA"],
)
def test_a_traced_step_is_refused_while_any_is_swapped(jit_compile):
    variable, average = three()

    @tf.function(jit_compile=jit_compile)
    def step():
        with tf.control_dependencies(average.guard()):
            variable.assign_add([1.0])
        average.apply([variable])

    step()
    before = values_of(variable, average)
    for index in range(3):
        with (
            pytest.raises(tf.errors.InvalidArgumentError, match="while averages and variables"),
            average.swapped(index=index),
        ):
            step()
    assert values_of(variable, average) == before
    step()
    assert values_of(variable, average) != before


@pytest.mark.parametrize("index", [-1, 3])
def test_an_index_that_is_none_is_refused(index):
    variable, average = three()
    for refused in (
        lambda: average.average(variable, index),
        lambda: average.average_name(variable, index),
        lambda: average.swap(index=index),
        lambda: average.swapped(index=index),
        lambda: average.overwrite(index=index),
        lambda: average.swapped_for_saving(index=index).__enter__(),
    ):
        with pytest.raises(ValueError, match=f"below 3. Received: index={index}"):
            refused()
    assert values_of(variable, average) == [1.0, 10.0, 20.0, 30.0]


def test_restart_and_overwrite():
    variable, average = three()
    average.overwrite(index=1)
    assert values_of(variable, average) == [20.0, 10.0, 20.0, 30.0]
    average.restart()
    assert values_of(variable, average) == [20.0] * 4


@pytest.mark.parametrize("kind", ["reference", "resource"])
def test_a_session_swaps_each(kind):
    with model(kind) as one, one.session.as_default():
        average = tf_mavg.ExponentialMovingAverage(DECAYS[:2])
        apply = average.apply(one.variables)
        contexts = [average.swapped(index=index) for index in range(2)]
        one.initialize()
        for _ in range(STEPS):
            one.train(1)
            one.session.run(apply)
        own = one.session.run(one.variables)
        each = [
            one.session.run([average.average(v, index) for v in one.variables])
            for index in range(2)
        ]
        for index, context in enumerate(contexts):
            with context:
                for received, expected in zip(
                    one.session.run(one.variables), each[index], strict=True
                ):
                    assert_same_bits(received, expected)
                with pytest.raises(tf.errors.InvalidArgumentError, match="cannot be updated while"):
                    one.session.run(apply)
            for received, expected in zip(one.session.run(one.variables), own, strict=True):
                assert_same_bits(received, expected)


def test_a_copy_has_all_of_them():
    variable, average = three()
    average.swap(index=1)
    other, copied = copy.deepcopy((variable, average))
    average.swap()
    assert values_of(other, copied) == [20.0, 10.0, 1.0, 30.0]
    assert copied.is_swapped
    copied.swap()
    assert values_of(other, copied) == [1.0, 10.0, 20.0, 30.0]


def test_a_function_that_makes_variables_starts_all():
    average = tf_mavg.ExponentialMovingAverage([0.5, 0.75])
    made = []

    @tf.function
    def step():
        if not made:
            made.append(tf.Variable([4.0]))
        made[0].assign_add([4.0])
        average.apply(made)

    step()
    # Each starts at 4, the initial value.
    assert [average.average(made[0], index).numpy()[0] for index in (0, 1)] == [6.0, 5.0]
    step()
    assert [average.average(made[0], index).numpy()[0] for index in (0, 1)] == [9.0, 6.75]


@pytest.mark.parametrize("placement", ["replicated", "sharded"])
def test_replicas_have_all_of_them(placement, logical_cpus):
    sums = tf.distribute.ReductionToOneDevice()
    strategy = tf.distribute.MirroredStrategy(logical_cpus[:2], cross_device_ops=sums)
    average = tf_mavg.ExponentialMovingAverage([0.5, 0.75], placement=placement)
    with strategy.scope():
        variables = [tf.Variable([0.0] * size) for size in (3, 2, 1)]
    average.create_averages(variables)
    for variable in variables:
        variable.assign(tf.ones_like(variable))

    @tf.function
    def step():
        strategy.run(lambda: average.apply(variables))

    step()
    for variable in variables:
        for index, expected in enumerate((0.5, 0.25)):
            assert_same_bits(
                average.average(variable, index).numpy(),
                np.full(variable.shape, expected, np.float32),
            )
    with average.swapped(index=1):
        for variable in variables:
            for one in strategy.experimental_local_results(variable):
                np.testing.assert_array_equal(one.numpy(), np.full(variable.shape, 0.25))
    for variable in variables:
        for one in strategy.experimental_local_results(variable):
            np.testing.assert_array_equal(one.numpy(), np.ones(variable.shape))


@pytest.mark.parametrize(
    ("decay", "message"),
    [
        ([], r"^`decay` must name at least one decay. Received: an empty list."),
        ([0.9, 1.5], r"^`decay` must be in \[0, 1\]. Received: decay=1.5."),
    ],
)
def test_what_is_refused(decay, message):
    with pytest.raises(ValueError, match=message):
        tf_mavg.ExponentialMovingAverage(decay)


def test_tensors_have_one_average():
    with tf.Graph().as_default():
        average = tf_mavg.ExponentialMovingAverage([0.5, 0.75])
        with pytest.raises(ValueError, match=r"^Averages of tensors take one plain decay"):
            average.apply([tf.constant(1.0)])
