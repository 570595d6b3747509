"""sparse="lazy" of MovingAverageOptimizer, in eager mode and in a tf.function."""

import numpy as np
import pytest
import tensorflow as tf

import tf_mavg
from tf_mavg._tensorflow import optimizer as optimizer_module

tf1 = tf.compat.v1

# TensorFlow sorts the indices of gradients on a GPU, which the emulated one cannot.
pytestmark = pytest.mark.cpu

ARGUMENTS = {"MomentumOptimizer": {"momentum": 0.9}}
OPTIMIZERS = sorted(optimizer_module._WRITE_NAMED_ROWS - {"LazyAdamOptimizer"})


def make(name):
    return getattr(tf1.train, name)(0.1, **ARGUMENTS.get(name, {}))


def slices(rows, value=1.0):
    return tf.IndexedSlices(tf.fill([len(rows), 3], value), tf.constant(rows), tf.constant([8, 3]))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_optimizers_that_are_taken_write_named_rows_alone(name):
    optimizer, table = make(name), tf.Variable(tf.ones([8, 3]))
    for rows in ([0, 1], [1, 2], [1, 2]):
        before = table.numpy()
        optimizer.apply_gradients([(slices(rows), table)])
        written = np.flatnonzero((table.numpy() != before).any(axis=1))
        assert set(written) == set(rows)


@pytest.mark.sampled
@pytest.mark.parametrize("way", ["eager", "function"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_averages_are_the_dense_ones(way, name, rng):
    found = []
    batches = [(rng.integers(0, 8, 3), rng.normal(size=3)) for _ in range(30)]
    for sparse in ("lazy", "dense"):
        optimizer = tf_mavg.MovingAverageOptimizer(make(name), 0.9, sparse=sparse, every=2)
        table, other, idle = (tf.Variable(tf.ones([8, 3])) for _ in range(3))

        def step(rows, weights, given=(optimizer, table, other, idle)):
            given_optimizer, a, b, c = given
            weights = tf.cast(weights, tf.float32)[:, tf.newaxis]
            gradient = tf.IndexedSlices(tf.ones([3, 3]) * weights, rows, tf.constant([8, 3]))
            given_optimizer.apply_gradients([(gradient, a), (tf.ones([8, 3]), b), (None, c)])

        run = step if way == "eager" else tf.function(step)
        for n, (rows, weights) in enumerate(batches):
            run(tf.constant(rows), tf.constant(weights))
            if n == 10:
                optimizer.apply_gradients([(tf.ones([8, 3]), table)])  # All rows.
            if n == 20:
                with optimizer.averages.swapped():
                    pass
        assert (optimizer.holder.entry_of(table) in optimizer.holder.lazy) == (sparse == "lazy")
        assert optimizer.holder.entry_of(other) not in optimizer.holder.lazy
        found.append([optimizer.averages.average(v).numpy() for v in (table, other)])
    for lazy, dense in zip(*found, strict=True):
        np.testing.assert_allclose(lazy, dense, atol=1e-6)


@pytest.mark.parametrize("name", ["AdamOptimizer", "AdagradDAOptimizer"])
def test_other_optimizers_are_refused(name):
    arguments = {} if name == "AdamOptimizer" else {"global_step": tf.Variable(0, dtype=tf.int64)}
    optimizer = getattr(tf1.train, name)(0.1, **arguments)
    with pytest.raises(ValueError, match=f"as AdadeltaOptimizer, .* do. Received: a {name}; take"):
        tf_mavg.MovingAverageOptimizer(optimizer, sparse="lazy")
    tf_mavg.MovingAverageOptimizer(optimizer)
