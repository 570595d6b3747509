"""Which replica gets which average: shares of nearly equal bytes, the same in every process."""

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import tf_mavg
from tf_mavg._averages.components.shares import balance

tf1 = tf.compat.v1
SIZES = st.lists(st.integers(0, 10**9), max_size=40)


@given(sizes=SIZES, replicas=st.integers(1, 9))
def test_no_share_is_larger_than_the_mean_and_one_size(sizes, replicas):
    chosen = balance(sizes, [0] * replicas)
    shares = [
        sum(size for size, of in zip(sizes, chosen, strict=True) if of == replica)
        for replica in range(replicas)
    ]
    assert sum(shares) == sum(sizes)
    assert max(shares) <= sum(sizes) / replicas + max(sizes, default=0)


@pytest.mark.parametrize(
    ("sizes", "loads", "expected"),
    [
        ([1, 1, 1, 1], [0, 0], [0, 1, 0, 1]),
        ([1, 1, 2], [0, 0], [1, 1, 0]),  # The largest first, though it comes last.
        ([3, 3, 2, 2, 2], [0, 0], [0, 1, 0, 1, 0]),
        ([5], [4, 3, 9], [1]),
        ([0, 0], [0, 0], [0, 0]),
        ([], [1, 2], []),
    ],
)
def test_the_largest_comes_first_and_goes_to_whom_has_least(sizes, loads, expected):
    assert balance(sizes, loads) == expected


def test_averages_that_there_are_count(logical_cpus):
    with tf.distribute.MirroredStrategy(logical_cpus[:2]).scope():
        large, small, late = (tf.Variable(tf.zeros([n])) for n in (9, 1, 5))
    averages = tf_mavg.ExponentialMovingAverage(0.5, placement="sharded")
    averages.create_averages([small, large])
    averages.create_averages([late])
    devices = [averages.average(v).device for v in (large, small, late)]
    assert [device.rpartition("CPU:")[2] for device in devices] == ["0", "1", "1"]


@pytest.mark.parametrize("strategy", ["none", "one device", "one replica"])
def test_one_replica_has_all(strategy, logical_cpus):
    scope = {
        "none": tf.distribute.get_strategy,
        "one device": lambda: tf.distribute.OneDeviceStrategy(logical_cpus[1]),
        "one replica": lambda: tf.distribute.MirroredStrategy(logical_cpus[1:2]),
    }[strategy]()
    with scope.scope():
        variable = tf.Variable([0.0], name="v")
    averages = tf_mavg.ExponentialMovingAverage(0.5, placement="sharded")
    averages.create_averages([variable])
    variable.assign([1.0])
    scope.run(lambda: averages.apply([variable]))
    average = averages.average(variable)
    assert average.numpy() == [0.5]
    assert average.device == variable.device
    with averages.swapped():
        assert variable.numpy() == [0.5]
    assert variable.numpy() == [1.0]


def test_what_has_no_replicas_to_share_is_refused(logical_cpus):
    cpus = logical_cpus[:2]
    with tf.distribute.experimental.CentralStorageStrategy(cpus, cpus[0]).scope():
        variable = tf.Variable([1.0], name="v")
    averages = tf_mavg.ExponentialMovingAverage(0.5, placement="sharded")
    plain = tf.Variable([0.0])
    place = "CentralStorageStrategy"
    expected = rf"Received: 'v:0' of {place}; make the averages with placement=\"replicated\"\.$"
    with pytest.raises(ValueError, match=expected):
        averages.create_averages([plain, variable])
    assert averages.average(plain) is None


def test_a_graph_of_tensorflow_1_is_refused(logical_cpus):
    with tf.Graph().as_default():
        with tf1.distribute.MirroredStrategy(logical_cpus[:2]).scope():
            variable = tf1.get_variable("v", initializer=[1.0], use_resource=True)
        averages = tf_mavg.ExponentialMovingAverage(0.5, placement="sharded")
        with pytest.raises(ValueError, match="Received: 'v:0' of a graph of TensorFlow 1; make"):
            averages.create_averages([variable])


@pytest.mark.parametrize("face", [tf_mavg.ExponentialMovingAverage, tf_mavg.MovingAverageOptimizer])
def test_another_placement_is_refused(face):
    first = 0.5 if face is tf_mavg.ExponentialMovingAverage else tf1.train.AdamOptimizer()
    expected = r"`placement` must be one of \('replicated', 'sharded'\). Received: 'shared'\."
    with pytest.raises(ValueError, match=expected):
        face(first, placement="shared")
