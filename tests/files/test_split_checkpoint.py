"""Object checkpoints of split averages, and of others that become split ones, and the other way."""

import numpy as np
import pytest
import tensorflow as tf
from oracle import BFLOAT16, FLOAT32, assert_same_bits, normal, split

import tf_mavg

tf1 = tf.compat.v1
KINDS = ["float32", "same", "split"]


class Trainer:
    """Two bfloat16 variables and a float32 one, and two averages of each."""

    def __init__(self, choice, face="averages", *, started=True) -> None:
        """Makes the objects; `started` makes the averages too."""
        dtypes = [tf.bfloat16, tf.bfloat16, tf.float32]
        self.model = tf.Module()
        self.variables = [
            tf.Variable(tf.ones([40], dtype), name=f"w{i}") for i, dtype in enumerate(dtypes)
        ]
        self.model.weights = self.variables
        decays = [0.9, 0.99]
        if face == "optimizer":
            self.optimizer = tf_mavg.MovingAverageOptimizer(
                tf1.train.AdamOptimizer(0.1), decays, average_dtype=choice
            )
            self.ema = self.optimizer.averages
            self.checkpoint = tf.train.Checkpoint(model=self.model, optimizer=self.optimizer)
        else:
            self.ema = tf_mavg.ExponentialMovingAverage(decays, average_dtype=choice)
            self.checkpoint = tf.train.Checkpoint(model=self.model, ema=self.ema)
        if started:
            self.ema.create_averages(self.variables)

    def train(self, rng, steps=3):
        """Takes steps to anywhere."""
        for _ in range(steps):
            for variable in self.variables:
                variable.assign(normal(rng, 40, np.dtype(variable.dtype.as_numpy_dtype)))
            self.ema.apply(self.variables)

    def values(self):
        """All averages with all of their bits, as tensors."""
        return [
            self.ema.average_value(variable, index)
            for index in range(2)
            for variable in self.variables
        ]

    def exact(self):
        """All averages with all of their bits."""
        return [value.numpy() for value in self.values()]


def assert_restored(received, expected):
    """Has averages be those of a file, to all bits that they can hold."""
    for before, after in zip(expected, received, strict=True):
        wide, wide_after = before.astype(FLOAT32), after.astype(FLOAT32)
        if after.dtype == BFLOAT16 and before.dtype == FLOAT32:  # Rounded, by either rule.
            np.testing.assert_allclose(wide_after, wide, rtol=2**-8)
        else:
            assert_same_bits(wide_after, wide)


faces = pytest.mark.parametrize("face", ["averages", "optimizer"])
started = pytest.mark.parametrize("started", [False, True], ids=["late", "started"])


@faces
@started
@pytest.mark.parametrize("wrote", KINDS)
@pytest.mark.parametrize("reads", KINDS)
def test_each_kind_of_average_restores_from_each(  # noqa: PLR0913, PLR0917 - what it depends on.
    wrote, reads, face, started, rng, tmp_path
):
    writer = Trainer(wrote, face)
    writer.train(rng)
    path = writer.checkpoint.save(str(tmp_path / "c"))
    reader = Trainer(reads, face, started=started)
    if started:
        reader.train(rng, 1)
    reader.checkpoint.restore(path).assert_existing_objects_matched()
    reader.ema.create_averages(reader.variables)
    assert_restored(reader.exact(), writer.exact())
    for one, other in zip(writer.variables, reader.variables, strict=True):
        assert_same_bits(other.numpy(), one.numpy())


@started
@pytest.mark.parametrize("wrote", KINDS)
@pytest.mark.parametrize("reads", KINDS)
def test_a_session_restores_each_kind_of_average_from_each(wrote, reads, started, rng, tmp_path):
    writer = Trainer(wrote)
    writer.train(rng)
    path = writer.checkpoint.save(str(tmp_path / "c"))
    with tf.Graph().as_default(), tf1.Session() as session:
        reader = Trainer(reads, started=started)
        if started:  # Averages of other values, whose remainders are not 0.
            session.run(tf1.global_variables_initializer())
            away = [v.assign(tf.cast(tf.fill([40], 1.2345), v.dtype)) for v in reader.variables]
            with tf.control_dependencies([one.op for one in away]):
                moved = reader.ema.apply(reader.variables)
            session.run(moved)
        restored = reader.checkpoint.restore(path)
        restored.assert_existing_objects_matched().expect_partial()  # A Session has no swap state.
        restored.initialize_or_restore(session)
        received = session.run(reader.values())
        weights = session.run(reader.variables)
    assert_restored(received, writer.exact())
    for one, other in zip(writer.variables, weights, strict=True):
        assert_same_bits(other, one.numpy())


def test_a_checkpoint_holds_the_upper_half_and_the_remainder(rng, tmp_path):
    trainer = Trainer("split")
    trainer.train(rng)
    path = trainer.checkpoint.write(str(tmp_path / "c"))
    reader = tf.train.load_checkpoint(path)
    slot = "model/weights/0/.OPTIMIZER_SLOT/ema/averages/{}/.ATTRIBUTES/VARIABLE_VALUE"
    for index, name in enumerate(["average", "average_1"]):
        high, remainder = split(trainer.ema.average_value(trainer.variables[0], index).numpy())
        assert_same_bits(reader.get_tensor(slot.format(name)), high)
        assert_same_bits(reader.get_tensor(slot.format(f"{name}_remainder")), remainder)
    keys = reader.get_variable_to_dtype_map()
    assert slot.replace("/0/", "/2/").format("average_remainder") not in keys


def test_training_goes_on_alike(rng, tmp_path):
    writer, reader = Trainer("split"), Trainer("split", started=False)
    writer.train(rng)
    reader.checkpoint.restore(writer.checkpoint.save(str(tmp_path / "c")))
    for trainer in (writer, reader):
        trainer.train(np.random.default_rng(5))
    for one, other in zip(writer.exact(), reader.exact(), strict=True):
        assert_same_bits(one, other)


def test_a_swapping_manager_saves_the_upper_halves_for_weights(rng, tmp_path):
    writer = Trainer("split")
    writer.train(rng)
    trained = [variable.numpy() for variable in writer.variables]
    manager = tf_mavg.SwappingCheckpointManager(writer.checkpoint, writer.ema, str(tmp_path), 2)
    path = manager.save()
    plain = Trainer("same", started=False)
    tf.train.Checkpoint(model=plain.model).restore(path).expect_partial()
    for variable, value in zip(plain.variables, writer.exact(), strict=False):
        expected = split(value)[0] if variable.dtype == tf.bfloat16 else value
        assert_same_bits(variable.numpy(), expected)
    reader = Trainer("split", started=False)
    tf_mavg.SwappingCheckpointManager(reader.checkpoint, reader.ema, str(tmp_path), 2).restore()
    for one, other in zip(writer.exact(), reader.exact(), strict=True):
        assert_same_bits(one, other)
    for variable, value in zip(reader.variables, trained, strict=True):
        assert_same_bits(variable.numpy(), value)


def test_variables_that_a_checkpoint_does_not_track_have_averages_by_name(rng, tmp_path):
    trainer = Trainer("split")
    trainer.train(rng)
    before = trainer.exact()
    checkpoint = tf.train.Checkpoint(ema=trainer.ema)
    path = checkpoint.write(str(tmp_path / "c"))
    trainer.train(rng)
    checkpoint.read(path)
    for one, other in zip(before, trainer.exact(), strict=True):
        assert_same_bits(one, other)


def test_a_restore_that_fails_changes_no_half(rng, tmp_path):
    other = Trainer("split")
    other.train(rng)
    manager = tf_mavg.SwappingCheckpointManager(other.checkpoint, other.ema, str(tmp_path), 2)
    path = manager.save()
    trainer = Trainer("split")
    trainer.variables.append(tf.Variable([1.0], dtype=tf.bfloat16, name="more"))
    trainer.model.more = trainer.variables[-1]
    trainer.ema.create_averages(trainer.variables)
    trainer.variables.pop()
    trainer.train(rng)
    before = trainer.exact()
    manager = tf_mavg.SwappingCheckpointManager(trainer.checkpoint, trainer.ema, str(tmp_path), 2)
    with pytest.raises(Exception, match="more"):
        manager.restore(path)
    for one, value in zip(trainer.exact(), before, strict=True):
        assert_same_bits(one, value)
