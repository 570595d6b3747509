"""Files with split averages, merged and converted: both halves count as one float32."""

import numpy as np
import pytest
import tensorflow as tf
from oracle import BFLOAT16, FLOAT32, assert_same_bits, joined, normal, split

import tf_mavg
from tf_mavg import posthoc
from tf_mavg.decays import PowerFunction

tf1 = tf.compat.v1
NAME = "w/ExponentialMovingAverage"


def halves(rng):
    """Values that split averages come to have."""
    return split(normal(rng, 30, FLOAT32))


class Trained:
    """A bfloat16 variable with a split average, in objects."""

    def __init__(self, rng) -> None:
        """Gives both values."""
        self.module = tf.Module()
        self.module.w = tf.Variable(normal(rng, 30, BFLOAT16), name="w")
        self.ema = tf_mavg.ExponentialMovingAverage(0.9, average_dtype="split")
        self.ema.create_averages([self.module.w])
        self.module.w.assign(normal(rng, 30, BFLOAT16))
        self.ema.apply([self.module.w])
        self.checkpoint = tf.train.Checkpoint(model=self.module, ema=self.ema)

    @property
    def exact(self):
        """The average with all of its bits."""
        return self.ema.average_value(self.module.w).numpy()


def saved_by(trained, path, *, swapped):
    """The path of a checkpoint, with averages in the place of weights or not."""
    if not swapped:
        return trained.checkpoint.write(str(path))
    with trained.ema.swapped_for_saving():
        return trained.checkpoint.write(str(path))


@pytest.mark.parametrize("swapped", [False, True], ids=["plain", "swapped"])
def test_a_merge_joins_before_it_adds(swapped, rng, tmp_path):
    both = [Trained(rng), Trained(rng)]
    paths = [saved_by(one, tmp_path / f"{i}", swapped=swapped) for i, one in enumerate(both)]
    expected = np.float32(0.25) * both[0].exact + np.float32(0.75) * both[1].exact
    merged = str(tmp_path / "merged")
    tf_mavg.merge_checkpoints(paths, merged, weights=[0.25, 0.75])
    reader = tf.train.load_checkpoint(merged)
    place = "model/w" if swapped else "model/w/.OPTIMIZER_SLOT/ema/averages/average"
    high = reader.get_tensor(f"{place}/.ATTRIBUTES/VARIABLE_VALUE")
    remainder = reader.get_tensor(
        "model/w/.OPTIMIZER_SLOT/ema/averages/average_remainder/.ATTRIBUTES/VARIABLE_VALUE"
    )
    assert_same_bits(joined(high, remainder), expected)


@pytest.mark.parametrize("swapped", [False, True], ids=["plain", "swapped"])
@pytest.mark.parametrize("keep", ["averages", "weights"])
def test_a_conversion_keeps_one_value_and_no_remainder(swapped, keep, rng, tmp_path):
    trained = Trained(rng)
    weight = trained.module.w.numpy()
    path = saved_by(trained, tmp_path / "in", swapped=swapped)
    tf_mavg.convert_checkpoint(path, tmp_path / "out", keep)
    plain = tf.Module()
    plain.w = tf.Variable(np.zeros(30, BFLOAT16))
    tf.train.Checkpoint(model=plain).read(str(tmp_path / "out")).expect_partial()
    expected = split(trained.exact)[0] if keep == "averages" else weight
    assert_same_bits(plain.w.numpy(), expected)
    keys = tf.train.load_checkpoint(str(tmp_path / "out")).get_variable_to_dtype_map()
    assert not any("remainder" in key for key in keys)


def graph_of(choice, steps=3, rng=None):
    """An optimizer in the default graph that has taken steps, its saver and its session."""
    w = tf1.get_variable("w", [30], tf.bfloat16, initializer=tf1.ones_initializer())
    optimizer = tf_mavg.MovingAverageOptimizer(
        tf1.train.GradientDescentOptimizer(0.1), 0.9, average_dtype=choice
    )
    graph_of.optimizer = optimizer
    gradient = tf1.placeholder(tf.bfloat16, [30])
    step = optimizer.apply_gradients([(gradient, w)])
    saver = optimizer.swapping_saver()
    read = optimizer.averages.average_value(w)
    session = tf1.Session()
    session.run(tf1.global_variables_initializer())
    for _ in range(steps):
        session.run(step, {gradient: normal(rng, 30, BFLOAT16)})
    return w, read, saver, session


def test_a_swapping_saver_saves_the_upper_half_and_restores_all_bits(rng, tmp_path):
    path = str(tmp_path / "c")
    with tf.Graph().as_default():
        w, read, saver, session = graph_of("split", rng=rng)
        weight, exact = session.run([w, read])
        saver.save(session, path, write_meta_graph=False)
    reader = tf.train.load_checkpoint(path)
    high, remainder = split(exact)
    assert_same_bits(reader.get_tensor("w"), high)
    assert_same_bits(reader.get_tensor(NAME), weight)
    assert_same_bits(reader.get_tensor(f"{NAME}_remainder"), remainder)
    with tf.Graph().as_default():
        w, read, saver, session = graph_of("split", rng=rng)
        saver.restore(session, path)
        assert_same_bits(session.run(w), weight)
        assert_same_bits(session.run(read), exact)


@pytest.mark.parametrize("wrote", ["split", "float32", "same"])
@pytest.mark.parametrize("reads", ["split", "float32", "same"])
def test_a_swapping_saver_restores_averages_of_each_kind(wrote, reads, rng, tmp_path):
    path = str(tmp_path / "c")
    with tf.Graph().as_default():
        w, read, saver, session = graph_of(wrote, rng=rng)
        weight, exact = session.run([w, read])
        saver.save(session, path, write_meta_graph=False)
    with tf.Graph().as_default():
        w, read, saver, session = graph_of(reads, rng=rng)
        tf1.get_default_graph().finalize()
        saver.restore(session, path)
        assert_same_bits(session.run(w), weight)
        received = session.run(read).astype(FLOAT32)
        if reads == "same":
            np.testing.assert_allclose(received, exact.astype(FLOAT32), rtol=2**-8)
        else:
            assert_same_bits(received, exact.astype(FLOAT32))


def test_split_averages_that_a_file_lacks_start_from_their_variables(rng, tmp_path):
    path = str(tmp_path / "c")
    with tf.Graph().as_default(), tf1.Session() as session:
        w = tf1.get_variable("w", initializer=tf.constant(normal(rng, 30, BFLOAT16)))
        session.run(w.initializer)
        tf1.train.Saver().save(session, path, write_meta_graph=False)
        weight = session.run(w)
    with tf.Graph().as_default():
        w, read, _, session = graph_of("split", rng=rng)
        saver = graph_of.optimizer.swapping_saver(start_missing_averages=True)
        saver.restore(session, path)
        assert_same_bits(session.run(w), weight)
        assert_same_bits(session.run(read), weight.astype(FLOAT32))


def test_snapshots_of_a_graph_hold_all_bits(rng, tmp_path):
    with tf.Graph().as_default(), tf1.Session() as session:
        w = tf1.get_variable("w", initializer=tf.constant(normal(rng, 30, BFLOAT16)))
        value = tf1.placeholder(tf.bfloat16, [30])
        ema = tf_mavg.ExponentialMovingAverage(
            [PowerFunction(0.05), PowerFunction(0.1)], average_dtype="split"
        )
        with tf.control_dependencies([tf1.assign(w, value)]):
            step = ema.apply([w])
        reads = [ema.average_value(w, index) for index in range(2)]
        snapshots = posthoc.Snapshots(tmp_path, ema)
        session.run(tf1.global_variables_initializer())
        for _ in range(4):
            session.run(step, {value: normal(rng, 30, BFLOAT16)})
        paths = snapshots.save(session=session)
        expected = session.run(reads)
    for path, exact in zip(paths, expected, strict=True):
        reader = tf.train.load_checkpoint(path)
        assert_same_bits(joined(reader.get_tensor("w"), reader.get_tensor("w_remainder")), exact)
    merged = str(tmp_path / "merged")
    tf_mavg.merge_checkpoints(paths, merged, weights=[0.5, 0.5])
    reader = tf.train.load_checkpoint(merged)
    total = np.float32(0.5) * expected[0] + np.float32(0.5) * expected[1]
    assert_same_bits(joined(reader.get_tensor("w"), reader.get_tensor("w_remainder")), total)


def test_averages_of_another_dtype_do_not_swap_back_what_a_file_had_in_place(rng, tmp_path):
    trained = Trained(rng)
    path = saved_by(trained, tmp_path / "c", swapped=True)
    module = tf.Module()
    module.w = tf.Variable(np.zeros(30, BFLOAT16), name="w")
    ema = tf_mavg.ExponentialMovingAverage(0.9, average_dtype="float32")
    ema.create_averages([module.w])
    tf.train.Checkpoint(model=module, ema=ema).read(path)
    with pytest.raises(TypeError, match=r'float32; make the averages with average_dtype="same" or'):
        ema.swap()
