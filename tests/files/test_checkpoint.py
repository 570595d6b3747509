"""tf.train.Checkpoint: averages by object, and averages in the place of the variables."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_models import averages, data, make, values, wrap
from oracle import assert_same_bits

import tf_mavg

tf1 = tf.compat.v1


def assert_same(received, expected):
    for value, other in zip(received, expected, strict=True):
        assert_same_bits(value, other)


class Trainer:
    """A custom loop: two variables, an optimizer with state, and averages."""

    def __init__(self, kind: str, *, started: bool = True) -> None:
        """Makes the objects; `started` makes the averages too."""
        self.variables = [tf.Variable(tf.ones([3])), tf.Variable(tf.zeros([2, 2]))]
        self.model = tf.Module()
        self.model.weights = self.variables
        if kind == "optimizer":
            self.optimizer = tf_mavg.MovingAverageOptimizer(tf1.train.AdamOptimizer(0.1), 0.75)
            self.ema = self.optimizer.averages
            self.checkpoint = tf.train.Checkpoint(model=self.model, optimizer=self.optimizer)
        else:
            self.optimizer = tf1.train.AdamOptimizer(0.1)
            self.ema = tf_mavg.ExponentialMovingAverage(0.75)
            self.checkpoint = tf.train.Checkpoint(
                model=self.model, optimizer=self.optimizer, ema=self.ema
            )
        if started:
            self.ema.create_averages(self.variables)

    def train(self, steps: int) -> None:
        """Takes some steps."""
        for _ in range(steps):
            gradients = [tf.sin(variable) + 1.0 for variable in self.variables]
            self.optimizer.apply_gradients(zip(gradients, self.variables, strict=True))
            if not isinstance(self.optimizer, tf_mavg.MovingAverageOptimizer):
                self.ema.apply(self.variables)

    def state(self):
        """The variables, then their averages."""
        return values([*self.variables, *(self.ema.average(v) for v in self.variables)])


kinds = pytest.mark.parametrize("kind", ["averages", "optimizer"])


@kinds
@pytest.mark.parametrize("started", [False, True], ids=["restored before averages", "started"])
def test_a_checkpoint_restores_every_bit_and_training_goes_on_alike(kind, started, tmp_path):
    trainer = Trainer(kind)
    trainer.train(3)
    path = trainer.checkpoint.save(tmp_path / "checkpoint")
    copy = Trainer(kind, started=started)
    copy.checkpoint.restore(path)
    copy.ema.create_averages(copy.variables)
    assert_same(copy.state(), trainer.state())
    for either in (trainer, copy):
        either.train(3)
    assert_same(copy.state(), trainer.state())


@kinds
def test_saving_and_restoring_while_swapped_is_refused(kind, tmp_path):
    trainer = Trainer(kind)
    trainer.train(1)
    path = trainer.checkpoint.save(tmp_path / "checkpoint")
    for act in (lambda: trainer.checkpoint.save(path), lambda: trainer.checkpoint.restore(path)):
        with (
            trainer.ema.swapped(),
            pytest.raises(RuntimeError, match="A checkpoint cannot be saved or restored while"),
        ):
            act()
    trainer.checkpoint.save(path)


@kinds
def test_a_swapping_manager_writes_averages_for_evaluation_and_resumes_exactly(kind, tmp_path):
    trainer = Trainer(kind)
    trainer.train(3)
    manager = tf_mavg.SwappingCheckpointManager(
        trainer.checkpoint, trainer.ema, str(tmp_path), max_to_keep=1
    )
    before = trainer.state()
    path = manager.save()
    assert_same(trainer.state(), before)
    evaluated = Trainer(kind)
    tf.train.Checkpoint(model=evaluated.model).restore(path).expect_partial()
    assert_same(evaluated.state()[:2], before[2:])
    resumed = Trainer(kind)
    assert manager.latest_checkpoint == path
    again = tf_mavg.SwappingCheckpointManager(
        resumed.checkpoint, resumed.ema, str(tmp_path), max_to_keep=1
    )
    assert again.restore_or_initialize() == path
    assert_same(resumed.state(), before)
    for either in (trainer, resumed):
        either.train(2)
    assert_same(resumed.state(), trainer.state())


def test_a_swapping_manager_refuses_a_plain_checkpoint(tmp_path):
    trainer = Trainer("averages")
    trainer.train(1)
    without_mark = trainer.checkpoint.save(tmp_path / "plain")
    manager = tf_mavg.SwappingCheckpointManager(trainer.checkpoint, trainer.ema, str(tmp_path))
    with_mark = trainer.checkpoint.save(tmp_path / "plain")
    before = trainer.state()
    for path in (without_mark, with_mark):
        with pytest.raises(ValueError, match="must be one of a SwappingCheckpointManager"):
            manager.restore(path)
    assert_same(trainer.state(), before)


def test_what_was_restored_without_the_manager_is_not_saved_but_restored_again(tmp_path):
    trainer = Trainer("averages")
    trainer.train(2)
    manager = tf_mavg.SwappingCheckpointManager(trainer.checkpoint, trainer.ema, str(tmp_path))
    before, path = trainer.state(), manager.save()
    trainer.checkpoint.restore(path)
    assert_same(trainer.state(), before[2:] + before[:2])
    with pytest.raises(RuntimeError, match="in each other's places, because a checkpoint"):
        manager.save()
    manager.restore(path)
    assert_same(trainer.state(), before)
    manager.save()


def test_managers_of_one_checkpoint_agree(tmp_path):
    trainer = Trainer("averages")
    trainer.train(1)
    first, second = (
        tf_mavg.SwappingCheckpointManager(trainer.checkpoint, trainer.ema, str(tmp_path / name))
        for name in ("a", "b")
    )
    before = trainer.state()
    second.restore(first.save())
    assert_same(trainer.state(), before)


def test_a_manager_without_a_checkpoint_initializes(tmp_path):
    trainer, calls = Trainer("averages"), []
    manager = tf_mavg.SwappingCheckpointManager(
        trainer.checkpoint, trainer.ema, str(tmp_path), init_fn=lambda: calls.append(1)
    )
    assert manager.restore() is None
    assert manager.restore_or_initialize() is None
    assert calls == [1]


def test_a_swapping_manager_of_a_keras_model(tmp_path):
    x, y = data()
    optimizer = wrap("adam")
    model = make(optimizer)
    model.fit(x, y, verbose=0)
    checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer)
    manager = tf_mavg.SwappingCheckpointManager(checkpoint, optimizer, str(tmp_path))
    path = manager.save()
    plain = make("adam")
    tf.train.Checkpoint(model=plain).restore(path).expect_partial()
    assert_same(values(plain.trainable_variables), averages(optimizer, model))
    other = wrap("adam")
    copy = make(other)
    other.build(copy.trainable_variables)
    resumed = tf.train.Checkpoint(model=copy, optimizer=other)
    tf_mavg.SwappingCheckpointManager(resumed, other, str(tmp_path)).restore()
    for either in (model, copy):
        either.fit(x, y, shuffle=False, verbose=0)
    assert_same(values(copy.trainable_variables), values(model.trainable_variables))
    assert_same(averages(other, copy), averages(optimizer, model))


def test_a_failed_restore_of_a_keras_model_changes_nothing(tmp_path):
    x, y = data()
    optimizer = wrap("adam", exclude="bias")
    model = make(optimizer)
    model.fit(x, y, verbose=0)
    checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer)
    tf_mavg.SwappingCheckpointManager(checkpoint, optimizer, str(tmp_path)).save()
    other = wrap("adam")
    copy = make(other)
    copy.fit(x, y, epochs=2, verbose=0)
    before = values(copy.trainable_variables), values(other.variables)
    resumed = tf.train.Checkpoint(model=copy, optimizer=other)
    with pytest.raises(AssertionError, match="lacks 2 of 4 averages"):
        tf_mavg.SwappingCheckpointManager(resumed, other, str(tmp_path)).restore()
    assert_same(values(copy.trainable_variables), before[0])
    assert_same(values(other.variables), before[1])
    assert not other.is_swapped


def test_averages_that_their_weights_cannot_hold_are_refused(tmp_path):
    weight = keras.Variable(np.ones(4), dtype="bfloat16")
    optimizer = wrap(average_dtype="float32")
    optimizer.build([weight])
    checkpoint = tf.train.Checkpoint(weight=weight, optimizer=optimizer)
    manager = tf_mavg.SwappingCheckpointManager(checkpoint, optimizer, str(tmp_path))
    with pytest.raises(TypeError, match="must have the dtype of its weight to be saved"):
        manager.save()
    assert not optimizer.is_swapped
