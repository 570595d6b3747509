"""Whether arrays are finite, on the CPU: every level and dtype, wherever the one that is not is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from levels import level
from oracle import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    SAME_DTYPES,
    SIZES,
    extreme,
    infinite,
    is_finite,
    normal,
)

from tf_mavg import _native

dtype = pytest.mark.parametrize("dtype", SAME_DTYPES, ids=str)


def places(size: int) -> list[int]:
    """Positions in an array: all lanes of vectors at both ends, and the edges of blocks within."""
    edges = (block + i for block in range(0, size, 512) for i in (-1, 0, 1))
    chosen = {*range(min(size, 70)), *range(max(size - 70, 0), size), *edges}
    return sorted(i for i in chosen if 0 <= i < size)


@level
@dtype
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("offset", [0, 1], ids=["aligned", "unaligned"])
def test_what_is_not_finite_is_found_wherever_it_is(level, dtype, size, offset):
    memory = np.resize(extreme(dtype), size + 2)
    array = memory[offset : size + offset]
    memory[:offset] = memory[size + offset :] = np.nan  # Beside the array, and not looked at.
    assert _native.all_finite([array], level)
    before = array.copy()
    for place in places(size):
        array[place] = infinite(dtype)[place % 6]
        assert not _native.all_finite([array], level), place
        array[place] = before[place]
    np.testing.assert_array_equal(array, before)


@level
@dtype
def test_every_kind_of_number(level, dtype):
    for value in extreme(dtype):
        assert _native.all_finite([np.full(5, value)], level), value
    for value in infinite(dtype):
        assert not _native.all_finite([np.full(1, value)], level), value


@level
@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=str)
def test_every_number_of_half_precision(level, dtype):
    numbers = np.arange(2**16, dtype=np.uint16).view(dtype)
    found = [_native.all_finite([numbers[i : i + 1]], level) for i in range(numbers.size)]
    np.testing.assert_array_equal(found, is_finite(numbers))


@level
@dtype
@given(data=st.data())
def test_any_bits(level, dtype, data):
    bits = data.draw(hnp.arrays(np.uint8, dtype.itemsize * data.draw(st.integers(0, 40))))
    array = bits.view(dtype)
    assert _native.all_finite([array], level) == is_finite(array).all()


@level
@dtype
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_one_of_thousands_of_arrays(level, dtype, threads, rng):
    arrays = [normal(rng, size, dtype) for size in rng.integers(0, 200, 3000)]

    def all_finite() -> bool:
        return _native.all_finite(arrays, level, threads=threads, chunk_elements=16)

    assert all_finite()
    filled = [i for i, array in enumerate(arrays) if array.size]
    for i in [filled[0], filled[-1], *rng.choice(filled, 50)]:
        place = rng.integers(arrays[i].size)
        kept = arrays[i][place]
        arrays[i][place] = np.inf
        assert not all_finite()
        arrays[i][place] = kept
    assert all_finite()


@level
def test_arrays_without_elements_are_finite(level):
    assert _native.all_finite([np.zeros(0, FLOAT32)] * 3, level)


def test_arrays_that_no_kernel_serves_are_refused():
    four = np.zeros(4, FLOAT32)
    with pytest.raises(TypeError, match="No kernel averages int32 in int32"):
        _native.all_finite([four.astype(np.int32)], "baseline")
    with pytest.raises(ValueError, match="of one dtype a list"):
        _native.all_finite([four, four.astype(FLOAT16)], "baseline")
    with pytest.raises(ValueError, match="at least 1"):
        _native.all_finite([], "baseline")
