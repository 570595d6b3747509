"""Split averages below TensorFlow: float32 averages as bfloat16 and a remainder of 16 bits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from levels import ALMOST_VECTORS, LEVELS, level
from oracle import (
    BFLOAT16,
    FLOAT32,
    SIZES,
    assert_same_bits,
    joined,
    normal,
    patterns,
    rate_of,
    split,
    updated,
)

from tf_mavg import _native


def assert_same_averages(high, remainder, expected):
    """Asserts that split averages are float32 ones to the last bit, NaN where these are."""
    is_nan = np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(high.astype(FLOAT32)), is_nan)
    np.testing.assert_array_equal(remainder[is_nan], 0)
    assert_same_bits(joined(high, remainder)[~is_nan], expected[~is_nan])


# Each range has what is rare beside what is common: zeros, denormals, infinities, NaNs.
@level
@pytest.mark.parametrize("begin", [0, 0x7F700000, 0x80000000, 0xFF700000, 0x3F800000])
def test_many_patterns_split_and_join_exactly_and_are_updated_as_float32(level, begin):
    assert _native.count_split_faults(begin, begin + 2**20, 1.5, rate_of(0.9), level) == 0


@pytest.mark.long
def test_all_patterns_split_and_join_exactly_and_are_updated_as_float32():
    faults = _native.count_split_faults(0, 2**32, -0.75, rate_of(0.99), LEVELS[-1], threads=2)
    assert faults == 0


@given(hnp.arrays(np.uint32, 40))
def test_the_upper_half_is_the_nearest_bfloat16(drawn):
    values = drawn.view(FLOAT32)
    high, _ = split(values)
    is_tie = drawn & 0xFFFF == 0x8000  # Goes away from zero, and not to an even number.
    with np.errstate(all="ignore"):
        expected = values.astype(BFLOAT16)
    chosen = ~is_tie & ~np.isnan(values)
    assert_same_bits(high[chosen], expected[chosen])


@level
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("offset", [0, 1], ids=["aligned", "unaligned"])
def test_update(level, size, offset, rng):
    averages = normal(rng, size, FLOAT32)
    high, remainder = (
        np.concatenate([np.zeros(offset, half.dtype), half])[offset:] for half in split(averages)
    )
    variables = normal(rng, size + offset, BFLOAT16)[offset:]
    before = variables.copy()
    _native.apply_split_moving_average([[high]], [[remainder]], [variables], [rate_of(0.99)], level)
    assert_same_averages(high, remainder, updated(averages, variables, 0.99))
    assert_same_bits(variables, before)


@level
@pytest.mark.parametrize("size", ALMOST_VECTORS)
def test_update_writes_nothing_beside_its_range(level, size, rng):
    before = normal(rng, 100, FLOAT32)
    high, remainder = split(before)
    expected_high, expected_remainder = high.copy(), remainder.copy()
    variables = normal(rng, size, BFLOAT16)
    chosen = slice(30, 30 + size)
    halves = split(updated(before[chosen], variables, 0.5))
    expected_high[chosen], expected_remainder[chosen] = halves
    _native.apply_split_moving_average(
        [[high[chosen]]], [[remainder[chosen]]], [variables], [rate_of(0.5)], level
    )
    assert_same_bits(high, expected_high)
    assert_same_bits(remainder, expected_remainder)


@level
def test_a_thousand_updates_leave_the_bits_of_a_float32_average(level, rng):
    sizes = [3, 700, 8192, 41]
    averages = [normal(rng, size, FLOAT32) for size in sizes]
    highs, remainders = zip(*map(split, averages), strict=True)
    for step in range(1000):
        variables = [normal(rng, size, BFLOAT16) for size in sizes]
        rates = [rate_of(0.999 if step % 3 else 0.5)]
        _native.apply_moving_average([averages], variables, rates, level)
        _native.apply_split_moving_average(
            [list(highs)], [list(remainders)], variables, rates, level
        )
    for high, remainder, expected in zip(highs, remainders, averages, strict=True):
        assert_same_bits(joined(high, remainder), expected)


@level
@given(data=st.data())
def test_any_bits_are_updated_as_float32(level, data):
    averages = data.draw(hnp.arrays(np.uint32, 70)).view(FLOAT32)
    variables = data.draw(hnp.arrays(np.uint16, 70)).view(BFLOAT16)
    decay = data.draw(st.floats(0, 1, width=32))
    high, remainder = split(averages)
    with np.errstate(all="ignore"):
        expected = updated(joined(high, remainder), variables, decay)
    _native.apply_split_moving_average(
        [[high]], [[remainder]], [variables], [rate_of(decay)], level
    )
    if decay not in {0, 1}:
        assert_same_averages(high, remainder, expected)


@level
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rates", [[1.0], [0.0], [1.0, 0.0], [0.0, 1.0]])
def test_a_rate_of_1_copies_and_one_of_0_keeps_whatever_the_bits(level, size, rates, rng):
    highs = [[patterns(rng, size, BFLOAT16)] for _ in rates]
    remainders = [[patterns(rng, size, np.dtype(np.int16))] for _ in rates]
    before = [(high.copy(), low.copy()) for (high,), (low,) in zip(highs, remainders, strict=True)]
    variables = [patterns(rng, size, BFLOAT16)]
    _native.apply_split_moving_average(highs, remainders, variables, rates, level)
    copied = variables[0], np.zeros(size, np.int16)
    for rate, (high,), (low,), start in zip(rates, highs, remainders, before, strict=True):
        expected = copied if rate else start
        assert_same_bits(high, expected[0])
        assert_same_bits(low, expected[1])


@level
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_two_averages_in_one_pass_are_two_single_updates(level, threads, rng):
    variables = [normal(rng, size, BFLOAT16) for size in SIZES]
    starts = [[normal(rng, size, FLOAT32) for size in SIZES] for _ in range(2)]
    halves = [[split(start) for start in side] for side in starts]
    decays = [0.9, 0.999]
    _native.apply_split_moving_average(
        [[high for high, _ in side] for side in halves],
        [[remainder for _, remainder in side] for side in halves],
        variables,
        [rate_of(decay) for decay in decays],
        level,
        threads=threads,
        chunk_elements=256,
    )
    for side, start, decay in zip(halves, starts, decays, strict=True):
        for (high, remainder), average, variable in zip(side, start, variables, strict=True):
            assert_same_averages(high, remainder, updated(average, variable, decay))


def test_arrays_that_are_not_split_averages_are_refused():
    high, remainder = np.zeros(4, BFLOAT16), np.zeros(4, np.int16)
    variable = np.zeros(4, BFLOAT16)
    call = _native.apply_split_moving_average
    with pytest.raises(TypeError, match="must be bfloat16, remainders int16"):
        call([[high]], [[remainder.astype(np.uint16)]], [variable], [0.1], "baseline")
    with pytest.raises(TypeError, match="must be bfloat16, remainders int16"):
        call([[high]], [[remainder]], [variable.astype(np.float32)], [0.1], "baseline")
    with pytest.raises(ValueError, match="1 to 2 lists of averages, a list of remainders and a"):
        call([[high]], [], [variable], [0.1], "baseline")
    with pytest.raises(ValueError, match="numbered from 0 to 2"):
        _native.count_split_faults(0, 2**32 + 1, 0.0, 0.1, "baseline")
