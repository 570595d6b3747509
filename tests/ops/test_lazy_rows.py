"""The ops on averages of which only some rows are touched."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from oracle import AVERAGE_DTYPES, FLOAT32, assert_same_bits, dtypes_id, normal, updated

from tf_mavg._ops import rows


def make_table(rng, shape=(6, 3), dtypes=(FLOAT32, FLOAT32), capacity=8):
    average = tf.Variable(normal(rng, shape, dtypes[0]), name="table/average")
    variable = tf.Variable(normal(rng, shape, dtypes[1]), name="table")
    return rows.make_row_table(average, variable, capacity)


def advance(table, rate=0.25):
    rows.advance_row_clocks([table], tf.constant(rate))


def is_caught_up(table, indices):
    try:
        rows.check_caught_up([table], [indices], ["Not so."])
    except RuntimeError:
        return False
    return True


WAYS = {"eager": lambda f: f, "function": tf.function}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@ways
@pytest.mark.parametrize("dtypes", AVERAGE_DTYPES, ids=dtypes_id)
@pytest.mark.parametrize("index_dtype", [tf.int32, tf.int64], ids=lambda dtype: dtype.name)
def test_rows_see_a_step(way, dtypes, index_dtype, rng):
    table = make_table(rng, dtypes=dtypes)
    expected = table.average.numpy()
    expected[[1, 4]] = updated(expected, table.variable.numpy(), 0.75)[[1, 4]]

    @way
    def step():
        advance(table)
        rows.catch_up_rows([table], [tf.constant([[4, 1], [4, 4]], index_dtype)])

    step()
    assert_same_bits(table.average.numpy(), expected)
    assert table.seen.numpy().tolist() == [0, 1, 0, 0, 1, 0]
    assert is_caught_up(table, [1, 4])
    assert not is_caught_up(table, [1, 2])
    assert not is_caught_up(table, None)


@ways
def test_all_rows_see_all_steps(way, rng):
    table = make_table(rng)
    expected = updated(table.average.numpy(), table.variable.numpy(), 0.75)

    @way
    def step():
        advance(table)
        rows.catch_up_rows([table], [[0, 1]])
        rows.catch_up_all_rows([table])

    step()
    assert_same_bits(table.average.numpy(), expected)
    assert is_caught_up(table, None)
    assert not table.seen.numpy().any()


def test_several_tables_of_several_dtypes_in_one_call(rng):
    tables = [make_table(rng, (4, n), dtypes) for n in (1, 2) for dtypes in AVERAGE_DTYPES]
    expected = [updated(t.average.numpy(), t.variable.numpy(), 0.75) for t in tables]
    rows.advance_row_clocks(tables, tf.constant(0.25))
    rows.catch_up_rows(tables, [[i % 4] for i in range(len(tables))])
    for i, (table, value) in enumerate(zip(tables, expected, strict=True)):
        assert_same_bits(table.average.numpy()[i % 4], value[i % 4])
        assert table.seen.numpy().sum() == 1


def test_a_full_clock_starts_anew(rng):
    table = make_table(rng, capacity=2)
    expected = table.average.numpy()
    for n in range(5):
        advance(table)
        assert table.clock[0] == 1 + n % 2
        expected = updated(expected, table.variable.numpy(), 0.75)
    rows.catch_up_all_rows([table])
    np.testing.assert_allclose(table.average, expected, atol=1e-6)


def test_a_reader_keeps_the_value_that_it_read(rng):
    table = make_table(rng)
    advance(table)
    read = table.average.read_value()
    before = read.numpy().copy()
    rows.catch_up_all_rows([table])
    assert_same_bits(read.numpy(), before)
    assert not np.array_equal(table.average, before)


@pytest.mark.cpu  # A GPU cannot tell the host.
@pytest.mark.parametrize("index", [-1, 6])
def test_an_index_of_no_row_is_refused_and_nothing_changes(index, rng):
    table, other = make_table(rng), make_table(rng)
    rows.advance_row_clocks([table, other], tf.constant(0.25))
    before = [t.average.numpy() for t in (table, other)]
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match=rf"those of the 6 rows of variable 1 \('table.*'\). Received: {index}\.",
    ):
        rows.catch_up_rows([table, other], [[0], [1, index]])
    for one, value in zip((table, other), before, strict=True):
        assert_same_bits(one.average.numpy(), value)
        assert not one.seen.numpy().any()


@pytest.mark.gpu
@ways
def test_a_gpu_passes_over_an_index_of_no_row(way, rng):
    table = make_table(rng)
    expected = table.average.numpy()
    expected[[1, 4]] = updated(expected, table.variable.numpy(), 0.75)[[1, 4]]

    @way
    def step():
        advance(table)
        rows.catch_up_rows([table], [tf.constant([4, -1, 1, 6])])

    step()
    assert_same_bits(table.average.numpy(), expected)
    assert table.seen.numpy().tolist() == [0, 1, 0, 0, 1, 0]


@pytest.mark.cpu  # The rate lies in the GPU's memory.
@pytest.mark.parametrize("rate", [-0.1, 1.1, np.nan])
def test_a_rate_outside_of_its_interval_is_refused(rate, rng):
    table = make_table(rng)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"decay must be in \[0, 1\]"):
        advance(table, rate)
    assert table.clock[0] == 0


REFUSED = {
    "variable 0 .'scalar.*'. must have rows": lambda t: t._replace(
        average=tf.Variable(1.0), variable=tf.Variable(1.0, name="scalar")
    ),
    "row counter 0 .* must have a number for each of the 6 rows": lambda t: t._replace(
        seen=tf.Variable(tf.zeros([5], tf.int64))
    ),
    "row counter 0 .* must be int64": lambda t: t._replace(
        seen=tf.Variable(tf.zeros([6], tf.float32))
    ),
    "clock 0 .* must have room for a step": lambda t: t._replace(
        clock=tf.Variable(tf.zeros([4], tf.float64))
    ),
    "average 0 .* must have the shape of variable 0": lambda t: t._replace(
        average=tf.Variable(tf.zeros([6, 4]))
    ),
    "all variables must be distinct": lambda t: t._replace(average=t.variable),
}


@pytest.mark.parametrize("words", REFUSED)
def test_tables_that_do_not_fit_are_refused(words, rng):
    table = REFUSED[words](make_table(rng))
    for refused in (
        lambda: rows.catch_up_rows([table], [[0]]),
        lambda: rows.catch_up_all_rows([table]),
        lambda: advance(table),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=words):
            refused()


@ways
@pytest.mark.parametrize("wrong", [None, 0, 1, 2, 3])
def test_a_check_names_the_table_whose_rows_are_behind(way, wrong, rng):
    """Of two whose rows are named, by int32 and int64, one that is whole, and one without rows."""
    tables = [make_table(rng), make_table(rng), make_table(rng), make_table(rng)]
    rows.advance_row_clocks(tables[:2] + tables[3:], tf.constant(0.25))
    rows.catch_up_rows(tables[:2], [[1, 2], [3]])
    named = [tf.constant([1, 2]), None, tf.constant([[3], [3]], tf.int64), tf.zeros([0], tf.int32)]
    given = [tables[0], tables[2], tables[1], tables[3]]
    if wrong == 1:
        advance(tables[2])
    elif wrong is not None:
        named[wrong] = tf.constant([1, 2, 0])
    refusals = [f"Table {i} is behind." for i in range(4)]

    @way
    def check():
        with tf.control_dependencies(rows.check_caught_up(given, named, refusals)):
            return tf.constant(1)

    if wrong is None:
        assert check() == 1
        return
    # An eager refusal has no other words.
    error, end = (RuntimeError, "$") if way is WAYS["eager"] else (tf.errors.OpError, "")
    with pytest.raises(error, match=rf"Table {wrong} is behind\.{end}"):
        check()


@pytest.mark.cpu  # The ops do not pass over memory of a GPU.
@pytest.mark.parametrize("index", [-1, 6])
def test_a_check_refuses_an_index_of_no_row(index, rng):
    assert not is_caught_up(make_table(rng), [0, index])


@pytest.mark.cpu
def test_many_rows_with_many_duplicates_on_several_threads(rng):
    """More blocks than one, the last one not whole, and rows that many threads meet."""
    table = make_table(rng, (300, 64), capacity=200)
    expected = table.average.numpy()
    variable = table.variable.numpy()
    for n in range(100):
        advance(table)
        expected = updated(expected, variable, 0.75)
        indices = rng.integers(0, 300, [int(rng.integers(0, 20_000))])
        rows.catch_up_rows([table], [indices])
        written = np.unique(indices)
        assert (table.seen.numpy()[written] == n + 1).all()
        np.testing.assert_allclose(
            table.average.numpy()[written], expected[written], rtol=1e-5, atol=1e-5
        )


def memory_for_huge_pages():
    """How many bytes the system may back by huge pages because somebody asked for them."""
    total = size = 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, *values = line.split()
        if name == "Size:":
            size = 1024 * int(values[0])
        elif name == "VmFlags:" and "hg" in values:
            total += size
    return total


HUGE = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.cpu
@pytest.mark.skipif(
    not HUGE.exists() or "[never]" in HUGE.read_text(), reason="The system has no huge pages."
)
def test_a_large_table_gets_huge_pages(rng):
    large_ones = [tf.Variable(tf.random.uniform([200_000, 64])) for _ in range(2)]
    values = [one.numpy() for one in large_ones]
    small, large = make_table(rng), rows.make_row_table(*large_ones)
    before = memory_for_huge_pages()
    rows.advance_row_clocks([small, large], tf.constant(0.25))
    # All but what is less than a page, at both ends.
    assert memory_for_huge_pages() - before >= sum(value.nbytes - 2 * 2**21 for value in values)
    for one, value in zip(large_ones, values, strict=True):
        assert_same_bits(one.numpy(), value)
