"""Lazy rows below TensorFlow: caught up, they are what an update of all rows at each step makes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from levels import LEVELS, level
from oracle import AVERAGE_DTYPES, FLOAT32, FLOAT64, assert_same_bits, dtypes_id, normal, updated

from tf_mavg import _native

average_dtypes = pytest.mark.parametrize("dtypes", AVERAGE_DTYPES, ids=dtypes_id)
# By the dtype of the arithmetic: how far lazy and dense may be apart.
TOLERANCE = {FLOAT32: 1e-6, FLOAT64: 1e-12}


class Table:
    """A lazily averaged table, beside a dense average of it in float64."""

    def __init__(
        self, rng, shape, dtypes=(FLOAT32, FLOAT32), capacity=64, level=LEVELS[-1]
    ) -> None:
        """Begins at the variable."""
        self.rng, self.level = rng, level
        self.variable = normal(rng, shape, dtypes[1])
        self.average = self.variable.astype(dtypes[0])
        self.seen = np.zeros(shape[0], np.int64)
        self.clock = _native.row_clock(capacity)
        self.clock.fill(0)
        self.dense = self.variable.astype(FLOAT64)

    def catch_up(self, indices, threads=1):
        """Has some rows see all steps."""
        arrays = self.average, self.variable, self.seen, self.clock
        _native.catch_up_rows(*arrays, indices, self.level, threads)

    def catch_up_all(self, threads=1):
        """Has all rows see all steps."""
        arrays = self.average, self.variable, self.seen, self.clock
        _native.catch_up_all_rows(*arrays, self.level, threads)

    def step(self, indices, rate, threads=1):
        """A training step that writes the rows of the indices, and nothing else."""
        rate = np.float32(rate)
        self.catch_up(indices, threads)
        self.variable[indices] = normal(
            self.rng, (len(indices), *self.variable.shape[1:]), self.variable.dtype
        )
        if not _native.advance_row_clock(self.clock, rate):
            # The rows that were written have seen all steps, the others are caught up.
            self.catch_up_all(threads)
            assert _native.advance_row_clock(self.clock, rate)
        wide = self.variable.astype(FLOAT64)
        self.dense = wide if rate == 1 else self.dense + (wide - self.dense) * float(rate)

    def error(self):
        """How far the averages are from the dense ones, after all rows have been caught up."""
        self.catch_up_all()
        assert not self.seen.any()
        assert not self.clock[:4].any()
        return np.abs(self.average - self.dense).max()


@pytest.mark.sampled
@level
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_10_000_random_steps(level, dtype, index_dtype, rng):
    table = Table(rng, (50, 7), (dtype, dtype), capacity=1000, level=level)
    for n in range(10_000):
        indices = rng.integers(0, 50, rng.integers(0, 6)).astype(index_dtype)  # With duplicates.
        decay = [min(0.999, (1 + n) / (10 + n)), 0.99, 1.0, 0.0][
            rng.choice(4, p=[0.8, 0.1, 0.09, 0.01])
        ]
        table.step(indices, 1 - decay)
        if rng.random() < 0.001:
            assert table.error() <= TOLERANCE[dtype]
    assert table.error() <= TOLERANCE[dtype]


@level
@average_dtypes
@pytest.mark.parametrize("columns", [0, 1, 3, 8, 33, 512])
def test_a_row_that_is_one_step_behind_gets_the_bits_of_a_dense_update(level, dtypes, columns, rng):
    table = Table(rng, (9, columns), dtypes, level=level)
    table.average[:] = normal(rng, table.average.shape, dtypes[0])
    expected = updated(table.average, table.variable, 0.75)
    expected[[0, 2]] = table.average[[0, 2]]
    _native.advance_row_clock(table.clock, 0.25)
    table.catch_up(np.array([8, 1, 3, 4, 5, 1, 6, 7]))
    assert_same_bits(table.average, expected)
    assert table.seen.tolist() == [0, 1, 0, 1, 1, 1, 1, 1, 1]


@level
@average_dtypes
def test_a_decay_of_0_copies_whatever_the_values(level, dtypes, rng):
    table = Table(rng, (3, 5), dtypes, level=level)
    for rate in (0.5, 1.0):
        _native.advance_row_clock(table.clock, rate)
    table.average.fill(np.nan)
    table.catch_up_all()
    assert_same_bits(table.average, table.variable.astype(dtypes[0]))


def test_a_copy_counts_for_rows_that_are_behind_it_only(rng):
    table = Table(rng, (2, 4))
    _native.advance_row_clock(table.clock, 1.0)
    table.catch_up(np.array([1]))
    table.average[1] = 5
    _native.advance_row_clock(table.clock, 0.5)
    table.average[0] = np.inf
    table.catch_up_all()
    assert_same_bits(table.average[0], table.variable[0])
    assert_same_bits(table.average[1], updated(np.full(4, 5, FLOAT32), table.variable[1], 0.5))


def test_a_rate_of_0_is_no_step(rng):
    table = Table(rng, (2, 4), capacity=1)
    for _ in range(5):
        assert _native.advance_row_clock(table.clock, 0.0)
    table.average.fill(np.nan)
    table.catch_up_all()
    assert np.isnan(table.average).all()


def test_a_full_clock_takes_no_step(rng):
    table = Table(rng, (2, 4), capacity=2)
    noted = [_native.advance_row_clock(table.clock, 0.5) for _ in range(3)]
    assert noted == [True, True, False]


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_threads_that_meet_rows_together_move_each_once(threads, rng):
    indices = rng.integers(0, 5, 4000)
    received = []
    for number in (1, threads):
        table = Table(np.random.default_rng(3), (5, 300))
        for _ in range(20):
            table.step(indices, 0.1, number)
        table.catch_up_all(number)
        received.append(table.average)
    assert_same_bits(*received)


@pytest.mark.parametrize("index", [-1, 4])
def test_an_index_of_no_row_writes_nothing(index, rng):
    table = Table(rng, (4, 3))
    _native.advance_row_clock(table.clock, 0.5)
    with pytest.raises(IndexError, match=f"no row {index}"):
        table.catch_up(np.array([0, index]))
    assert not table.seen.any()


@settings(max_examples=500)
@given(st.floats(-60, 0))
def test_one_minus_exp(x):
    expected = -math.expm1(x)
    assert abs(_native.one_minus_exp(x) - expected) <= 4 * math.ulp(expected)


@pytest.mark.parametrize("x", [0.0, -1e-300, -5e-324, -1e300, -math.inf])
def test_one_minus_exp_at_its_ends(x):
    assert _native.one_minus_exp(x) == -math.expm1(x)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_any_steps(data):
    table = Table(np.random.default_rng(5), (4, 2), (FLOAT64, FLOAT64), capacity=3)
    for _ in range(data.draw(st.integers(0, 12))):
        indices = np.array(data.draw(st.lists(st.integers(0, 3), max_size=4)), np.int64)
        table.step(indices, data.draw(st.floats(0, 1, width=32)))
    assert table.error() <= TOLERANCE[FLOAT64]


@settings(max_examples=500)
@given(st.floats(0, 1, width=32, exclude_min=True, exclude_max=True))
def test_log_of_decay(rate):
    expected = math.log1p(-rate)
    assert abs(_native.log_of_decay(rate) - expected) <= 4 * math.ulp(expected)


@pytest.mark.parametrize("rate", [1e-45, 2.0**-24, 1 / 64, 0.5, 1 - 2.0**-24])
def test_log_of_decay_at_its_ends(rate):
    rate = float(np.float32(rate))
    expected = math.log1p(-rate)
    assert abs(_native.log_of_decay(rate) - expected) <= 4 * math.ulp(expected)
