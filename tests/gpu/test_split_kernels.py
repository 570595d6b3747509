"""The GPU kernels of split averages, against the CPU's; on the GPU that gpu.py lends."""

import numpy as np
import pytest
from oracle import BFLOAT16, FLOAT32, assert_same_bits, is_finite, normal, patterns, rate_of, split

from tf_mavg import _native

pytestmark = pytest.mark.gpu
form = pytest.mark.parametrize("form", ["small", "large"])
CHUNK = _native.GPU_CHUNK_BYTES // BFLOAT16.itemsize
SIZES = [0, 1, 7, 8, 9, 15, 16, 17, 1023, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5]
CAPACITY_OF_THREE_SIDES = 127  # Positions in a table of the small form.


@pytest.fixture
def rng():
    """A generator of the same numbers in every run, also where conftest.py has no part."""
    return np.random.default_rng(20)


@pytest.fixture
def form_on_gpu(form):
    """A form of the table that the device takes."""
    if form == "large" and _native.gpu_driver()["devices"][0]["form"] != "large":
        pytest.skip("driver or device take only 4,096 bytes of kernel parameters")
    return form


def halves_of(rng, sizes):
    """Normal numbers, split: the upper halves, and the remainders."""
    pairs = [split(normal(rng, size, FLOAT32)) for size in sizes]
    return [high for high, _ in pairs], [remainder for _, remainder in pairs]


def copies(sides):
    """The same lists of arrays of their own."""
    return [[array.copy() for array in side] for side in sides]


def assert_updates_agree(  # noqa: PLR0913, PLR0917 - as the function under test.
    highs, remainders, variables, rates, form, offsets=()
):
    """Asserts that the GPU makes of split averages what the CPU does."""
    expected = copies(highs), copies(remainders)
    _native.apply_split_moving_average(*expected, variables, rates, "baseline")
    before = copies([variables])
    _native.gpu_apply_split_moving_average(highs, remainders, variables, rates, form, offsets)
    for received, wanted in zip(
        [*highs, *remainders, variables], [*expected[0], *expected[1], *before], strict=True
    ):
        for one, other in zip(received, wanted, strict=True):
            assert_same_bits(one, other)


@form
@pytest.mark.parametrize("shifted", [None, 0, 1, 2])
def test_update(form_on_gpu, shifted, rng):
    highs, remainders = halves_of(rng, SIZES)
    variables = [normal(rng, size, BFLOAT16) for size in SIZES]
    offsets = [2 if side == shifted else 0 for side in range(3)]
    assert_updates_agree([highs], [remainders], variables, [rate_of(0.99)], form_on_gpu, offsets)


@form
@pytest.mark.parametrize("shifted", [None, 1, 3])
def test_two_averages_in_one_pass(form_on_gpu, shifted, rng):
    halves = [halves_of(rng, SIZES) for _ in range(2)]
    highs, remainders = map(list, zip(*halves, strict=True))
    variables = [normal(rng, size, BFLOAT16) for size in SIZES]
    rates = [rate_of(0.9), rate_of(0.999)]
    offsets = [2 if side == shifted else 0 for side in range(5)]
    assert_updates_agree(highs, remainders, variables, rates, form_on_gpu, offsets)


@pytest.mark.parametrize("decay", [0.5, 0.9999])
def test_update_of_any_numbers(decay, rng):
    # Denormal numbers and both zeros among them; NaNs are for the next test.
    averages = patterns(rng, 20000, FLOAT32)
    averages[~np.isfinite(averages)] = -0.0
    variables = np.resize(np.arange(2**16, dtype=np.uint16), averages.size).view(BFLOAT16).copy()
    variables[~is_finite(variables)] = 0
    high, remainder = split(averages)
    assert_updates_agree([[high]], [[remainder]], [variables], [rate_of(decay)], "small")


def test_a_nan_that_arithmetic_makes_has_no_remainder():
    averages = np.float32([np.inf, np.nan, 1.0, -np.inf, 2.0])
    variables = np.array([np.inf, 1.0, np.nan, -np.inf, 3.0], BFLOAT16)
    high, remainder = split(averages)
    _native.gpu_apply_split_moving_average(
        [[high]], [[remainder]], [variables], [rate_of(0.9)], "small"
    )
    np.testing.assert_array_equal(np.isnan(high.astype(FLOAT32)), [1, 1, 1, 1, 0])
    np.testing.assert_array_equal(remainder[:4], 0)


def test_a_rate_of_1_copies_and_one_of_0_keeps_whatever_the_bits(rng):
    highs = [[patterns(rng, 20000, BFLOAT16)] for _ in range(2)]
    remainders = [[patterns(rng, 20000, np.dtype(np.int16))] for _ in range(2)]
    variables = [patterns(rng, 20000, BFLOAT16)]
    assert_updates_agree(highs, remainders, variables, [1.0, 0.0], "small")


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_full_tables(extra, rng):
    sizes = rng.integers(1, 20, 2 * CAPACITY_OF_THREE_SIDES + extra).tolist()
    sizes.insert(100, 0)
    sizes[50] = 3 * CHUNK  # One position of many chunks among those of one.
    highs, remainders = halves_of(rng, sizes)
    variables = [normal(rng, size, BFLOAT16) for size in sizes]
    assert_updates_agree([highs], [remainders], variables, [rate_of(0.9)], "small")
