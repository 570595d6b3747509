"""The chunk plan: every element is covered once, however the chunks are divided."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tf_mavg import _native


def covered(sizes: list[int], chunk_elements: int, cuts: list[int]) -> list[np.ndarray]:
    """How often each element is visited when the chunks are taken in ranges between the cuts."""
    visits = [np.zeros(size, int) for size in sizes]
    for begin, end in itertools.pairwise(cuts):
        for position, offset, count in _native.chunk_spans(sizes, chunk_elements, begin, end):
            assert count > 0
            visits[position][offset : offset + count] += 1
    return visits


@given(
    sizes=st.lists(st.integers(0, 100), min_size=1, max_size=20),
    chunk_elements=st.integers(1, 40),
    data=st.data(),
)
def test_any_division_of_the_chunks_visits_each_element_once(sizes, chunk_elements, data):
    chunks = _native.chunk_count(sizes, chunk_elements)
    inner = data.draw(st.lists(st.integers(0, chunks), max_size=5))
    for visits in covered(sizes, chunk_elements, sorted([0, *inner, chunks])):
        assert (visits == 1).all()


@given(counts=st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_a_chunk_belongs_to_the_position_that_owns_it(counts):
    # The kernels of a GPU rely on this search alone; spans repair a position too early.
    first_chunk = [0, *itertools.accumulate(counts)]
    found = [_native.position_of_chunk(first_chunk, chunk) for chunk in range(first_chunk[-1])]
    assert found == [position for position, count in enumerate(counts) for _ in range(count)]


def test_a_search_has_64_bits():
    first_chunk = [0, 2**40, 2**40, 2**40 + 1]
    assert _native.position_of_chunk(first_chunk, 2**40 - 1) == 0
    assert _native.position_of_chunk(first_chunk, 2**40) == 2


@pytest.mark.parametrize(("first_chunk", "chunk"), [([], 0), ([0], 0), ([0, 2], 2), ([0, 2], -1)])
def test_a_chunk_that_no_position_owns_is_refused(first_chunk, chunk):
    with pytest.raises(ValueError, match="chunk must be at least 0 and below the last number"):
        _native.position_of_chunk(first_chunk, chunk)


@pytest.mark.parametrize(
    ("size", "chunks"), [(0, 0), (1, 1), (9, 1), (10, 1), (11, 2), (20, 2), (21, 3)]
)
def test_chunks_of_one_position(size, chunks):
    assert _native.chunk_count([size], 10) == chunks


def test_a_span_joins_the_neighbouring_chunks_of_a_position_and_ends_with_it():
    assert _native.chunk_spans([25, 0, 5], 10, 0, 4) == [(0, 0, 25), (2, 0, 5)]
    assert _native.chunk_spans([25, 0, 5], 10, 1, 2) == [(0, 10, 10)]
    assert _native.chunk_spans([25, 0, 5], 10, 2, 4) == [(0, 20, 5), (2, 0, 5)]


def test_empty_positions_own_no_chunk():
    assert _native.chunk_count([0, 0], 8) == 0
    assert _native.chunk_spans([0, 0], 8, 0, 10) == []
    assert _native.chunk_spans([0, 3, 0], 8, 0, 1) == [(1, 0, 3)]


def test_sizes_are_64_bits_wide():
    huge = 2**40 + 1
    chunks = _native.chunk_count([huge, 7], 8192)
    assert chunks == 2**27 + 2
    assert _native.chunk_spans([huge, 7], 8192, chunks - 2, chunks) == [(0, 2**40, 1), (1, 0, 7)]
