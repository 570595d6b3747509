"""The GPU kernels on rows, against the CPU kernels; on the GPU that gpu.py lends."""

import numpy as np
import pytest
from gpu_arrays import assert_same_numbers
from oracle import AVERAGE_DTYPES, FLOAT32, assert_same_bits, dtypes_id, normal, patterns, rate_of

from tf_mavg import _native

TABLES_A_LAUNCH = 46
pytestmark = pytest.mark.gpu
average_dtypes = pytest.mark.parametrize("dtypes", AVERAGE_DTYPES, ids=dtypes_id)
# Elements of a row: around packs of 16 bytes of each dtype, and around what a warp takes at once.
WIDTHS = (0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 127, 128, 129, 257, 513)


@pytest.fixture
def rng():
    """A generator of the same numbers in every run, also where conftest.py has no part."""
    return np.random.default_rng(20)


def clock_of(rates, capacity=64):
    clock = _native.row_clock(capacity)
    clock.fill(0)
    for rate in rates:
        assert _native.advance_row_clock(clock, rate)
    return clock


def table_of(rng, shape, dtypes=(FLOAT32, FLOAT32), clock=None, values=normal):
    """Average, variable, counters and clock, with rows that have seen 0 to all of the steps."""
    clock = clock_of([rate_of(0.9), 0.5, rate_of(0.999), 0.25]) if clock is None else clock
    seen = rng.integers(0, int(clock[0]) + 1, shape[0])
    size = int(np.prod(shape))
    arrays = [values(rng, size, dtype).reshape(shape) for dtype in dtypes]
    return (*arrays, seen, clock.copy())


def copies(tables):
    return [tuple(array.copy() for array in table) for table in tables]


def assert_same_tables(received, expected):
    for one, other in zip(received, expected, strict=True):
        assert_same_numbers(one[0], other[0])
        for array, wanted in zip(one[1:], other[1:], strict=True):
            assert_same_bits(array, wanted)


def check_catch_up(tables, indices, offsets=(0, 0, 0), known=None):
    """Asserts that the rows are what the CPU makes of those of `known`, by default of them all."""
    expected = copies(tables)
    for table, rows in zip(expected, known or indices, strict=True):
        _native.catch_up_rows(*table, rows, "baseline")
    _native.gpu_catch_up_rows(tables, indices, offsets)
    assert_same_tables(tables, expected)


def check_catch_up_all(tables, offsets=(0, 0, 0)):
    expected = copies(tables)
    for table in expected:
        _native.catch_up_all_rows(*table, "baseline")
    _native.gpu_catch_up_all_rows(tables, offsets)
    assert_same_tables(tables, expected)


def check_advance(tables, rate):
    expected = copies(tables)
    for table in expected:
        if rate != 0 and not _native.advance_row_clock(table[3], rate):
            _native.catch_up_all_rows(*table, "baseline")
            assert _native.advance_row_clock(table[3], rate)
    _native.gpu_advance_row_clocks(tables, rate)
    assert_same_tables(tables, expected)


@average_dtypes
@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_rows_of_any_width(dtypes, index_dtype, rng):
    tables = [table_of(rng, (41, width), dtypes) for width in WIDTHS]
    # In no order, some of them several times.
    indices = [rng.integers(0, 41, 37).astype(index_dtype) for _ in tables]
    check_catch_up(tables, indices)
    check_catch_up_all(tables)


@average_dtypes
@pytest.mark.parametrize("offsets", [(1, 0, 0), (0, 1, 0), (1, 1, 1), (3, 2, 0)], ids=str)
def test_addresses_that_are_no_multiples_of_16(dtypes, offsets, rng):
    tables = [table_of(rng, (9, width), dtypes) for width in (1, 4, 8, 24, 33, 512)]
    indices = [rng.integers(0, 9, 7) for _ in tables]
    sizes = dtypes[0].itemsize, dtypes[1].itemsize, indices[0].itemsize
    shifts = [offset * size for offset, size in zip(offsets, sizes, strict=True)]
    check_catch_up(tables, indices, shifts)
    check_catch_up_all(tables, shifts)


@pytest.mark.parametrize("rows", [0, 1, 255, 256, 257, 70_000])
def test_any_number_of_rows(rows, rng):
    table = table_of(rng, (rows, 1))
    check_catch_up([table], [rng.permutation(rows)[: rows - rows // 3]])
    check_catch_up_all([table])


def test_a_list_may_be_empty_and_of_any_shape(rng):
    tables = [table_of(rng, (6, 5)) for _ in range(3)]
    check_catch_up(tables, [np.array([], np.int64), np.array([[5, 0], [5, 2]]), np.array(3)])


def test_a_row_that_is_named_by_many_moves_once(rng):
    table = table_of(rng, (5, 300))
    check_catch_up([table], [rng.integers(0, 5, 4000)])


def test_several_tables_of_one_launch_and_of_several(rng):
    for count in (TABLES_A_LAUNCH, TABLES_A_LAUNCH + 1, 2 * TABLES_A_LAUNCH + 3):
        tables = [
            table_of(rng, shape, clock=clock_of([0.5] * rng.integers(0, 4), 3))
            for shape in rng.integers(0, 40, (count, 2)).tolist()
        ]
        check_catch_up(tables, [rng.integers(0, max(len(t[2]), 1), len(t[2]) // 2) for t in tables])
        check_advance(tables, 0.125)  # Some clocks are full.
        check_catch_up_all(tables)


@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_an_index_of_no_row_is_passed_over(index_dtype, rng):
    table = table_of(rng, (6, 5))
    limits = np.iinfo(index_dtype)
    known = np.array([3, 0, 5], index_dtype)
    indices = np.array([3, -1, 0, 6, 5, limits.min, limits.max], index_dtype)
    check_catch_up([table], [indices], known=[known])


@average_dtypes
def test_whatever_the_bits(dtypes, rng):
    for rates in ([0.5], [0.5, 1.0], [1.0, 0.5], [rate_of(0.9999)] * 3, [1 - 2.0**-24] * 3):
        table = table_of(rng, (40, 33), dtypes, clock_of(rates), patterns)
        check_catch_up([table], [rng.integers(0, 40, 30)])
        check_catch_up_all([table])


def test_clocks_have_the_same_bits(rng):
    rates = [0.0, 1.0, 0.5, 1 / 64, 2.0**-24, 1e-45, 1 - 2.0**-24, rate_of(0.7071067811865476)]
    table = table_of(rng, (3, 2), clock=clock_of([], 300))
    for rate in [*rates, *rng.uniform(0, 1, 60), *10.0 ** rng.uniform(-9, 0, 60)]:
        check_advance([table], rate)
    check_catch_up_all([table])


@pytest.mark.parametrize("rate", [0.0, 0.25, 1.0])
def test_a_full_clock_starts_anew_unless_nothing_moves(rate, rng):
    full, other = (table_of(rng, (50, 7), clock=clock_of([0.5] * 3, n)) for n in (3, 4))
    check_advance([full, other], rate)
    assert [full[3][0], other[3][0]] == {0.0: [3, 3]}.get(rate, [1, 4])


@average_dtypes
def test_random_steps(dtypes, rng):
    tables = [table_of(rng, (30, width), dtypes, clock_of([], 7)) for width in (3, 16)]
    for _ in range(60):
        check_catch_up(tables, [rng.integers(0, 30, rng.integers(0, 6)) for _ in tables])
        for table in tables:
            table[1][rng.integers(0, 30, 2)] += 1
        check_advance(tables, rng.choice([0.1, 0.001, 1.0, 0.0], p=[0.6, 0.2, 0.1, 0.1]))
