"""sparse="lazy": a step touches only the rows that are named, and averages are the dense ones."""

import copy

import numpy as np
import pytest
import tensorflow as tf
from emitted import ops_of, updates
from oracle import assert_same_bits
from rows import as_it_is

import tf_mavg
from tf_mavg import decays
from tf_mavg._ops import rows as row_ops

TOLERANCE = {"float32": 1e-6, "float64": 1e-12}
PACES = {
    "plain": {"decay": 0.99},
    "warm-up": {"decay": 0.99, "num_updates": tf.Variable(0, dtype=tf.int64)},
    "schedule": {"decay": decays.WarmUp(0.999)},
    "every and start": {"decay": 0.9, "every": 3, "start": 5},
    "several": {"decay": [0.9, decays.Constant(0.99)], "every": 2},
    "variable": {"decay": tf.Variable(0.95)},
}


class Twins:
    """A table and a dense variable, averaged lazily and, by another object, densely."""

    def __init__(self, dtype="float32", way="eager", **options: object) -> None:
        """Makes both, and a step."""
        self.table = tf.Variable(
            np.random.default_rng(1).normal(size=(40, 3)).astype(dtype), name="t"
        )
        self.dense = tf.Variable(tf.ones([4], dtype), name="d")
        self.variables = [self.table, self.dense]
        self.lazy = tf_mavg.ExponentialMovingAverage(**options, sparse="lazy")
        self.reference = tf_mavg.ExponentialMovingAverage(**options)
        for one in (self.lazy, self.reference):
            one.create_averages(self.variables)
        self.step = self._step
        if way == "function":
            signature = [tf.TensorSpec([None], tf.int64), tf.TensorSpec([None, 3], dtype)]
            self.step = tf.function(self._step, input_signature=signature)

    def _step(self, indices, updates):
        self.lazy.catch_up([self.table], [indices])
        self.table.scatter_add(tf.IndexedSlices(updates, indices))
        self.dense.assign_add(tf.ones_like(self.dense))
        self.lazy.apply(self.variables, indices=[indices, None])
        self.reference.apply(self.variables)

    def random_step(self, rng, rows=4):
        """Writes fewer than so many rows, some of them twice."""
        indices = rng.integers(0, 40, rng.integers(0, rows))
        self.step(indices, rng.normal(size=(len(indices), 3)).astype(self.table.dtype.name))

    def assert_close(self):
        """Both have the same averages."""
        for index in range(self.lazy.holder.of_each):
            for variable in self.variables:
                lazy, dense = (
                    one.average(variable, index).numpy() for one in (self.lazy, self.reference)
                )
                np.testing.assert_allclose(
                    lazy, dense, rtol=0, atol=TOLERANCE[self.table.dtype.name] * np.abs(dense).max()
                )


ways = pytest.mark.parametrize("way", ["eager", "function"])


@pytest.mark.sampled(pairs=True)
@ways
@pytest.mark.parametrize("pace", PACES.values(), ids=PACES)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_lazy_is_dense(way, pace, dtype, rng, monkeypatch):
    monkeypatch.setattr(row_ops, "CAPACITY", 50)
    twins = Twins(dtype, way, **pace)
    for n in range(150):
        twins.random_step(rng)
        if n % 70 == 0:
            twins.assert_close()
    twins.assert_close()


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1_000, pytest.param(10_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_many_steps_with_swaps_and_saves(dtype, steps, rng, tmp_path):
    twins = Twins(dtype, "function", decay=[decays.WarmUp(0.999), 0.99], every=2)
    objects = {"t": twins.table, "d": twins.dense}
    saves = [tf.train.Checkpoint(**objects, ema=one) for one in (twins.lazy, twins.reference)]
    for n in range(steps):
        twins.random_step(rng, rows=8)
        if n % 197 == 0:
            with twins.lazy.swapped(), twins.reference.swapped():
                pass
            for i, save in enumerate(saves):
                save.read(save.write(str(tmp_path / str(i)))).assert_consumed()
            # Both restores have the same weights.
        if n % 300 == 0:
            twins.assert_close()
    twins.assert_close()


def behind(ema):
    """How many rows are behind."""
    return sum(
        int((table.seen.numpy() < table.clock.numpy()[0]).sum())
        for table in ema.holder.lazy.tables(ema.holder.entries())
    )


def twins_behind(rng, **options: object):
    twins = Twins(**({"decay": 0.9} | options))
    for _ in range(5):
        twins.random_step(rng)
    assert behind(twins.lazy) > 0
    return twins


def test_a_step_touches_only_its_rows(rng):
    twins = Twins(decay=0.9)
    average = twins.lazy.holder.entry_of(twins.table).average
    twins.random_step(rng)
    before = as_it_is(average)
    twins.step(np.array([7, 9, 7]), np.ones((3, 3), np.float32))
    changed = np.flatnonzero((as_it_is(average) != before).any(axis=1))
    assert set(changed) <= {7, 9}


LOOKS = {
    "average": lambda t: t.lazy.average(t.table),
    "value": lambda t: t.lazy.average_value(t.table),
    "rows": lambda t: tf.gather(t.lazy.average(t.table), [0]),
    "average in a function": lambda t: tf.function(t.lazy.average(t.table).read_value)(),
    "assign": lambda t: t.lazy.average(t.table)[0].assign(tf.zeros(3)),
    "distance": lambda t: t.lazy.distance(),
    "distance in a function": lambda t: tf.function(t.lazy.distance)(),
    "swapped": lambda t: t.lazy.swapped().__enter__(),
    "swap": lambda t: t.lazy.swap(),
    "swap in a function": lambda t: tf.function(lambda: [t.lazy.swap()][1:])(),
    "overwrite": lambda t: t.lazy.overwrite(),
    "restart": lambda t: t.lazy.restart(),
    "copy": lambda t: copy.deepcopy(t.lazy),
}


@pytest.mark.parametrize("look", LOOKS)
def test_whatever_looks_at_averages_sees_all_rows_up_to_date(look, rng):
    twins = twins_behind(rng)
    LOOKS[look](twins)
    assert behind(twins.lazy) == 0


def test_a_swap_is_that_of_dense_averages_and_back(rng):
    twins = twins_behind(rng, decay=[0.9, 0.99])
    weights = twins.table.numpy()
    for index in (0, 1):
        with twins.lazy.swapped(index=index):
            swapped = twins.table.numpy()
        assert_same_bits(twins.table.numpy(), weights)
        np.testing.assert_allclose(swapped, twins.reference.average(twins.table, index), atol=1e-6)
    twins.random_step(rng)
    twins.assert_close()


def test_restart_and_overwrite_are_those_of_dense_averages(rng):
    for act in ("restart", "overwrite"):
        twins = twins_behind(rng)
        getattr(twins.lazy, act)()
        average = twins.lazy.average(twins.table).numpy()
        assert_same_bits(average, twins.table.numpy())


@ways
def test_a_resumed_run_has_the_bits_of_the_run(way, tmp_path):
    def run(resumed):
        twins = Twins(decay=0.9, way=way)
        steps = np.random.default_rng(5)
        checkpoint = tf.train.Checkpoint(t=twins.table, d=twins.dense, ema=twins.lazy)
        for _ in range(6):
            twins.random_step(steps)
        path = checkpoint.write(str(tmp_path / "file"))
        if resumed:
            for _ in range(3):
                twins.random_step(np.random.default_rng(99))
            checkpoint.read(path).assert_consumed()
        for _ in range(6):
            twins.random_step(steps)
        return twins.lazy.average(twins.table).numpy()

    assert_same_bits(run(resumed=True), run(resumed=False))


def test_files_of_lazy_and_dense_averages_are_alike(rng, tmp_path):
    twins = twins_behind(rng)
    objects = {"t": twins.table, "d": twins.dense}
    lazy = tf.train.Checkpoint(**objects, ema=twins.lazy)
    dense = tf.train.Checkpoint(**objects, ema=twins.reference)
    of_lazy = lazy.write(str(tmp_path / "lazy"))
    expected = twins.lazy.average(twins.table).numpy()
    dense.read(of_lazy).assert_consumed()
    assert_same_bits(twins.reference.average(twins.table).numpy(), expected)
    of_dense = dense.write(str(tmp_path / "dense"))
    twins.random_step(rng)
    lazy.read(of_dense).assert_consumed()
    assert behind(twins.lazy) == 0
    assert_same_bits(twins.lazy.average(twins.table).numpy(), expected)


@ways
def test_rows_that_were_not_caught_up_are_refused(way, rng):
    twins = twins_behind(rng)
    seen = twins.lazy.holder.lazy.tables(twins.lazy.holder.entries())[0]
    row = int(np.flatnonzero(seen.seen.numpy() < seen.clock.numpy()[0])[0])
    steps = int(seen.clock[0])
    error = RuntimeError if way == "eager" else tf.errors.InvalidArgumentError
    words = r"Rows must be caught up before a step writes them\. Received: .*t:0.*catch_up\("
    for indices in ([[row], None], [None, None], None):

        def apply(rows=indices):
            twins.lazy.apply(twins.variables, indices=rows)

        with pytest.raises(error, match=words):
            (apply if way == "eager" else tf.function(apply))()
    with pytest.raises(RuntimeError, match="Received: 'd:0'"):
        twins.lazy.apply(twins.variables, indices=[[], [0]])
    assert seen.clock[0] == steps


@pytest.mark.cpu  # On a GPU ops of TensorFlow look.
def test_one_op_checks_all_tables_of_a_step():
    tables = [tf.Variable(tf.ones([4, 2])) for _ in range(3)]
    averages = tf_mavg.ExponentialMovingAverage([0.9, 0.99], sparse="lazy")

    @tf.function
    def step():
        averages.catch_up(tables, [[1], [2], [3]])
        averages.apply(tables, indices=[[1], [2], [3]])

    graph = step.get_concrete_function().graph
    (check,) = ops_of(graph, "CaughtUp")
    assert check.get_attr("N") == len(tables)
    assert not ops_of(graph, "Gather")
    step()


@pytest.mark.cpu  # Adagrad sorts indices on a GPU, which the emulated one cannot.
def test_tensorflow_issue_29783():
    """Lazy ExponentialMovingAverage for embedding matrix with sparse gradients."""
    embedding = tf.Variable(tf.ones([1000, 4]), name="embedding")
    optimizer = tf_mavg.MovingAverageOptimizer(
        tf.compat.v1.train.AdagradOptimizer(0.1), 0.9, sparse="lazy"
    )

    @tf.function
    def train(words):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.nn.embedding_lookup(embedding, words) ** 2)
        optimizer.apply_gradients([(tape.gradient(loss, embedding), embedding)])

    words = tf.constant([3, 5, 3])
    graph = train.get_concrete_function(words).graph
    # No op goes over the whole matrix: one before the step, one after it. The optimizer knows
    # which rows it writes, so nothing checks.
    assert not updates(graph)
    endings = ("Rows", "CaughtUp", "Clocks")
    assert [op.type for ending in endings for op in ops_of(graph, ending)] == [
        "CatchUpRows",
        "AdvanceRowClocks",
    ]
    expected = np.ones([1000, 4])
    for _ in range(3):
        train(words)
        expected = 0.9 * expected + 0.1 * embedding.numpy()
    np.testing.assert_allclose(optimizer.averages.average(embedding), expected, atol=1e-6)


def test_all_rows_can_be_caught_up_for_a_step_that_writes_all(rng):
    twins = twins_behind(rng)
    twins.lazy.catch_up([twins.table], [None])
    twins.table.assign(tf.ones_like(twins.table))
    twins.lazy.apply(twins.variables)
    twins.reference.apply(twins.variables)
    twins.assert_close()


def test_a_variable_may_become_lazy_after_dense_steps(rng):
    twins = Twins(decay=0.9)
    for _ in range(3):
        twins.table.assign_add(tf.ones_like(twins.table))
        for one in (twins.lazy, twins.reference):
            one.apply(twins.variables)
    assert not twins.lazy.holder.lazy
    for _ in range(5):
        twins.random_step(rng)
    assert behind(twins.lazy) > 0
    twins.assert_close()


def test_a_variable_stays_dense_once_a_function_updates_all_its_rows():
    table, other = tf.Variable(tf.zeros([4, 2]), name="table"), tf.Variable(tf.zeros([4, 2]))
    averages = tf_mavg.ExponentialMovingAverage(0.5, sparse="lazy")
    averages.create_averages([table, other])

    @tf.function
    def step():
        averages.apply([table])

    step()
    expected = r"before a function is traced that updates its average as a whole.*'table:0'"
    with pytest.raises(RuntimeError, match=expected):
        averages.catch_up([table], [[1]])
    averages.catch_up([other], [[1]])
    table.assign_add(tf.ones_like(table))
    averages.apply([table])  # Nothing has changed for it.
    np.testing.assert_array_equal(averages.average(table), np.full([4, 2], 0.5))


def test_a_table_is_forgotten_with_its_average(rng):
    twins = twins_behind(rng)
    twins.lazy.holder.forget(0)
    assert not twins.lazy.holder.lazy


def test_indices_may_be_slices_and_of_any_shape():
    twins = Twins(decay=0.9)
    slices = tf.IndexedSlices(tf.ones([2, 3]), tf.constant([3, 1]))
    twins.lazy.catch_up([twins.table], [slices])
    twins.table.scatter_add(slices)
    twins.lazy.apply(twins.variables, indices=[tf.constant([[3], [1]]), None])
    twins.reference.apply(twins.variables)
    twins.assert_close()


def test_skipping_what_is_not_finite(rng):
    twins = twins_behind(rng, if_not_finite="skip")
    before = twins.lazy.average(twins.table).numpy()
    twins.step(np.array([2]), np.full((1, 3), np.inf, np.float32))
    assert_same_bits(twins.lazy.average(twins.table).numpy(), before)


def refused(**options: object):
    def make():
        tf_mavg.ExponentialMovingAverage(0.9, **options)

    return make


def of_dense():
    table = tf.Variable(tf.ones([2, 2]))
    tf_mavg.ExponentialMovingAverage(0.9).catch_up([table], [[0]])


def of_scalar():
    tf_mavg.ExponentialMovingAverage(0.9, sparse="lazy").catch_up([tf.Variable(1.0)], [[0]])


def of_replicas():
    strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
    with strategy.scope():
        table = tf.Variable(tf.ones([2, 2]), name="mirrored")
    tf_mavg.ExponentialMovingAverage(0.9, sparse="lazy").catch_up([table], [[0]])


def of_reference():
    with tf.Graph().as_default():
        table = tf.compat.v1.get_variable("in_graph", [2, 2], use_resource=False)
        tf_mavg.ExponentialMovingAverage(0.9, sparse="lazy").catch_up([table], [[0]])


def of_other_lengths():
    ema = tf_mavg.ExponentialMovingAverage(0.9, sparse="lazy")
    ema.apply([tf.Variable(1.0)], indices=[None, None])


REFUSALS = {
    r"`sparse` must be one of \('dense', 'lazy'\)\. Received: 'rows'": refused(sparse="rows"),
    "With `sparse`, steps must write named rows alone.*overwrite_every=2": refused(
        sparse="lazy", overwrite_every=2
    ),
    "With `sparse`, .*placement='sharded'": refused(sparse="lazy", placement="sharded"),
    "Rows are caught up with sparse=\"lazy\".*sparse='dense'": of_dense,
    r"must have each row once\. Received: .*without rows": of_scalar,
    "Received: 'mirrored.*with a component a replica": of_replicas,
    "Received: 'in_graph.*a reference variable": of_reference,
    "`indices` must be as many as `var_list`": of_other_lengths,
}


@pytest.mark.parametrize("words", REFUSALS)
def test_refusals(words):
    with pytest.raises(ValueError, match=words):
        REFUSALS[words]()


@pytest.mark.cpu  # The emulated GPU has no XLA.
def test_xla_is_refused(rng):
    twins = twins_behind(rng)
    step = tf.function(lambda: twins.lazy.catch_up([twins.table], [[0]]), jit_compile=True)
    with pytest.raises(RuntimeError, match='XLA compiles no step with sparse="lazy"'):
        step()


@pytest.mark.cpu  # The emulated GPU has no XLA.
@pytest.mark.parametrize("use", ["apply", "distance", "swap"])
def test_xla_is_refused_where_something_is_lazy(use, rng):
    twins = twins_behind(rng)
    uses = {
        "apply": lambda: twins.lazy.apply(twins.variables, indices=[[], None]),
        "distance": twins.lazy.distance,
        "swap": twins.lazy.swap,
    }
    with pytest.raises(RuntimeError, match='XLA compiles no step with sparse="lazy"'):
        tf.function(lambda: [uses[use]()][1:], jit_compile=True)()


def test_an_exported_step_averages_lazily(rng, tmp_path):
    twins = twins_behind(rng, way="function")
    module = tf.Module()
    module.table, module.dense, module.averages = twins.table, twins.dense, twins.lazy
    module.reference, module.step = twins.reference, twins.step
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    indices, updates = np.array([3, 5, 3]), np.ones((3, 3), np.float32)
    for _ in range(3):
        twins.step(indices, updates)
        loaded.step(indices, updates)
    assert_same_bits(loaded.table.numpy(), twins.table.numpy())
    average = as_it_is(twins.lazy.holder.entry_of(twins.table).average)
    assert_same_bits(loaded.averages.averages.average_0.numpy(), average)


def test_a_swapping_manager_saves_and_resumes(rng, tmp_path):
    twins = twins_behind(rng)
    checkpoint = tf.train.Checkpoint(t=twins.table, d=twins.dense, ema=twins.lazy)
    manager = tf_mavg.SwappingCheckpointManager(
        checkpoint, twins.lazy, str(tmp_path), max_to_keep=1
    )
    path = manager.save()
    weights, average = twins.table.numpy(), twins.lazy.average(twins.table).numpy()
    plain = tf.Variable(tf.zeros([40, 3]))
    tf.train.Checkpoint(t=plain).read(path).expect_partial()
    assert_same_bits(plain.numpy(), average)
    twins.random_step(rng)
    manager.restore(path)
    assert behind(twins.lazy) == 0
    assert_same_bits(twins.table.numpy(), weights)
    assert_same_bits(twins.lazy.average(twins.table).numpy(), average)


def test_an_asynchronous_checkpoint_holds_all_rows_up_to_date(rng, tmp_path):
    twins = twins_behind(rng)
    checkpoint = tf.train.Checkpoint(t=twins.table, d=twins.dense, ema=twins.lazy)
    options = tf.train.CheckpointOptions(experimental_enable_async_checkpoint=True)
    checkpoint.save(str(tmp_path / "first"), options=options)
    twins.random_step(rng)
    weights, average = twins.table.numpy(), twins.reference.average(twins.table).numpy()
    path = checkpoint.save(str(tmp_path / "file"), options=options)
    for _ in range(5):
        twins.random_step(rng)
    checkpoint.sync()
    checkpoint.restore(path)
    assert_same_bits(twins.table.numpy(), weights)
    np.testing.assert_allclose(twins.lazy.average(twins.table).numpy(), average, atol=1e-6)


def test_a_restore_that_fails_changes_nothing(rng, tmp_path):
    twins = twins_behind(rng)
    checkpoint = tf.train.Checkpoint(t=twins.table, d=twins.dense, ema=twins.lazy)
    manager = tf_mavg.SwappingCheckpointManager(
        checkpoint, twins.lazy, str(tmp_path), max_to_keep=1
    )
    other = tf.Variable(tf.zeros([2, 2]))
    path = tf.train.Checkpoint(t=other).save(str(tmp_path / "other"))
    with pytest.raises((ValueError, tf.errors.OpError)):
        manager.restore(path)
    twins.random_step(rng)
    twins.assert_close()


@pytest.mark.cpu  # A GPU cannot tell the host.
def test_indices_of_no_row_are_refused(rng):
    twins = twins_behind(rng)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"the 40 rows of .*Received: 40"):
        twins.lazy.catch_up([twins.table], [[1, 40]])


def test_an_average_stays_up_to_date_for_whoever_keeps_it(rng):
    twins = Twins(decay=0.9)
    twins.random_step(rng)
    kept = twins.lazy.average(twins.table)
    for _ in range(5):
        twins.random_step(rng)
    twins.assert_close()
    assert_same_bits(kept.numpy(), twins.lazy.average(twins.table).numpy())


def test_rows_that_are_set_have_seen_the_steps_before(rng):
    twins = twins_behind(rng)
    average = twins.lazy.average(twins.table)
    average[0].assign(tf.fill([3], 7.0))
    assert (average.numpy()[0] == 7).all()
    average.scatter_update(tf.IndexedSlices(tf.fill([1, 3], 8.0), [1]))
    assert (average.numpy()[1] == 8).all()
    dense = twins.reference.average(twins.table).numpy()
    np.testing.assert_allclose(average.numpy()[2:], dense[2:], atol=1e-6)
