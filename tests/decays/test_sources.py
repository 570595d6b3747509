"""Schedules of decays: the values of their sources.

Values without a word on their origin were computed in float64 from the formula of the source that
the test names.
"""

import numpy as np
import pytest
import tensorflow as tf
from schedules import assert_close, averaged

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
