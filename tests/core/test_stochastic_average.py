"""Stochastic rounding below TensorFlow: of one number, and at every instruction level."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from levels import ALMOST_VECTORS, LEVELS, level
from oracle import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    SIZES,
    assert_same_bits,
    normal,
    patterns,
    rate_of,
)

from tf_mavg import _native
from tf_mavg_check.reference import (
    HALVES,
    LARGEST,
    SMALLEST,
    random_bits,
    rounded,
    updated_stochastically,
)

KEY = (3, 8, 0)

half = pytest.mark.parametrize("dtype", HALVES, ids=str)
words_of_all_kinds = st.sampled_from([0, 1, 2**31 - 1, 2**31, 2**32 - 1]) | st.integers(
    0, 2**32 - 1
)


def round_one_by_one(numbers, words, dtype):
    numbers, words = np.broadcast_arrays(np.asarray(numbers, FLOAT32), np.asarray(words, np.uint32))
    numbers, words = np.ascontiguousarray(numbers), np.ascontiguousarray(words)
    return _native.round_stochastically(numbers, words, dtype.name).view(dtype)


def mean_of_all_draws(number, dtype):
    """The exact mean over all values that the upper 16 random bits have."""
    words = np.arange(2**16, dtype=np.uint32) << np.uint32(16)
    return (
        np.sum(round_one_by_one(np.full(2**16, number, FLOAT32), words, dtype), dtype=FLOAT64)
        / 2**16
    )


@half
@given(data=st.data())
def test_the_mean_over_all_random_bits_is_the_number(dtype, data):
    # Of float16 those whose part of a step has at most 16 bits; the finer ones are below.
    least = 2.0**-17 if dtype == FLOAT16 else float(np.float32(2.0**-133))
    largest, _ = LARGEST[dtype]
    number = data.draw(st.floats(least, largest, width=32))
    assert mean_of_all_draws(number, dtype) == np.float32(number)
    assert mean_of_all_draws(-number, dtype) == -np.float32(number)


@given(number=st.floats(0, 2.0**-14, width=32))
def test_a_float16_of_any_size_goes_up_as_often_as_its_part_of_a_step_says(number):
    parts = float(number) * 2.0**24  # In denormal steps.
    chance = int((parts - np.floor(parts)) * 2.0**31)
    words = np.array([2 * chance - 1, 2 * chance, 2 * chance + 1], np.int64)
    words = words[(words >= 0) & (words < 2**32)]
    received = round_one_by_one(number, words, FLOAT16).astype(FLOAT64) * 2.0**24
    np.testing.assert_array_equal(received, np.floor(parts) + (words < 2 * chance))


@half
@pytest.mark.parametrize("word", [0, 1, 2**16 - 1, 2**16, 2**31, 2**32 - 1])
def test_what_can_be_held_never_moves(dtype, word):
    halves = np.arange(2**16, dtype=np.uint16).view(dtype)
    is_nan = np.isnan(halves.astype(FLOAT32))
    received = round_one_by_one(halves.astype(FLOAT32), word, dtype)
    assert_same_bits(received[~is_nan], halves[~is_nan])
    assert np.isnan(received[is_nan].astype(FLOAT32)).all()


@half
@given(data=st.data())
def test_beyond_the_largest_number_the_nearest_is_taken(dtype, data):
    largest, step = LARGEST[dtype]
    top = min(largest + 2 * step, float(np.finfo(FLOAT32).max))
    number = data.draw(st.floats(largest, top, width=32) | st.just(np.inf))
    word = data.draw(words_of_all_kinds)
    with np.errstate(over="ignore"):
        expected = np.array([number, -number], FLOAT32).astype(dtype)
    assert_same_bits(round_one_by_one([number, -number], word, dtype), expected)


@half
@given(data=st.data())
def test_a_number_of_any_bits_goes_to_a_neighbour(dtype, data):
    numbers = data.draw(hnp.arrays(np.uint32, 50)).view(FLOAT32)
    words = data.draw(hnp.arrays(np.uint32, 50, elements=words_of_all_kinds))
    with np.errstate(all="ignore"):
        expected = rounded(numbers, words, dtype)
    received = round_one_by_one(numbers, words, dtype)
    is_nan = np.isnan(numbers)
    np.testing.assert_array_equal(np.isnan(received.astype(FLOAT32)), is_nan)
    assert_same_bits(received[~is_nan], expected[~is_nan])


@level
@half
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("offset", [0, 1], ids=["aligned", "unaligned"])
def test_update(level, dtype, size, offset, rng):
    averages = normal(rng, size + offset, dtype)[offset:]
    variables = normal(rng, size + offset, dtype)[offset:]
    before = variables.copy()
    expected = updated_stochastically(averages, variables, 0.99, KEY)
    _native.apply_stochastic_average([[averages]], [variables], [rate_of(0.99)], [KEY], level)
    assert_same_bits(averages, expected)
    assert_same_bits(variables, before)


@level
@half
def test_chunks_threads_and_lists_make_no_difference(level, dtype, rng):
    sizes = [*rng.integers(0, 200, 500), 70_000, 1]
    averages = [normal(rng, size, dtype) for size in sizes]
    variables = [normal(rng, size, dtype) for size in sizes]
    expected = [
        updated_stochastically(a, v, 0.9, KEY) for a, v in zip(averages, variables, strict=True)
    ]
    for threads, chunk_elements in [(1, 8192), (2, 8192), (8, 8192), (5, 13), (1, 2**20)]:
        received = [average.copy() for average in averages]
        _native.apply_stochastic_average(
            [received[::-1]], variables[::-1], [rate_of(0.9)], [KEY], level, threads, chunk_elements
        )
        for average, value in zip(received, expected, strict=True):
            assert_same_bits(average, value)


@level
@half
@pytest.mark.parametrize("count", [2, 3, 4])
def test_several_averages_draw_by_their_own_keys(level, dtype, count, rng):
    start = normal(rng, 9000, dtype)
    averages = [[start.copy()] for _ in range(count)]
    variables = [normal(rng, 9000, dtype)]
    keys = [(3, 8, index) for index in range(count)]
    expected = [updated_stochastically(start, variables[0], 0.99, key) for key in keys]
    rates = [rate_of(0.99)] * count
    _native.apply_stochastic_average(averages, variables, rates, keys, level, threads=2)
    for (average,), value in zip(averages, expected, strict=True):
        assert_same_bits(average, value)
    for one, other in itertools.combinations(averages, 2):
        assert np.mean(one[0] != other[0]) > 0.2


@level
@half
@pytest.mark.parametrize("size", ALMOST_VECTORS)
def test_update_writes_nothing_beside_its_range(level, dtype, size, rng):
    memory = normal(rng, 100, dtype)
    expected = memory.copy()
    variables = normal(rng, size, dtype)
    chosen = slice(30, 30 + size)
    expected[chosen] = updated_stochastically(memory[chosen], variables, 0.5, KEY)
    _native.apply_stochastic_average([[memory[chosen]]], [variables], [rate_of(0.5)], [KEY], level)
    assert_same_bits(memory, expected)


@level
@half
@pytest.mark.parametrize("size", SIZES)
def test_a_rate_of_1_copies_and_one_of_0_keeps_whatever_the_bits(level, dtype, size, rng):
    averages = [[patterns(rng, size, dtype)] for _ in range(3)]
    variables = [patterns(rng, size, dtype)]
    before = [side[0].copy() for side in averages]
    _native.apply_stochastic_average(averages, variables, [1.0, 0.0, 1.0], [KEY] * 3, level)
    for received, value in zip(averages, [variables[0], before[1], variables[0]], strict=True):
        assert_same_bits(received[0], value)


@half
@given(data=st.data())
def test_all_levels_agree_to_the_bit_on_any_bits(dtype, data):
    average, variable = (data.draw(hnp.arrays(np.uint16, 50)).view(dtype) for _ in range(2))
    decay = data.draw(st.floats(0, 1, width=32))
    key = data.draw(st.tuples(*[st.integers(-(2**63), 2**63 - 1)] * 3))
    with np.errstate(all="ignore"):
        expected = updated_stochastically(average, variable, decay, key)
    results = []
    for each in LEVELS:
        received = average.copy()
        _native.apply_stochastic_average([[received]], [variable], [rate_of(decay)], [key], each)
        results.append(received)
    for received in results[1:]:
        assert_same_bits(received, results[0])
    is_nan = np.isnan(expected.astype(FLOAT32))
    np.testing.assert_array_equal(np.isnan(results[0].astype(FLOAT32)), is_nan)
    assert_same_bits(results[0][~is_nan], expected[~is_nan])


@level
@half
def test_float32_numbers_of_every_size_round_alike_in_vectors(level, dtype):
    # Of products with these rates, which have all exponents and many bits.
    size = 2**16
    variables = np.arange(size, dtype=np.uint16).view(dtype)
    variables = variables[np.isfinite(variables.astype(FLOAT32))]
    for rate in (0.75, 2.0**-9, 2.0**-20, 1 - 2.0**-24, 1e-30):
        averages = np.zeros_like(variables)
        words = random_bits(KEY, variables.size)
        zero = np.float32(0)
        moved = zero - (zero - variables.astype(FLOAT32)) * np.float32(rate)
        expected = rounded(moved, words, dtype)
        _native.apply_stochastic_average([[averages]], [variables], [rate], [KEY], level)
        assert_same_bits(averages, expected)


@level
@half
@pytest.mark.parametrize("seed", [0, 1])
def test_small_steps_arrive_in_the_mean(level, dtype, seed):
    # From 1 towards 2 at decay 0.999: the nearest bfloat16 stays at 1, and so does no mean.
    steps, size = 1000, 20_000
    exact = 1.0
    rate = rate_of(0.999)
    averages, variables = np.ones(size, dtype), np.full(size, 2, dtype)
    nearest = np.ones(size, dtype)
    for step in range(1, steps + 1):
        _native.apply_stochastic_average(
            [[averages]], [variables], [rate], [(seed, step, 0)], level
        )
        _native.apply_moving_average([[nearest]], [variables], [rate], level)
        exact -= (exact - 2) * float(rate)
    assert exact == pytest.approx(1.6323045752290364, abs=1e-5)
    found = averages.astype(FLOAT64)
    assert abs(found.mean() - exact) < 4 * found.std() / np.sqrt(size)
    assert 0 < found.std() < (0.06 if dtype == BFLOAT16 else 0.01)
    if dtype == BFLOAT16:
        assert (nearest == 1).all()


def test_only_half_precision_is_taken(rng):
    arrays = [normal(rng, 4, FLOAT32) for _ in range(2)]
    with pytest.raises(TypeError, match="Only averages in half precision"):
        _native.apply_stochastic_average([arrays[:1]], arrays[1:], [0.5], [KEY], LEVELS[0])
    halves = [normal(rng, 4, FLOAT16) for _ in range(2)]
    with pytest.raises(ValueError, match="a key for each list"):
        _native.apply_stochastic_average([halves[:1]], halves[1:], [0.5], [], LEVELS[0])


def test_the_oracle_has_both_neighbours():
    numbers = np.array([1 + 2.0**-11, -(2.0**-25), 2.0**-26], FLOAT32)
    low, high = np.zeros(3, np.uint32), np.full(3, 2**32 - 1, np.uint32)
    np.testing.assert_array_equal(
        rounded(numbers, low, FLOAT16), [1 + 2.0**-10, -(2.0**-24), 2.0**-24]
    )
    np.testing.assert_array_equal(rounded(numbers, high, FLOAT16), [1, 0, 0])
    assert set(SMALLEST) == set(HALVES)
