"""The CPU kernels below TensorFlow: every instruction level, dtype, size and alignment."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from levels import ALMOST_VECTORS, LEVELS, level
from oracle import (
    AVERAGE_DTYPES,
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    SIZES,
    assert_same_bits,
    dtypes_id,
    normal,
    patterns,
    rate_of,
    updated,
)

from tf_mavg import _native

average_dtypes = pytest.mark.parametrize("dtypes", AVERAGE_DTYPES, ids=dtypes_id)


@level
@average_dtypes
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("offset", [0, 1], ids=["aligned", "unaligned"])
def test_update(level, dtypes, size, offset, rng):
    averages = normal(rng, size + offset, dtypes[0])[offset:]
    variables = normal(rng, size + offset, dtypes[1])[offset:]
    before = variables.copy()
    expected = updated(averages, variables, 0.99)
    _native.apply_moving_average([[averages]], [variables], [rate_of(0.99)], level)
    assert_same_bits(averages, expected)
    assert_same_bits(variables, before)


@level
@average_dtypes
def test_update_of_thousands_of_arrays(level, dtypes, rng):
    sizes = rng.integers(0, 200, 3000)
    averages = [normal(rng, size, dtypes[0]) for size in sizes]
    variables = [normal(rng, size, dtypes[1]) for size in sizes]
    expected = [updated(a, v, 0.9) for a, v in zip(averages, variables, strict=True)]
    for threads in (1, 2, 5):
        received = [average.copy() for average in averages]
        _native.apply_moving_average(
            [received], variables, [rate_of(0.9)], level, threads=threads, chunk_elements=16
        )
        for average, value in zip(received, expected, strict=True):
            assert_same_bits(average, value)


@level
@average_dtypes
@pytest.mark.parametrize("count", [2, 3, 4])
def test_several_averages_in_one_pass_are_as_many_single_updates(level, dtypes, count, rng):
    averages = [[normal(rng, size, dtypes[0]) for size in SIZES] for _ in range(count)]
    variables = [normal(rng, size, dtypes[1]) for size in SIZES]
    before = [variable.copy() for variable in variables]
    decays = [0.9, 0.99, 0.5, 0.999][:count]
    expected = [
        [updated(a, v, decay) for a, v in zip(side, variables, strict=True)]
        for side, decay in zip(averages, decays, strict=True)
    ]
    rates = [rate_of(decay) for decay in decays]
    _native.apply_moving_average(averages, variables, rates, level, threads=2)
    received = itertools.chain(*averages, variables)
    for array, value in zip(received, itertools.chain(*expected, before), strict=True):
        assert_same_bits(array, value)


@level
@average_dtypes
@pytest.mark.parametrize("size", ALMOST_VECTORS)
def test_update_writes_nothing_beside_its_range(level, dtypes, size, rng):
    memory = normal(rng, 100, dtypes[0])
    expected = memory.copy()
    variables = normal(rng, size, dtypes[1])
    chosen = slice(30, 30 + size)
    expected[chosen] = updated(memory[chosen], variables, 0.5)
    _native.apply_moving_average([[memory[chosen]]], [variables], [rate_of(0.5)], level)
    assert_same_bits(memory, expected)


@level
@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=str)
def test_every_half_precision_number_widens_exactly(level, dtype):
    # With decay 0 a float32 average becomes its variable; (0 - v) * 1 is exact.
    variables = np.arange(2**16, dtype=np.uint16).view(dtype)
    averages = np.zeros(2**16, FLOAT32)
    _native.apply_moving_average([[averages]], [variables], [rate_of(0.0)], level)
    is_nan = np.isnan(variables.astype(FLOAT32))
    np.testing.assert_array_equal(np.isnan(averages), is_nan)
    np.testing.assert_array_equal(averages[~is_nan], variables.astype(FLOAT32)[~is_nan])


@level
@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=str)
@given(data=st.data())
def test_half_precision_rounds_once_to_nearest_even(level, dtype, data):
    patterns = hnp.arrays(np.uint16, 40)
    averages = data.draw(patterns).view(dtype)
    variables = data.draw(patterns).view(dtype)
    decay = data.draw(st.floats(0, 1, width=32))
    with np.errstate(all="ignore"):
        expected = updated(averages, variables, decay)
    received = averages.copy()
    _native.apply_moving_average([[received]], [variables], [rate_of(decay)], level)
    is_nan = np.isnan(expected.astype(FLOAT32))
    np.testing.assert_array_equal(np.isnan(received.astype(FLOAT32)), is_nan)
    assert_same_bits(received[~is_nan], expected[~is_nan])


@level
@pytest.mark.parametrize(("dtype", "one"), [(FLOAT16, 0x3C00), (BFLOAT16, 0x3F80)], ids=str)
def test_a_tie_goes_to_the_even_number(level, dtype, one):
    lower = np.arange(one, one + 41, dtype=np.uint16)
    averages, variables = lower.view(dtype).copy(), (lower + 1).view(dtype)
    _native.apply_moving_average([[averages]], [variables], [rate_of(0.5)], level)
    np.testing.assert_array_equal(averages.view(np.uint16), lower + lower % 2)


@level
@average_dtypes
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [1, 3])
def test_a_rate_of_1_copies_and_one_of_0_keeps_whatever_the_bits(level, dtypes, size, count, rng):
    averages = [[patterns(rng, size, dtypes[0])] for _ in range(count)]
    variables = [patterns(rng, size, dtypes[1])]
    before = [side[0].copy() for side in averages]
    rates = [1.0, 0.0, 1.0][:count]
    _native.apply_moving_average(averages, variables, rates, level)
    for rate, (received,), start in zip(rates, averages, before, strict=True):
        if rate == 0 or dtypes[0] == dtypes[1]:
            assert_same_bits(received, start if rate == 0 else variables[0])
        else:
            np.testing.assert_array_equal(received, variables[0].astype(dtypes[0]))


@average_dtypes
@given(data=st.data())
def test_all_levels_agree_to_the_bit_on_any_bits(dtypes, data):
    arrays = [data.draw(hnp.arrays(np.uint8, 50 * dtype.itemsize)).view(dtype) for dtype in dtypes]
    decay = data.draw(st.floats(0, 1, width=32))
    results = []
    for each in LEVELS:
        average = arrays[0].copy()
        _native.apply_moving_average([[average]], [arrays[1]], [rate_of(decay)], each)
        results.append(average)
    with np.errstate(invalid="ignore"):  # What was copied may be a signalling NaN.
        is_nan = [np.isnan(result.astype(np.float64)) for result in results]
    for result, nan in zip(results[1:], is_nan[1:], strict=True):
        np.testing.assert_array_equal(nan, is_nan[0])
        assert_same_bits(result[~nan], results[0][~nan])


@level
@pytest.mark.parametrize("decay", [0.1, 0.3])  # Below 0.5, 1 - decay rounds in float32.
def test_the_factor_rounds_to_float32_for_float64(level, decay, rng):
    averages, variables = normal(rng, 100, FLOAT64), normal(rng, 100, FLOAT64)
    expected = updated(averages, variables, decay)
    _native.apply_moving_average([[averages]], [variables], [rate_of(decay)], level)
    assert_same_bits(averages, expected)


@level
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("offset", [0, 1], ids=["aligned", "unaligned"])
def test_swap(level, size, offset, rng):
    first = rng.integers(0, 256, size + offset, np.uint8)[offset:]
    second = rng.integers(0, 256, size + offset, np.uint8)[offset:]
    expected = second.copy(), first.copy()
    _native.swap([first], [second], level)
    assert_same_bits(first, expected[0])
    assert_same_bits(second, expected[1])


@pytest.mark.parametrize(
    "pair", [(FLOAT32, FLOAT32), (FLOAT64, FLOAT64), (FLOAT32, BFLOAT16)], ids=dtypes_id
)
def test_the_plain_loop_of_the_benchmarks_computes_the_same(pair, rng):
    averages, variables = (normal(rng, 1001, dtype) for dtype in pair)
    expected = updated(averages, variables, 0.999)
    _native.plain_loop([averages], [variables], rate_of(0.999), threads=3)
    assert_same_bits(averages, expected)


@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=str)
def test_the_plain_loop_averages_half_precision_as_integers(dtype, rng):
    averages, variables = (normal(rng, 1001, dtype) for _ in "av")
    bits, others = averages.view(np.int16).copy(), variables.view(np.int16)
    _native.plain_loop([averages], [variables], rate_of(0.999), threads=3)
    assert_same_bits(averages.view(np.int16), bits - ((bits - others) >> 10))


def test_arrays_that_no_kernel_serves_are_refused():
    four, five = np.zeros(4, np.float32), np.zeros(5, np.float32)
    with pytest.raises(ValueError, match="one size a position"):
        _native.apply_moving_average([[four]], [five], [0.1], "baseline")
    with pytest.raises(ValueError, match="contiguous"):
        _native.apply_moving_average([[np.zeros(8, np.float32)[::2]]], [four], [0.1], "baseline")
    with pytest.raises(ValueError, match="one length"):
        _native.apply_moving_average([[]], [], [0.1], "baseline")
    with pytest.raises(TypeError, match="No kernel averages int32 in float32"):
        _native.apply_moving_average([[four]], [np.zeros(4, np.int32)], [0.1], "baseline")
    with pytest.raises(ValueError, match=r"level must be .* Received: sse9"):
        _native.apply_moving_average([[four]], [four.copy()], [0.1], "sse9")
    with pytest.raises(ValueError, match="1 to 4 lists of averages, and a rate for each"):
        _native.apply_moving_average([[four]], [four.copy()], [0.1, 0.2], "baseline")
    with pytest.raises(ValueError, match="All averages must have one dtype"):
        _native.apply_moving_average(
            [[four], [np.zeros(4, np.float16)]], [four.copy()], [0.1, 0.2], "baseline"
        )
