"""Each trick with TensorFlow's private names: what an upgrade takes away fails here by its name."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from tf_mavg._compat import tensorflow as compat


def test_runs_at_once():
    assert compat.runs_at_once()
    with context.execution_mode(context.ASYNC):
        assert not compat.runs_at_once()
    assert compat.runs_at_once()
    asked = []
    tf.function(lambda: asked.append(compat.runs_at_once()))()
    with tf.Graph().as_default():
        asked.append(compat.runs_at_once())
    assert asked == [False, False]


def test_is_cpu_here():
    with tf.device("CPU:0"):
        assert compat.is_cpu_here(tf.Variable(1.0).device)
    assert not compat.is_cpu_here("/job:worker/replica:0/task:1/device:CPU:0")
    assert not compat.is_cpu_here("/job:localhost/replica:0/task:0/device:GPU:0")


def test_unconverted():
    @compat.unconverted
    def loops():
        return [i for i in tf.range(2)]  # noqa: C416 - converted, it would be a loop of the graph.

    with pytest.raises(tf.errors.OperatorNotAllowedInGraphError, match="AutoGraph"):
        tf.function(loops)()


def test_make_variable_past_the_creators():
    seen = []

    def creator(next_creator, **kwargs: object):
        seen.append(kwargs)
        return next_creator(**kwargs)

    with tf.variable_creator_scope(creator):
        variable = compat.make_variable([1.0], name="name")
    assert not seen
    assert isinstance(variable, tf.Variable)
    assert (variable.name, variable.trainable, variable.numpy()) == ("name:0", False, 1.0)


def test_a_noting_variable_tells_of_restores(tmp_path):
    noted = []
    variable = compat.NotingVariable(
        initial_value=True, note=lambda *noticed: noted.append(noticed), name="mark"
    )
    checkpoint = tf.train.Checkpoint(mark=variable)
    path = checkpoint.save(str(tmp_path / "c"))
    variable.assign(value=False)
    since = compat.next_restore()
    checkpoint.restore(path)
    ((value, restore),) = noted
    assert bool(value)
    assert restore > since
    assert compat.was_restored(variable, since)
    assert not compat.was_restored(variable, compat.next_restore())


def test_in_asynchronous_save(tmp_path):
    seen = []

    class Asks(tf.Module):
        def _trackable_children(self, save_type="checkpoint", cache=None):
            seen.append(compat.in_asynchronous_save())
            return super()._trackable_children(save_type, cache=cache)

    module = Asks()
    module.variable = tf.Variable(1.0)
    checkpoint = tf.train.Checkpoint(module=module)
    checkpoint.write(str(tmp_path / "sync"))
    assert set(seen) == {False}
    checkpoint.write(str(tmp_path / "async"), options=tf.train.CheckpointOptions(enable_async=True))
    checkpoint.sync()
    assert set(seen) == {False, True}


@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiles_with_xla(jit_compile):
    seen = []

    @tf.function
    def inner():
        seen.append(compat.compiles_with_xla())

    @tf.function(jit_compile=jit_compile)
    def outer():
        seen.append(compat.compiles_with_xla())
        inner()

    outer()
    assert seen == [jit_compile, jit_compile]


def test_is_exporting(tmp_path):
    seen = []
    module = tf.Module()

    @tf.function
    def call():
        seen.append(compat.is_exporting())

    module.call = call
    call()
    tf.saved_model.save(module, str(tmp_path))
    assert not seen[0]
    assert seen[-1]


def test_checkpoint_objects():
    variable = tf.Variable([1.0])
    optimizer = tf.compat.v1.train.MomentumOptimizer(0.1, 0.9)
    optimizer.apply_gradients([(tf.constant([1.0]), variable)])
    objects = compat.checkpoint_objects(tf.train.Checkpoint(v=variable, optimizer=optimizer))
    slot = optimizer.get_slot(variable, "momentum")
    assert [any(one is other for other in objects) for one in (variable, optimizer, slot)] == [
        True
    ] * 3


def test_forget_deferred(tmp_path):
    path = tf.train.Checkpoint(v=tf.Variable(1.0)).save(str(tmp_path / "c"))
    checkpoint = tf.train.Checkpoint()
    since = compat.next_restore()
    checkpoint.restore(path)
    compat.forget_deferred([checkpoint], since)
    checkpoint.v = tf.Variable(0.0)
    assert checkpoint.v.numpy() == 0
    checkpoint = tf.train.Checkpoint()
    checkpoint.restore(path)
    compat.forget_deferred([checkpoint], compat.next_restore())
    checkpoint.v = tf.Variable(0.0)
    assert checkpoint.v.numpy() == 1


class Halves(tf.Module):
    """Takes the slots of a checkpoint's optimizer apart."""

    def _create_or_restore_slot_variable(self, slot_variable_position, slot_name, **_: object):
        assert slot_name == "momentum"
        assert compat.dtype_in_checkpoint(slot_variable_position) == tf.float32
        value = compat.value_in_checkpoint(slot_variable_position)
        self.high = tf.Variable(tf.cast(value, tf.bfloat16))
        self.low = tf.Variable(value - tf.cast(self.high, tf.float32))
        compat.bind_restored(slot_variable_position, [self.high, self.low])


def test_bind_restored(tmp_path):
    """Also of dtype_in_checkpoint and value_in_checkpoint."""
    weight = tf.Variable([1.5, 2.0])
    optimizer = tf.compat.v1.train.MomentumOptimizer(0.1, 0.9)
    optimizer.apply_gradients([(tf.constant([3.001, 4.0]), weight)])
    path = tf.train.Checkpoint(optimizer=optimizer, weight=weight).write(str(tmp_path / "c"))
    halves, other = Halves(), tf.Variable([0.0, 0.0])
    since = compat.next_restore()
    restored = tf.train.Checkpoint(optimizer=halves, weight=other).read(path)
    np.testing.assert_array_equal(
        tf.cast(halves.high, tf.float32) + halves.low, np.float32([3.001, 4.0])
    )
    assert compat.was_restored(halves.low, since)
    restored.assert_existing_objects_matched()


class Doubled(tf.Module):
    """Restores a slot as twice its value."""

    def _create_or_restore_slot_variable(self, slot_variable_position, slot_name, **_: object):
        assert slot_name == "momentum"
        value = compat.value_in_checkpoint(slot_variable_position)
        self.twice = tf.Variable([0.0, 0.0])
        compat.add_restored(slot_variable_position, [self.twice.assign(2 * value)])


def test_add_restored(tmp_path):
    weight = tf.Variable([1.5, 2.0])
    optimizer = tf.compat.v1.train.MomentumOptimizer(0.1, 0.9)
    optimizer.apply_gradients([(tf.constant([3.0, 4.0]), weight)])
    path = tf.train.Checkpoint(optimizer=optimizer, weight=weight).write(str(tmp_path / "c"))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        doubled, other = Doubled(), tf.Variable([0.0, 0.0])
        restored = tf.train.Checkpoint(optimizer=doubled, weight=other).read(path)
        session.run(doubled.twice.initializer)
        restored.run_restore_ops(session)
        np.testing.assert_array_equal(session.run(doubled.twice), [6.0, 8.0])


def test_note_checkpoint_step(tmp_path):
    step = tf.Variable(0)
    manager = tf.train.CheckpointManager(
        tf.train.Checkpoint(step=step), str(tmp_path), 3, step_counter=step, checkpoint_interval=2
    )
    step.assign(5)
    compat.note_checkpoint_step(manager)
    step.assign(6)
    assert manager.save() is None
    step.assign(7)
    assert manager.save() is not None


def test_is_copied_for_saving(tmp_path):
    module = tf.Module()
    module.first = tf.Variable(1.0)
    checkpoint = tf.train.Checkpoint(module=module)
    assert compat.is_copied_for_saving(checkpoint, [module.first])
    options = tf.train.CheckpointOptions(enable_async=True)
    checkpoint.write(str(tmp_path / "a"), options=options)
    module.second = tf.Variable(2.0)
    assert compat.is_copied_for_saving(checkpoint, [module.first])
    assert not compat.is_copied_for_saving(checkpoint, [module.first, module.second])
    checkpoint.sync()


def test_create_slots():
    variable = tf.Variable([1.0])
    optimizer = tf.compat.v1.train.MomentumOptimizer(0.1, 0.9)
    compat.create_slots(optimizer, (one for one in [variable]))
    slot = optimizer.get_slot(variable, "momentum")
    assert slot.numpy() == [0.0]
    optimizer.apply_gradients([(tf.constant([2.0]), variable)])
    assert optimizer.get_slot(variable, "momentum") is slot
