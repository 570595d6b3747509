"""sparse="lazy" in a graph of TensorFlow 1: whoever looks sees what dense averages would be."""

import numpy as np
import pytest
import tensorflow as tf
from oracle import assert_same_bits

import tf_mavg

tf1 = tf.compat.v1
# TensorFlow sorts the indices of gradients on a GPU, which the emulated one cannot.
pytestmark = pytest.mark.cpu

ROWS = 8
KEY = "table/ExponentialMovingAverage"


class Program:
    """A table of which each step writes three rows, with averages, in a Session of its own."""

    def __init__(self, sparse, *, by="optimizer", sequential_update=True, decay=0.9) -> None:
        """Builds the graph; it is closed with the Session."""
        self.graph = tf.Graph()
        with self.graph.as_default():
            self.table = tf1.get_variable(
                "table", [ROWS, 3], use_resource=True, initializer=tf1.ones_initializer()
            )
            self.rows = tf1.placeholder(tf.int32, [None])
            self.factor = tf1.placeholder(tf.float32, [])
            loss = tf.reduce_sum(tf.nn.embedding_lookup(self.table, self.rows)) * self.factor
            optimizer = tf1.train.MomentumOptimizer(0.1, 0.9)
            if by == "optimizer":
                self.optimizer = tf_mavg.MovingAverageOptimizer(
                    optimizer, decay, sparse=sparse, sequential_update=sequential_update
                )
                self.train = self.optimizer.minimize(loss)
                self.averages = self.optimizer.averages
            else:
                self.averages = tf_mavg.ExponentialMovingAverage(decay, sparse=sparse)
                self.train = self._by_hand(optimizer, loss)
            self.average = self.averages.average(self.table)
            self.session = tf1.Session()
            self.session.run(tf1.global_variables_initializer())

    def _by_hand(self, optimizer, loss):
        lazy = self.averages.holder.sparse == "lazy"
        ((gradient, _),) = pairs = optimizer.compute_gradients(loss, [self.table])
        before = [self.averages.catch_up([self.table], [gradient])] if lazy else []
        with tf.control_dependencies(before):
            written = optimizer.apply_gradients(pairs)
        with tf.control_dependencies([written]):
            return self.averages.apply([self.table], indices=[gradient] if lazy else None)

    def steps(self, seed, count=7):
        """Trains; programs that begin alike and train by the same seeds are alike."""
        rng = np.random.default_rng(seed)
        for _ in range(count):
            feeds = {self.rows: rng.integers(0, ROWS, 3), self.factor: rng.normal()}
            self.session.run(self.train, feeds)

    def run(self, build):
        """The value of what is built in the graph."""
        with self.graph.as_default():
            return self.session.run(build())

    def save(self, saver, path):
        """Saves by a saver of the graph."""
        with self.graph.as_default():
            return saver.save(self.session, str(path))

    def restore(self, saver, path):
        """Restores by a saver of the graph."""
        with self.graph.as_default():
            saver.restore(self.session, path)

    def behind(self):
        """How many rows have not seen all steps."""
        with self.graph.as_default():
            (table,) = self.averages.holder.lazy.tables(self.averages.holder.entries(0))
            seen, clock = (
                tf.raw_ops.ReadVariableOp(resource=one.handle, dtype=one.dtype)
                for one in (table.seen, table.clock)
            )
            seen, clock = self.session.run([seen, clock])
        return int((seen < clock[0]).sum())


@pytest.fixture
def programs():
    """Makes a lazy program and its dense twin."""
    made = []

    def make(**options: object):
        made.extend(Program(sparse, **options) for sparse in ("lazy", "dense"))
        return made[-2:]

    yield make
    for program in made:
        program.session.close()


def assert_alike(lazy, dense, look):
    """Asserts that both see the same, and that there was something to catch up."""
    assert lazy.behind() > 0
    np.testing.assert_allclose(look(lazy), look(dense), atol=1e-6)


def swapped(program):
    with program.graph.as_default(), program.averages.swapped(program.session):
        return program.session.run(program.table)


LOOKS = {
    "fetch": lambda p: p.session.run(p.average),
    "read": lambda p: p.run(p.average.read_value),
    "arithmetic": lambda p: p.run(lambda: p.average * 2.0),
    "some rows": lambda p: p.run(lambda: tf.gather(p.average, [0, 5])),
    "distance": lambda p: p.run(p.averages.distance),
    "loop": lambda p: p.run(
        lambda: tf.while_loop(
            lambda n, _: n < 2,
            lambda n, found: (n + 1, found + p.average),
            [0, tf.zeros([ROWS, 3])],
        )[1]
    ),
    "swapped": swapped,
    "swap": lambda p: (p.run(p.averages.swap), p.session.run([p.table, p.average]))[1],
    "overwrite": lambda p: (p.run(p.averages.overwrite), p.session.run(p.table))[1],
    "restart": lambda p: (p.run(p.averages.restart), p.session.run(p.average))[1],
}


@pytest.mark.parametrize("by", ["optimizer", "hand"])
@pytest.mark.parametrize("look", LOOKS)
def test_whoever_looks_sees_dense_averages(look, by, programs):
    lazy, dense = programs(by=by)
    for program in (lazy, dense):
        program.steps(1)
    assert_alike(lazy, dense, LOOKS[look])
    assert lazy.behind() == 0


def waits_for(operation, other):
    """Whether an operation runs after another one."""
    before = [*operation.control_inputs, *(one.op for one in operation.inputs)]
    return other in before or any(waits_for(one, other) for one in before)


def test_averages_updated_beside_the_variables_miss_no_row(programs):
    lazy, _ = programs(sequential_update=False)
    (before,), (noted,) = (
        [one for one in lazy.graph.get_operations() if one.type == kind]
        for kind in ("CatchUpRows", "AdvanceRowClocks")
    )
    assert waits_for(noted, before)
    expected = np.ones([ROWS, 3])
    for n in range(20):
        lazy.steps(n, 1)
        weight = lazy.session.run(lazy.table)
        expected += 0.1 * (weight - expected)  # As after the variables: rows are looked at later.
        if n % 5 == 4:
            np.testing.assert_allclose(lazy.session.run(lazy.average), expected, atol=1e-6)


def test_several_averages_are_caught_up_before_one_overwrites(programs):
    lazy, dense = programs(decay=[0.9, 0.5])
    for program in (lazy, dense):
        program.steps(1)
        program.run(lambda program=program: program.averages.overwrite(index=1))
    for index in (0, 1):
        found = [p.run(p.averages.average(p.table, index).read_value) for p in (lazy, dense)]
        np.testing.assert_allclose(*found, atol=1e-6)


def plain_saver(program):
    with program.graph.as_default():
        return tf1.train.Saver()


def swapping_saver(program):
    with program.graph.as_default():
        return program.optimizer.swapping_saver()


@pytest.mark.parametrize("make_saver", [plain_saver, swapping_saver])
def test_a_saver_writes_and_restores_dense_averages(make_saver, programs, tmp_path):
    lazy, dense = programs()
    files = []
    for program in (lazy, dense):
        saver = make_saver(program)
        program.steps(1)
        path = program.save(saver, tmp_path / program.averages.holder.sparse)
        files.append(tf.train.load_checkpoint(path))
        program.steps(2)
        program.restore(saver, path)
        program.steps(3)
    for key in ("table", KEY):
        np.testing.assert_allclose(*(file.get_tensor(key) for file in files), atol=1e-6)
    np.testing.assert_allclose(
        lazy.session.run(lazy.average), dense.session.run(dense.average), atol=1e-6
    )
    if make_saver is swapping_saver:  # Which anybody can read.
        assert files[0].get_variable_to_shape_map() == files[1].get_variable_to_shape_map()


@pytest.mark.parametrize("order", [1, -1], ids=["lazy reads dense", "dense reads lazy"])
def test_swapping_files_serve_both_kinds(order, programs, tmp_path):
    writer, reader = programs()[::-order]
    writer.steps(1)
    path = writer.save(swapping_saver(writer), tmp_path / "file")
    saver = swapping_saver(reader)
    reader.steps(2)
    reader.restore(saver, path)
    for name in ("table", "average"):
        values = [p.session.run(getattr(p, name)) for p in (writer, reader)]
        assert_same_bits(*values)


def test_a_restore_that_fails_changes_no_average(programs, tmp_path):
    lazy, dense = programs()
    path = lazy.save(swapping_saver(lazy), tmp_path / "file")
    (tmp_path / "file.data-00000-of-00001").write_bytes(b"short")
    saver = swapping_saver(lazy)
    restored, *notes = saver._restored
    assert len(notes) == 2
    assert all(waits_for(note, restored) for note in notes)
    for program in (lazy, dense):
        program.steps(1)
    behind = lazy.behind()
    with pytest.raises(tf.errors.OpError):
        lazy.restore(saver, path)
    assert lazy.behind() == behind
    assert_alike(lazy, dense, LOOKS["fetch"])


def test_an_object_checkpoint_holds_dense_averages(programs, tmp_path):
    lazy, dense = programs()
    found = []
    for program in (lazy, dense):
        with program.graph.as_default(), program.session.as_default():
            checkpoint = tf.train.Checkpoint(table=program.table, optimizer=program.optimizer)
            program.steps(1)
            path = checkpoint.save(str(tmp_path / program.averages.holder.sparse))
            program.steps(2)
            checkpoint.restore(path).assert_consumed().run_restore_ops()
            found.append(program.session.run([program.table, program.average]))
            program.steps(3)
    for values in zip(*found, strict=True):
        np.testing.assert_allclose(*values, atol=1e-6)
    assert_alike(lazy, dense, LOOKS["fetch"])


def test_a_monitored_session_resumes(tmp_path):
    found = []
    for steps in ([1, 2], [3]):  # A process after the other.
        with tf.Graph().as_default():
            table = tf1.get_variable("table", [4, 2], use_resource=True)
            tf1.train.get_or_create_global_step()
            optimizer = tf_mavg.MovingAverageOptimizer(
                tf1.train.GradientDescentOptimizer(0.1), 0.5, sparse="lazy"
            )
            loss = tf.reduce_sum(tf.nn.embedding_lookup(table, [1, 2]) ** 2)
            train = optimizer.minimize(loss, tf1.train.get_global_step())
            average = optimizer.averages.average(table)
            scaffold = tf1.train.Scaffold(saver=optimizer.swapping_saver())
            with tf1.train.MonitoredTrainingSession(
                scaffold=scaffold, checkpoint_dir=str(tmp_path), log_step_count_steps=None
            ) as session:
                found.append(session.run([table, average]))
                for _ in steps:
                    session.run(train)
                found.append(session.run([table, average]))
    (_, begun), (weight, ended), (resumed_weight, resumed), _ = found
    assert not np.array_equal(begun, ended)
    assert_same_bits(resumed_weight, weight)
    np.testing.assert_allclose(resumed, ended, atol=1e-6)


def test_an_average_that_others_may_read_already_is_refused():
    with tf.Graph().as_default():
        table = tf1.get_variable("table", [4, 2], use_resource=True)
        averages = tf_mavg.ExponentialMovingAverage(0.9, sparse="lazy")
        averages.create_averages([table])
        words = r"must be named before its average is made\. Received: 'table.*call catch_up for it"
        with pytest.raises(RuntimeError, match=words):
            averages.catch_up([table], [[0]])


def test_a_step_that_names_no_rows_before_is_refused_when_it_runs(programs):
    lazy, _ = programs(by="hand")
    with lazy.graph.as_default():
        wrong = tf.group(lazy.averages.apply([lazy.table], indices=[[0, 1]]))
    lazy.steps(1)
    assert lazy.behind() > 0
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="Rows must be caught up before a step"
    ):
        for _ in range(2):
            lazy.session.run(wrong)


def test_each_session_has_rows_of_its_own(programs):
    lazy, dense = programs()
    with tf1.Session(graph=lazy.graph) as other:
        with lazy.graph.as_default():
            other.run(tf1.variables_initializer([lazy.table, *lazy.optimizer.variables()]))
            other.run(tf1.global_variables_initializer())
        lazy.steps(1)
        initial = other.run(lazy.average)
        assert_same_bits(initial, np.ones_like(initial))
    dense.steps(1)
    assert_alike(lazy, dense, LOOKS["fetch"])
