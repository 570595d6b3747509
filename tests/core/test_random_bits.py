"""The random bits of stochastic rounding: whose they are, and that they are random."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tf_mavg import _native
from tf_mavg_check.reference import random_bits

INT64 = st.integers(-(2**63), 2**63 - 1)
SIZE = 2**16
# Ways to go from one word to the next, each with a function that makes `SIZE` of them.
WAYS = {
    "elements": lambda: _native.random_bits((7, 1, 0), 0, SIZE),
    "updates": lambda: np.concatenate([_native.random_bits((7, n, 0), 5, 1) for n in range(SIZE)]),
    "seeds": lambda: np.concatenate([_native.random_bits((n, 1, 0), 5, 1) for n in range(SIZE)]),
    "averages": lambda: np.stack(
        [_native.random_bits((7, 1, n), 0, SIZE // 4) for n in range(4)], 1
    ).ravel(),
    "upper halves of offsets": lambda: np.concatenate(
        [_native.random_bits((7, 1, 0), n << 32, 1) for n in range(SIZE)]
    ),
    "one element of updates of many": lambda: np.stack(
        [_native.random_bits((0, n, 0), 0, 256) for n in range(SIZE // 256)], 1
    ).ravel(),
}


@pytest.fixture(scope="module", params=WAYS.values(), ids=WAYS)
def words(request):
    """The words of a way."""
    return request.param()


def assert_uniform(values, count):
    """Asserts that whole numbers below `count` occur equally often: chi-squared, at 5 sigma."""
    found = np.bincount(values, minlength=count)
    expected = len(values) / count
    chi_squared = np.sum((found - expected) ** 2) / expected
    freedom = count - 1
    assert abs(chi_squared - freedom) < 5 * np.sqrt(2 * freedom)


@given(key=st.tuples(INT64, INT64, INT64), offset=st.integers(0, 2**62))
def test_the_words_are_those_of_the_formula(key, offset):
    size = 1 + (2**32 - offset % 2**32 - 1) % 50
    received = _native.random_bits(key, offset, size)
    np.testing.assert_array_equal(received, random_bits(key, size, offset))


def test_words_go_on_beyond_offsets_of_32_bits():
    received = _native.random_bits((1, 2, 3), 2**32 - 3, 6)
    before, after = random_bits((1, 2, 3), 3, 2**32 - 3), random_bits((1, 2, 3), 3, 2**32)
    np.testing.assert_array_equal(received, [*before, *after])
    assert (received[3:] != _native.random_bits((1, 2, 3), 0, 3)).all()


def test_every_byte_is_uniform(words):
    found = words
    for byte in range(4):
        assert_uniform(found >> np.uint32(8 * byte) & np.uint32(0xFF), 256)


@pytest.mark.parametrize("lag", [1, 2, 3, 16])
def test_words_that_follow_each_other_are_independent(words, lag):
    high = (words >> np.uint32(28)).astype(np.int64)
    assert_uniform(high[:-lag] * 16 + high[lag:], 256)


def test_each_bit_is_independent_of_each_bit_of_the_next_word(words):
    found = words
    bits = (found[:, None] >> np.arange(32, dtype=np.uint32) & np.uint32(1)) * 2.0 - 1
    correlations = bits[:-1].T @ bits[1:] / np.sqrt(len(bits) - 1)
    assert np.abs(correlations).max() < 5  # Of 1,024 normal numbers.
