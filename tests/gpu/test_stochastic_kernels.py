"""The GPU kernels of stochastic rounding, against the CPU kernels; on the GPU that gpu.py lends."""

import numpy as np
import pytest
from gpu_arrays import assert_same_numbers, sizes_around_boundaries
from oracle import FLOAT16, assert_same_bits, normal, patterns, rate_of

from tf_mavg import _native
from tf_mavg_check.reference import HALVES, LARGEST

pytestmark = pytest.mark.gpu
half = pytest.mark.parametrize("dtype", HALVES, ids=str)


@pytest.fixture
def rng():
    """A generator of the same numbers in every run, also where conftest.py has no part."""
    return np.random.default_rng(20)


def keys_of(count, update=8):
    return [(-3, update, index) for index in range(count)]


def on_both(averages, variables, decays, keys=None, offsets=()):
    """The averages after an update on the CPU and on the GPU, by lists."""
    rates, keys = [rate_of(decay) for decay in decays], keys or keys_of(len(averages))
    expected = [[average.copy() for average in side] for side in averages]
    _native.apply_stochastic_average(expected, variables, rates, keys, "baseline")
    received = [[average.copy() for average in side] for side in averages]
    _native.gpu_apply_stochastic_average(received, variables, rates, keys, "small", offsets)
    return [list(zip(*sides, strict=True)) for sides in zip(expected, received, strict=True)]


@half
@pytest.mark.parametrize("offsets", [(0, 0), (1, 0), (0, 1), (1, 1), (3, 2)], ids=str)
def test_update(dtype, offsets, rng):
    sizes = sizes_around_boundaries(_native.GPU_CHUNK_BYTES // 2)
    averages, variables = ([normal(rng, size, dtype) for size in sizes] for _ in range(2))
    before = [variable.copy() for variable in variables]
    shifted = [2 * offset for offset in offsets]
    (pairs,) = on_both([averages], variables, [0.99], offsets=shifted)
    for expected, received in pairs:
        assert_same_bits(received, expected)
    for variable, value in zip(variables, before, strict=True):
        assert_same_bits(variable, value)


@half
@pytest.mark.parametrize("count", [2, 3, 4])
def test_several_averages_draw_by_their_own_keys(dtype, count, rng):
    size = 2 * _native.GPU_CHUNK_BYTES // 2 + 5
    start = normal(rng, size, dtype)
    variables = [normal(rng, size, dtype)]
    lists = on_both([[start]] * count, variables, [0.9, 0.99, 0.5, 0.999][:count])
    for ((expected, received),) in lists:
        assert_same_bits(received, expected)
    ((first, _),), ((second, _),) = on_both([[start]] * 2, variables, [0.9, 0.9])
    assert np.mean(first != second) > 0.2


@half
def test_updates_and_seeds_draw_anew(dtype, rng):
    start, variables = normal(rng, 20_000, dtype), [normal(rng, 20_000, dtype)]
    found = [
        on_both([[start]], variables, [0.9], [key])[0][0][1]
        for key in [(0, 1, 0), (0, 2, 0), (1, 1, 0), (0, 1, 1)]
    ]
    for i, one in enumerate(found):
        for other in found[:i]:
            assert np.mean(one != other) > 0.2


@half
@pytest.mark.parametrize("decay", [0.5, 0.9999])
def test_update_of_any_bits(dtype, decay, rng):
    ((expected, received),) = on_both(
        [[patterns(rng, 20_000, dtype)]], [patterns(rng, 20_000, dtype)], [decay]
    )[0]
    assert_same_numbers(received, expected)


@half
@pytest.mark.parametrize("rate", [0.75, 2.0**-9, 2.0**-20, 1 - 2.0**-24, 1e-30])
def test_float32_numbers_of_every_size(dtype, rate):
    variables = [np.arange(2**16, dtype=np.uint16).view(dtype)]
    averages = [[np.zeros(2**16, dtype)]]
    ((expected, received),) = on_both(averages, variables, [1 - np.float64(rate)])[0]
    assert_same_numbers(received, expected)


@half
def test_what_would_overflow_goes_to_the_nearest(dtype, rng):
    # At a rate of 1.25, which nobody checks here, averages end up to a step beyond the largest.
    largest, step = LARGEST[dtype]
    variables = [rng.choice([largest, -largest, np.inf], 20_000).astype(dtype)]
    below = rng.integers(0, 5, 20_000) * step
    averages = [[(np.sign(variables[0].astype(float)) * (largest - below)).astype(dtype)]]
    ((expected, received),) = on_both(averages, variables, [-0.25])[0]
    assert_same_numbers(received, expected)
    assert 0.1 < np.mean(np.abs(received.astype(float)) == largest) < 0.9


@half
def test_a_rate_of_1_copies_and_one_of_0_keeps_whatever_the_bits(dtype, rng):
    averages = [[patterns(rng, 20_000, dtype)] for _ in range(2)]
    variables = [patterns(rng, 20_000, dtype)]
    kept = averages[1][0].copy()
    _native.gpu_apply_stochastic_average(averages, variables, [1.0, 0.0], keys_of(2), "small")
    assert_same_bits(averages[1][0], kept)
    assert_same_bits(averages[0][0], variables[0])


def test_the_mean_over_updates_is_the_exact_one():
    averages, variables = [[np.ones(4096, FLOAT16)]], [np.full(4096, 2, FLOAT16)]
    for update in range(1, 41):  # Of steps that the nearest rounding would not take.
        _native.gpu_apply_stochastic_average(
            averages, variables, [2.0**-13], keys_of(1, update), "small"
        )
    found = averages[0][0].astype(np.float64)
    exact = 2 - (1 - 2.0**-13) ** 40
    assert abs(found.mean() - exact) < 4 * found.std() / 64
