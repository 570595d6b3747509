"""The ops on averages of which only some rows are touched."""

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
    assert rows.are_up_to_date(table, [1, 4])
    assert not rows.are_up_to_date(table, [1, 2])
    assert not rows.are_up_to_date(table)


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
    assert rows.are_up_to_date(table)
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
