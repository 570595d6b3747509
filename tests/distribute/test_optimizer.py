"""The optimizer of TensorFlow 1, eagerly and in a tf.function, under each strategy of one process.

Replica i has the gradient -1 - i/2, so two replicas take a step of 2.5 together.
"""

import numpy as np
import pytest
import tensorflow as tf
from oracle import assert_same_bits, updated
from strategies import STRATEGIES, components

import tf_mavg

tf1 = tf.compat.v1


class Training:
    """A variable that starts at 1, the optimizer that trains it, and a step of all replicas."""

    def __init__(self, strategy, optimizer, decay, *, traced) -> None:
        """Makes them; the first step makes the averages."""
        with strategy.scope():
            self.variable = tf.Variable([1.0, -1.0], name="v")
            self.optimizer = tf_mavg.MovingAverageOptimizer(optimizer, decay)

        @tf.autograph.experimental.do_not_convert
        def replica_step():
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            gradient = tf.fill([2], -1.0 - tf.cast(replica, tf.float32) / 2)
            self.optimizer.apply_gradients([(gradient, self.variable)])

        self.step = lambda: strategy.run(replica_step)
        if traced:
            self.step = tf.function(self.step, autograph=False)

    @property
    def average(self):
        """The variable's average; None before the first step."""
        return self.optimizer.averages.average(self.variable)

    def bits(self):
        """The bytes of all components."""
        both = (self.variable, self.average)
        return [one.numpy().tobytes() for variable in both for one in components(variable)]


@pytest.fixture(params=[False, True], ids=["eager", "function"])
def traced(request):
    return request.param


@pytest.fixture(params=STRATEGIES)
def strategy(request, logical_cpus):
    return STRATEGIES[request.param](logical_cpus)


@pytest.fixture
def training(strategy, traced):
    return Training(strategy, tf1.train.MomentumOptimizer(0.1, 0.9), 0.9, traced=traced)


def test_a_step_is_taken_once_and_averaged_once(strategy, traced):
    optimizer = tf1.train.GradientDescentOptimizer(1.0)
    training = Training(strategy, optimizer, 0.5, traced=traced)
    training.step()
    trained = 1 + sum(1 + i / 2 for i in range(strategy.num_replicas_in_sync))
    assert trained == (3.5 if strategy.num_replicas_in_sync == 2 else 2.0)
    for one, average in zip(
        components(training.variable), components(training.average), strict=True
    ):
        assert one.numpy()[0] == trained
        assert average.numpy()[0] == (1 + trained) / 2  # 2.25 of two replicas.
        assert average.device == one.device


def test_steps_equal_the_oracle_bit_for_bit(training):
    expected = np.array([1.0, -1.0], np.float32)
    for _ in range(10):
        training.step()
        first, *others = components(training.variable)
        expected = updated(expected, first.numpy(), 0.9)
        for average in components(training.average):
            assert_same_bits(average.numpy(), expected)
        for one in others:
            assert_same_bits(one.numpy(), first.numpy())


def test_a_step_while_swapped_is_refused_and_trains_nothing(training):
    training.step()
    before = training.bits()
    with training.optimizer.averages.swapped():
        half = len(before) // 2
        swapped = training.bits()
        assert swapped == [*before[half:], *before[:half]]
        with pytest.raises((RuntimeError, tf.errors.InvalidArgumentError)) as refused:
            training.step()
        assert "Variables cannot be trained while averages and variables are" in str(refused.value)
        assert training.bits() == swapped
    assert training.bits() == before


def test_a_checkpoint_goes_on_without_a_strategy(training, tmp_path):
    for _ in range(3):
        training.step()
    checkpoint = tf.train.Checkpoint(v=training.variable, optimizer=training.optimizer)
    path = checkpoint.save(str(tmp_path / "c"))
    inner = tf1.train.MomentumOptimizer(0.1, 0.9)
    alone = Training(tf.distribute.get_strategy(), inner, 0.9, traced=False)
    status = tf.train.Checkpoint(v=alone.variable, optimizer=alone.optimizer).restore(path)
    alone.optimizer.apply_gradients([(tf.zeros([2]), alone.variable)])  # Makes averages and slots.
    status.assert_consumed()
    momentum = training.optimizer.get_slot(components(training.variable)[0], "momentum")
    moved = components(training.variable)[0].numpy() - np.float32(0.1) * (
        np.float32(0.9) * momentum.numpy()
    )
    assert_same_bits(alone.variable.numpy(), moved)
    start = components(training.average)[0].numpy()
    assert_same_bits(alone.average.numpy(), updated(start, moved, 0.9))
