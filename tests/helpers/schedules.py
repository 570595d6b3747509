"""Schedules of every kind, for tests of what holds for all of them."""

import numpy as np
import pytest
from hypothesis import strategies as st

from tf_mavg.decays import Constant, HalfLife, InverseGamma, PowerFunction, Uniform, WarmUp

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
FEW_COUNTS = [1, 2, 3, 10, 99, 1000, 31623, 10**6, 10**9]


def assert_close(received, expected, rtol=1e-12):
    """That numbers are close: by `rtol` alone."""
    np.testing.assert_allclose(received, expected, rtol=rtol, atol=0)


def averaged(schedule, values, dtype=np.float64):
    """The average after an update for each value, all of it in one dtype."""
    average = dtype(0)
    for rate, value in zip(schedule.rate(np.arange(1, len(values) + 1)), values, strict=True):
        average -= (average - dtype(value)) * dtype(rate)
    return average
