"""Schedules of decays: the values of their sources, and what holds for all of them.

Values without a word on their origin were computed in float64 from the formula of the source that
the test names.
"""

import copy
import pickle
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import given
from hypothesis import strategies as st

import tf_mavg.keras
import tf_mavg.tf_keras  # noqa: F401 - it has its Keras know schedules.
from tf_mavg.decays import (
    Constant,
    Decay,
    HalfLife,
    InverseGamma,
    PowerFunction,
    Uniform,
    WarmUp,
    exponent_of,
    sigma_rel_of,
)

SCHEDULES = [
    Constant(0.0),
    Constant(0.9999),
    Constant(1.0),
    WarmUp(0.999),
    InverseGamma(),
    InverseGamma(gamma=3.0, power=1.0, minimum=0.25, maximum=1.0),
    HalfLife(steps=1000),
    HalfLife(fraction=0.05),
    HalfLife(steps=500, fraction=0.09),
    PowerFunction(sigma_rel=0.05),
    PowerFunction(exponent=0.0),
    Uniform(),
    Constant(0.9999).for_batch(8),
    PowerFunction(sigma_rel=0.1).for_batch(0.5),
]
schedules = pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
any_schedule = st.one_of(
    st.sampled_from(SCHEDULES),
    st.builds(Constant, st.floats(0, 1)),
    st.builds(WarmUp, st.floats(0, 1)),
    st.builds(
        InverseGamma, st.floats(0.01, 1e6), st.floats(0.01, 3), st.just(0.0), st.floats(0, 1)
    ),
    st.builds(HalfLife, steps=st.floats(0.01, 1e9)),
    st.builds(HalfLife, steps=st.floats(0.01, 1e9), fraction=st.floats(0.001, 10)),
    st.builds(PowerFunction, exponent=st.floats(0, 1000)),
)
counts = st.integers(1, 10**9)


def assert_close(received, expected, rtol=1e-12):
    np.testing.assert_allclose(received, expected, rtol=rtol, atol=0)


def averaged(schedule, values, dtype=np.float64):
    """The average after an update for each value, all of it in one dtype."""
    average = dtype(0)
    for rate, value in zip(schedule.rate(np.arange(1, len(values) + 1)), values, strict=True):
        average -= (average - dtype(value)) * dtype(rate)
    return average


# Values of the sources.

SIGMAS = [
    (0.01, 96.99489782370986),
    (0.05, 16.972198602303447),
    (0.075, 10.289116448983853),
    (0.10, 6.937203937601809),
    (0.13, 4.603596781479866),
    (0.15, 3.5578687748994646),
    (0.20, 1.8262137798958404),
    (0.25, 0.71982395800071),
    (0.28, 0.16934399376949866),
]


@pytest.mark.parametrize(("sigma_rel", "exponent"), SIGMAS)
def test_exponents_of_edm2(sigma_rel, exponent):
    """Karras et al., arXiv 2312.02696, equations 123 and 126."""
    assert_close(exponent_of(sigma_rel), exponent)
    assert_close(sigma_rel_of(exponent), sigma_rel)
    for schedule in (PowerFunction(sigma_rel=sigma_rel), PowerFunction(exponent=exponent)):
        assert_close(schedule.exponent, exponent)
        assert_close(schedule.sigma_rel, sigma_rel)


@pytest.mark.parametrize(
    ("exponent", "sigma_rel"),
    [
        (0, 0.28867513459481287),
        (1, 0.23570226039551584),
        (2, 0.19364916731037085),
        (100, 0.009708271266078407),
    ],
)
def test_widths_of_edm2(exponent, sigma_rel):
    """Karras et al., arXiv 2312.02696, equation 123."""
    assert_close(sigma_rel_of(exponent), sigma_rel)
    np.testing.assert_allclose(exponent_of(sigma_rel), exponent, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("sigma_rel", "n", "decay"),
    [
        (0.05, 1, 0),
        (0.05, 2, 3.888921105204215e-06),
        (0.05, 10, 0.15053493247717484),
        (0.05, 100, 0.8347469683432545),
        (0.05, 1000, 0.9821795062966565),
        (0.10, 1, 0),
        (0.10, 2, 0.004080031659650188),
        (0.10, 10, 0.4333247206821348),
        (0.10, 100, 0.9233272422695235),
        (0.10, 1000, 0.9920902726450789),
        (0.15, 1000, 0.9954502324640957),
        (0.25, 1000, 0.9982807950850703),
    ],
)
def test_decays_of_edm2(sigma_rel, n, decay):
    """Karras et al., arXiv 2312.02696, equation 127."""
    schedule = PowerFunction(sigma_rel=sigma_rel)
    assert_close(schedule.decay(n), decay)
    assert_close(schedule.rate(n), 1 - decay)


def test_one_update_for_ten_of_edm2():
    schedule = PowerFunction(exponent=exponent_of(0.10))
    assert_close(1 - schedule.product_rate(1000, 10), 0.9233272422695)


@pytest.mark.parametrize(
    ("sigma_rel", "mean", "width"), [(0.05, 0.94779, 0.0499993), (0.10, 0.88861, 0.0999997)]
)
def test_a_power_function_average_has_its_width(sigma_rel, mean, width):
    steps = np.arange(1, 1001)
    rates = PowerFunction(sigma_rel=sigma_rel).rate(steps)
    kept = np.append(np.cumprod((1 - rates)[::-1])[-2::-1], 1.0)
    weights = rates * kept
    assert_close(weights.sum(), 1)
    assert_close((weights * steps).sum() / 1000, mean, 1e-5)
    assert_close(np.sqrt((weights * (steps / 1000 - mean) ** 2).sum()), width, 1e-5)


@pytest.mark.parametrize(
    ("n", "decay"),
    [
        (1, 9.5367431640625e-07),
        (10, 0.25),
        (20, 0.5),
        (100, 0.8705505632961241),
        (1000, 0.9862327044933592),
        (10000, 0.9986146661010289),
    ],
)
def test_half_lives_that_are_a_part_of_the_run(n, decay):
    """2^(-20 / n), the default of torchtitan."""
    assert_close(HalfLife(fraction=0.05).decay(n), decay)


@pytest.mark.parametrize(
    ("images", "batch", "half_life", "ratio", "decay"),
    [
        (1e6, 2048, None, 0.09, 0.9843507923436303),
        (1e6, 2048, 0.5e6, 0.05, 0.972007937390204),
        (2e7, 512, 0.5e6, 0.05, 0.9992904691232699),
        (1e7, 2048, 0.5e6, 0.05, 0.9971648956689151),
    ],
)
def test_half_lives_of_edm(images, batch, half_life, ratio, decay):
    """0.5^(batch / min(half-life, images * ratio)), Karras et al., arXiv 2206.00364."""
    schedule = HalfLife(steps=half_life and half_life / batch, fraction=ratio)
    assert_close(schedule.decay(images / batch), decay)


@pytest.mark.parametrize(
    ("steps", "decay"),
    [
        (10, 0.9330329915368074),
        (100, 0.9930924954370359),
        (1000, 0.9993070929904525),
        (10000, 0.9999306876841536),
    ],
)
def test_half_lives_in_steps(steps, decay):
    schedule = HalfLife(steps=steps)
    assert_close(schedule.decay([1, 10**6]), [decay] * 2)
    assert_close(schedule.product_rate(steps, steps), 0.5)


@pytest.mark.parametrize(
    ("fraction", "exponent", "sigma_rel"),
    [
        (0.05, 12.862943611198904, 0.06289715592541037),
        (0.09, 6.701635339554948, 0.10239249444197995),
    ],
)
def test_a_half_life_that_is_a_part_of_the_run_is_a_power_function(fraction, exponent, sigma_rel):
    schedule = PowerFunction(exponent=np.log(2) / fraction - 1)
    assert_close([schedule.exponent, schedule.sigma_rel], [exponent, sigma_rel])
    assert_close(schedule.decay(10**6), HalfLife(fraction=fraction).decay(10**6), 1e-10)


def test_a_power_function_beside_its_half_life():
    schedule = PowerFunction(exponent=12.862943611198904)
    assert_close(schedule.decay(1000), 0.9862258639, 1e-10)
    assert_close(HalfLife(fraction=0.05).decay(1000), 0.9862327045, 1e-10)


@pytest.mark.parametrize(
    ("n", "decay"),
    [
        (1, 2 / 11),
        (9, 10 / 19),
        (90, 0.91),
        (890, 0.99),
        (8990, 0.999),
        (89990, 0.9999),
        (10**9, 0.99999),
    ],
)
def test_the_warm_up_of_tensorflow(n, decay):
    assert_close(WarmUp(0.99999).decay(n), decay)
    assert_close(WarmUp(0.99999).rate(n), 1 - decay, 1e-11)


def test_the_warm_up_counts_as_tensorflow_does_the_step_just_taken():
    step, variable = tf.Variable(0), tf.Variable(np.float64(0))
    averages = tf.train.ExponentialMovingAverage(0.9, num_updates=step)
    averages.apply([variable])
    expected = np.float64(0)
    for n in range(1, 100):
        step.assign_add(1)
        variable.assign(n)
        averages.apply([variable])
        expected -= (expected - n) * WarmUp(0.9).rate(n)
    assert_close(averages.average(variable), expected, 1e-6)  # TensorFlow's rates are float32.


@pytest.mark.parametrize(
    ("power", "n", "decay", "rtol"),
    [
        (2 / 3, 1, 0.3700394750525634, 1e-12),
        (2 / 3, 10, 0.7978199917664258, 1e-12),
        (2 / 3, 1000, 0.9900066611160449, 1e-12),
        (2 / 3, 31622, 0.9990000047, 1e-10),
        (2 / 3, 10**6, 0.9999000001, 1e-10),
        (3 / 4, 10, 0.8344399739238298, 1e-12),
        (3 / 4, 10000, 0.9990000749934381, 1e-12),
        (3 / 4, 215443, 0.9999000002, 1e-10),
        (1.0, 2, 2 / 3, 1e-12),
        (1.0, 999, 0.999, 1e-12),
    ],
)
def test_the_warm_up_of_crowson(power, n, decay, rtol):
    """EMAWarmup of k-diffusion, whose n is 0 at the first update."""
    assert_close(InverseGamma(power=power, maximum=1.0).decay(n + 1), decay, rtol)


def test_the_limits_of_the_warm_up_of_crowson():
    schedule = InverseGamma(power=1.0, minimum=0.6, maximum=0.9)
    assert_close(schedule.decay([1, 2, 3, 5, 10, 11, 1000]), [0, 0.6, 2 / 3, 0.8, 0.9, 0.9, 0.9])


@pytest.mark.parametrize(
    ("decay", "steps", "product"),
    [
        (0.9999, 10, 0.9990004498800211),
        (0.999, 16, 0.9841194418156399),
        (0.99, 5, 0.9509900498999999),
    ],
)
def test_one_update_for_several_of_a_constant_decay(decay, steps, product):
    assert_close(1 - Constant(decay).product_rate(1000, steps), product)


@pytest.mark.parametrize(
    ("decay", "factor", "scaled"),
    [
        (0.9999, 2, 0.9998000100000001),
        (0.9999, 8, 0.9992002799440071),
        (0.996, 16, 0.9378846214797821),
        (0.9999, 0.5, 0.9999499987499375),
    ],
)
def test_a_decay_for_larger_batches(decay, factor, scaled):
    """Busbridge et al., arXiv 2307.13813."""
    assert_close(Constant(decay).for_batch(factor).decay(7), scaled)


@pytest.mark.parametrize("length", range(1, 6))
@pytest.mark.parametrize(
    "schedule",
    [Uniform(), PowerFunction(exponent=0), InverseGamma(power=1.0, maximum=1.0)],
    ids=lambda one: repr(one) if isinstance(one, Decay) else "",
)
def test_the_uniform_average(schedule, length):
    values = [1, 2, 4, 8, 16][:length]
    assert_close(averaged(schedule, values), [1, 1.5, 7 / 3, 3.75, 6.2][length - 1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_long_uniform_average_keeps_its_digits(dtype):
    assert_close(averaged(Uniform(), np.arange(1, 20_001), dtype), 10_000.5, 1e-5)


def test_an_average_as_merges_of_checkpoints_have_it():
    """PMA, arXiv 2505.12082: alpha 0.2 over 5, from the first on."""
    schedule = Constant(0.8)
    weights = np.eye(5)
    average = weights[0]
    for n in range(2, 6):
        average = average - (average - weights[n - 1]) * schedule.rate(n)
    assert_close(average, [0.4096, 0.1024, 0.128, 0.16, 0.2])


# What holds for all.


LONG = np.longdouble
LN_2 = np.log(LONG(2))


@pytest.mark.parametrize(
    ("schedule", "exact"),
    [
        (Constant(0.9999), lambda n: 1 - LONG(0.9999) + 0 * n),
        (WarmUp(0.999), lambda n: np.maximum(9 / (10 + n), 1 - LONG(0.999))),
        (InverseGamma(maximum=1.0), lambda n: n ** -LONG(2 / 3)),
        (InverseGamma(4.0, 2.0, maximum=1.0), lambda n: (1 + (n - 1) / 4) ** LONG(-2)),
        (HalfLife(steps=1000), lambda n: -np.expm1(-LN_2 / (1000 + 0 * n))),
        (HalfLife(fraction=0.05), lambda n: -np.expm1(-LN_2 / (LONG(0.05) * n))),
        (PowerFunction(exponent=7), lambda n: -np.expm1(8 * np.log1p(-1 / n))),
        (Uniform(), lambda n: 1 / n),
        (Constant(0.9999).for_batch(8), lambda n: -np.expm1(8 * np.log(LONG(0.9999))) + 0 * n),
        (Uniform().for_batch(0.5), lambda n: -np.expm1(np.log1p(-1 / n) / 2)),
    ],
    ids=lambda one: repr(one) if isinstance(one, Decay) else "",
)
def test_rates_keep_their_digits(schedule, exact):
    """Against the same formulas in the 64 bits that the longest floats of the processor have."""
    n = np.array([1, 2, 3, 10, 1000, 10**6, 10**9, 10**12])
    with np.errstate(divide="ignore"):
        expected = exact(n.astype(LONG)).astype(np.float64)
    assert_close(schedule.rate(n), expected, 1e-15)


@given(any_schedule, counts)
def test_rates_and_decays_are_parts_of_one(schedule, n):
    rate, decay = schedule.rate(n), schedule.decay(n)
    assert 0 <= rate <= 1
    assert 0 <= decay <= 1
    assert rate + decay == pytest.approx(1, abs=1e-15)


@given(any_schedule, counts, st.integers(1, 40))
def test_one_update_for_several_has_the_product_of_their_decays(schedule, first, steps):
    last = first + steps - 1
    decays = schedule.decay(np.arange(first, last + 1))
    assert schedule.product_rate(last, steps) == pytest.approx(1 - decays.prod(), abs=1e-13)


@schedules
def test_one_update_for_one_has_its_rate_to_the_bit(schedule):
    for n in N:
        assert schedule.product_rate(n, 1) == schedule.rate(n)


@given(any_schedule, counts, st.integers(1, 40))
def test_the_rate_of_several_keeps_its_digits(schedule, first, steps):
    last = first + steps - 1
    rates = schedule.rate(np.arange(first, last + 1, dtype=np.float64))
    with np.errstate(divide="ignore"):
        expected = -np.expm1(np.log1p(-rates.astype(np.longdouble)).sum())
    # A constant decay is rounded once more where its rate is.
    assert_close(schedule.product_rate(last, steps), float(expected), 1e-11)


@given(any_schedule, counts, st.floats(0.1, 10))
def test_a_larger_batch_has_the_power_of_the_decay(schedule, n, factor):
    decay = schedule.for_batch(factor).decay(n)
    assert decay == pytest.approx(schedule.decay(n) ** factor, rel=1e-12, abs=1e-300)


@schedules
def test_batches_twice_as_large_twice(schedule):
    assert schedule.for_batch(2).for_batch(3) == schedule.for_batch(6)
    assert schedule.for_batch(2).for_batch(0.5) == schedule
    assert schedule.for_batch(1) == schedule


# What they are evaluated with.

N = [1, 2, 3, 10, 99, 1000, 31623, 10**6, 10**9]


@pytest.mark.sampled(pairs=True)
@pytest.mark.parametrize("way", ["eager", "function", pytest.param("XLA", marks=pytest.mark.slow)])
@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float64])
@schedules
def test_tensors_have_the_values_of_numpy(schedule, dtype, way):
    def values(n):
        return schedule.rate(n), schedule.decay(n), schedule.product_rate(n + 4, 5)

    n = np.array(N, dtype)
    call = values if way == "eager" else tf.function(values, jit_compile=way == "XLA")
    for received, expected in zip(call(tf.constant(n)), values(n), strict=True):
        assert received.dtype == tf.float64
        # Two units in the last place; of the logarithm, where the decay is near 0.
        assert_close(received, expected, 4e-15)


@schedules
def test_a_count_may_be_a_number_an_array_or_a_variable(schedule):
    expected = schedule.rate(np.array(N))
    assert expected.dtype == np.float64
    assert expected.shape == (len(N),)
    assert schedule.rate(np.array(N).reshape(3, 3)).shape == (3, 3)
    assert isinstance(schedule.rate(7), np.float64)
    assert schedule.rate(10) == schedule.rate(np.int32(10)) == schedule.rate(10.0) == expected[3]
    for variable in (tf.Variable(10, dtype=tf.int64), keras.Variable(10, dtype="int64")):
        assert_close(schedule.rate(variable), expected[3], 4e-16)
        assert schedule.rate(variable).shape == ()
        assert schedule.product_rate(variable, 3).shape == ()


def test_a_traced_step_that_is_given_a_schedule_is_traced_once():
    traced = []

    @tf.function
    def rate(schedule, n):
        traced.append(schedule)
        return schedule.rate(n)

    for n in (1, 2, 3):
        assert_close(rate(HalfLife(steps=10), tf.constant(n)), HalfLife(steps=10).rate(n))
    assert len(traced) == 1


# Schedules are values.


@schedules
def test_what_was_made_alike_is_equal(schedule):
    for other in (
        type(schedule).from_config(schedule.get_config()),
        eval(repr(schedule)),  # noqa: S307 - the repr is the call that makes it.
        copy.deepcopy(schedule),
        pickle.loads(pickle.dumps(schedule)),  # noqa: S301 - what it has just written.
    ):
        assert other == schedule
        assert hash(other) == hash(schedule)
        assert_close(other.rate(N), schedule.rate(N), 0)
    assert sum(schedule == other for other in SCHEDULES) == 1


def test_other_things_are_not_equal():
    assert Constant(0.5) != WarmUp(0.5)
    assert Constant(0.5) != Constant(0.25)
    assert Constant(0.5) != 0.5
    assert Constant(np.float32(0.5)) == Constant(0.5)


@pytest.mark.parametrize("library", [keras, tf_keras], ids=["keras", "tf_keras"])
@schedules
def test_each_keras_writes_and_reads_them(library, schedule):
    config = library.saving.serialize_keras_object({"average_decay": schedule})
    name = type(schedule).__name__
    assert config["average_decay"]["registered_name"] == f"tf_mavg>{name}"
    assert library.saving.deserialize_keras_object(config) == {"average_decay": schedule}


@pytest.mark.slow
def test_neither_face_of_a_keras_is_imported_for_them(tmp_path):
    program = "import sys, tf_mavg; tf_mavg.decays.Uniform(); print(*sys.modules)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    loaded = set(done.stdout.decode().split())
    assert "tf_mavg.decays" in loaded
    # TensorFlow imports Keras 3 itself.
    assert (
        loaded & {"tf_keras", "tf_mavg.keras", "tf_mavg.tf_keras", "tf_mavg._keras.keras3"} == set()
    )


@schedules
def test_a_schedule_cannot_be_changed(schedule):
    message = r"A schedule cannot be changed; make another one\. Received: maximum=0\.5\."
    with pytest.raises(AttributeError, match=message):
        schedule.maximum = 0.5
    assert not hasattr(schedule, "maximum")


def test_a_schedule_of_ones_own():
    class Halving(Decay):
        def __init__(self) -> None:
            super().__init__()

        def _log_decay(self, n, do):
            return do.log1p(-(0.5**n))

    schedule = Halving()
    assert_close(schedule.rate([1, 2]), [0.5, 0.25])
    assert_close(schedule.product_rate(2, 2), 1 - 0.5 * 0.75)
    scaled = schedule.for_batch(2)
    assert type(scaled).from_config(scaled.get_config()) == scaled


# What is refused.


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(1.5), r"`decay` must be in \[0, 1\]. Received: decay=1.5."),
        (lambda: Constant(float("nan")), r"`decay` must be in \[0, 1\]. Received: decay=nan."),
        (lambda: Constant("0.5"), r"`decay` must be in \[0, 1\]. Received: decay='0.5'."),
        (lambda: Constant(decay=True), r"`decay` must be in \[0, 1\]. Received: decay=True."),
        (lambda: WarmUp(-1), r"`decay` must be in \[0, 1\]. Received: decay=-1."),
        (
            lambda: InverseGamma(gamma=0),
            "`gamma` must be a finite number above 0.",
        ),
        (
            lambda: InverseGamma(power=-1),
            "`power` must be a finite number above 0.",
        ),
        (lambda: InverseGamma(maximum=2), r"`maximum` must be in \[0, 1\]. Received: maximum=2."),
        (
            lambda: InverseGamma(minimum=0.9, maximum=0.5),
            r"`minimum` must be in \[0, 0.5\]. Received: minimum=0.9.",
        ),
        (HalfLife, "Give `steps`, `fraction` or both. Received: neither."),
        (lambda: HalfLife(0), "`steps` must be a finite number above 0. Received: steps=0"),
        (lambda: HalfLife(None, np.inf), "`fraction` must be a finite number above 0."),
        (
            PowerFunction,
            "Give either `sigma_rel` or `exponent`. Received: sigma_rel=None, exponent=None.",
        ),
        (lambda: PowerFunction(0.1, 2), "Received: sigma_rel=0.1, exponent=2."),
        (lambda: PowerFunction(0.0), "`sigma_rel` must be a finite number above 0."),
        (
            lambda: PowerFunction(0.3),
            r"`sigma_rel` must be at most 12\^-0.5 = .* average. Received: sigma_rel=0.3.",
        ),
        (
            lambda: PowerFunction(exponent=-0.5),
            "`exponent` must be a finite number, 0 or more. Received: exponent=-0.5.",
        ),
        (lambda: Uniform().for_batch(0), "`factor` must be a finite number above 0."),
        (lambda: Uniform().for_batch(2).for_batch(-1), "`factor` must be a finite number above 0."),
        (lambda: Uniform().rate(0), "`n` counts updates and must be 1 or more. Received: n=0."),
        (lambda: Uniform().decay([3, 0.5]), "`n` counts updates and must be 1 or more."),
        (
            lambda: Uniform().rate(np.nan),
            "must be 1 or more. Received: n=nan.",
        ),
        (lambda: Uniform().product_rate(5, 0), "`steps` must be 1 or more. Received: steps=0."),
        (
            lambda: Uniform().product_rate(5, 6),
            "`n` counts updates and must be 6 or more. Received: n=5.",
        ),
        (
            lambda: type(Uniform().for_batch(2)).from_config(
                {"schedule": {"class_name": "Cosine", "config": {}}, "factor": 2}
            ),
            "The schedule must be one of .*'WarmUp'.*. Received: 'Cosine'; import the module",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
