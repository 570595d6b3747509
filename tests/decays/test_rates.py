"""Rates of all schedules: their digits, several updates in one, and tensors of counts."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from schedules import FEW_COUNTS, any_schedule, assert_close, counts, schedules

from tf_mavg.decays import Constant, Decay, HalfLife, InverseGamma, PowerFunction, Uniform, WarmUp

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
    for n in FEW_COUNTS:
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


@pytest.mark.sampled(pairs=True)
@pytest.mark.parametrize("way", ["eager", "function", pytest.param("XLA", marks=pytest.mark.slow)])
@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float64])
@schedules
def test_tensors_have_the_values_of_numpy(schedule, dtype, way):
    def values(n):
        return schedule.rate(n), schedule.decay(n), schedule.product_rate(n + 4, 5)

    n = np.array(FEW_COUNTS, dtype)
    call = values if way == "eager" else tf.function(values, jit_compile=way == "XLA")
    for received, expected in zip(call(tf.constant(n)), values(n), strict=True):
        assert received.dtype == tf.float64
        # Two units in the last place; of the logarithm, where the decay is near 0.
        assert_close(received, expected, 4e-15)


@schedules
def test_a_count_may_be_a_number_an_array_or_a_variable(schedule):
    expected = schedule.rate(np.array(FEW_COUNTS))
    assert expected.dtype == np.float64
    assert expected.shape == (len(FEW_COUNTS),)
    assert schedule.rate(np.array(FEW_COUNTS).reshape(3, 3)).shape == (3, 3)
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
