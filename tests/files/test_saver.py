"""swapping_saver: averages under the variables' names, and back again without a loss."""

import re
from pathlib import Path

import graphs
import numpy as np
import pytest
import tensorflow as tf
from graphs import VARIABLE_KINDS
from oracle import assert_same_bits
from tensorflow.python.training.saving import saveable_object_util

import tf_mavg
from tf_mavg._tensorflow.swapped_names import MARK

tf1 = tf.compat.v1

kinds = pytest.mark.parametrize("kind", VARIABLE_KINDS)


def assert_values(received: list, expected: list) -> None:
    for value, other in zip(received, expected, strict=True):
        assert_same_bits(value, other)


def keys_of(path: str) -> set[str]:
    return set(tf.train.load_checkpoint(path).get_variable_to_shape_map())


@kinds
@pytest.mark.parametrize("sharded", [False, True])
def test_save_then_restore_is_the_identity(kind, sharded, tmp_path):
    with graphs.model(kind) as model:
        saver = model.optimizer.swapping_saver(sharded=sharded)
        assert isinstance(saver, tf1.train.Saver)
        model.initialize()
        model.train(5)
        saved = model.session.run(tf1.global_variables())
        path = saver.save(model.session, str(tmp_path / "model"))
        model.train(3)
        assert not np.array_equal(model.session.run(model.variables)[0], saved[0])
        saver.restore(model.session, path)
        assert_values(model.session.run(tf1.global_variables()), saved)


@kinds
def test_a_plain_saver_restores_the_averages_into_a_plain_model(kind, tmp_path):
    with graphs.model(kind) as model:
        saver = model.optimizer.swapping_saver()
        model.initialize()
        model.train(5)
        variables, averages = model.values()
        path = saver.save(model.session, str(tmp_path / "model"))
    with tf.Graph().as_default(), tf1.Session() as session:
        _, made = graphs.make_loss(kind)
        tf1.train.Saver().restore(session, path)
        received = session.run([s for v in made for s in (v if "partitioned" in kind else [v])])
    assert_values(received, averages)
    for variable, average in zip(variables, averages, strict=True):
        assert not np.array_equal(variable, average)


@kinds
def test_the_keys_are_the_models_and_those_of_the_averages(kind, tmp_path):
    with graphs.model(kind) as model:
        saver = model.optimizer.swapping_saver()
        model.initialize()
        path = saver.save(model.session, str(tmp_path / "model"))
        names = {"model/kernel", "model/bias"}
        slots = {f"{name}/{s}" for name in names for s in ("ExponentialMovingAverage", "Momentum")}
        assert keys_of(path) == names | slots | {"global_step", MARK}


def test_both_variables_and_averages_are_in_the_checkpoint(tmp_path):
    with graphs.model("resource") as model:
        saver = model.optimizer.swapping_saver()
        model.initialize()
        model.train(5)
        variables, averages = model.values()
        reader = tf.train.load_checkpoint(saver.save(model.session, str(tmp_path / "model")))
        assert_same_bits(reader.get_tensor("model/kernel"), averages[0])
        assert_same_bits(reader.get_tensor("model/kernel/ExponentialMovingAverage"), variables[0])


def test_every_call_of_apply_gradients_is_swapped(tmp_path):
    with tf.Graph().as_default(), tf1.Session() as session:
        loss, variables = graphs.make_loss("resource")
        optimizer = tf_mavg.MovingAverageOptimizer(tf1.train.GradientDescentOptimizer(0.1), 0.5)
        train_ops = [
            optimizer.apply_gradients(optimizer.compute_gradients(loss, [variable]))
            for variable in variables
        ]
        session.run(tf1.global_variables_initializer())
        session.run(train_ops)
        path = optimizer.swapping_saver().save(session, str(tmp_path / "model"))
        reader = tf.train.load_checkpoint(path)
        for variable in variables:
            average = session.run(optimizer.averages.average(variable))
            assert_same_bits(reader.get_tensor(variable.op.name), average)


@kinds
def test_var_list_may_be_a_dictionary(kind, tmp_path):
    with graphs.model(kind) as model:
        by_name = {}
        for i, (variable, average) in enumerate(zip(model.variables, model.averages, strict=True)):
            by_name |= {f"weights/{i}": variable, f"averages/{i}": average}
        if "partitioned" in kind:  # A shard is saved as a slice of the whole: not by itself.
            by_name = {
                "weights/kernel": model.variables[:2],
                "averages/kernel": model.averages[:2],
            }
        saver = model.optimizer.swapping_saver(by_name)
        model.initialize()
        model.train(3)
        variables, averages = model.values()
        path = saver.save(model.session, str(tmp_path / "model"))
        assert keys_of(path) == set(by_name) | {MARK}
        reader = tf.train.load_checkpoint(path)
        first = next(key for key in by_name if key.startswith("weights"))
        count = 2 if "partitioned" in kind else 1
        assert_same_bits(reader.get_tensor(first), np.concatenate(averages[:count]))
        model.train(2)
        saver.restore(model.session, path)
        received = model.values()
        assert_values(received[0][:count], variables[:count])
        assert_values(received[1][:count], averages[:count])


def test_a_partitioned_variable_may_be_named_whole(tmp_path):
    with tf.Graph().as_default(), tf1.Session() as session:
        loss, made = graphs.make_loss("resource, partitioned")
        optimizer = tf_mavg.MovingAverageOptimizer(tf1.train.GradientDescentOptimizer(0.1), 0.5)
        train_op = optimizer.minimize(loss)
        shards = [shard for variable in made for shard in variable]
        averages = [optimizer.averages.average(shard) for shard in shards]
        saver = optimizer.swapping_saver([*made, *averages])
        session.run(tf1.global_variables_initializer())
        session.run(train_op)
        path = saver.save(session, str(tmp_path / "model"))
        expected = np.concatenate(session.run(averages[:2]))
        reader = tf.train.load_checkpoint(path)
        assert_same_bits(reader.get_tensor("model/kernel"), expected)


@pytest.mark.parametrize("kind", [kind for kind in VARIABLE_KINDS if "partitioned" in kind])
@pytest.mark.parametrize("sequence", [list, tuple])
def test_a_list_of_one_shard_is_saved_as_a_part_of_the_whole(kind, sequence, tmp_path):
    with graphs.model(kind) as model:
        shard, average = model.variables[:1], model.averages[:1]
        saver = model.optimizer.swapping_saver({"w": sequence(shard), "a": sequence(average)})
        plain = tf1.train.Saver({"w": sequence(shard)})
        model.initialize()
        model.train(3)
        before = model.session.run([*shard, *average])
        path = saver.save(model.session, str(tmp_path / "model"))
        shapes = tf.train.load_checkpoint(path).get_variable_to_shape_map()
        assert shapes["w"] == shapes["a"] == [4, 3] != shard[0].shape.as_list()
        model.train(1)
        plain.restore(model.session, path)
        assert_values(model.session.run(shard), before[1:])
        saver.restore(model.session, path)
        assert_values(model.session.run([*shard, *average]), before)


def test_arguments_of_saver_are_handed_on(tmp_path):
    with graphs.model("resource") as model:
        saver = model.optimizer.swapping_saver(name="mine", max_to_keep=2)
        assert saver.as_saver_def().save_tensor_name.startswith("mine/")
        model.initialize()
        for step in range(4):
            saver.save(model.session, str(tmp_path / "model"), global_step=step)
        assert [Path(path).name for path in saver.last_checkpoints] == ["model-2", "model-3"]
        assert len(list(tmp_path.glob("model-*.index"))) == 2


@kinds
@pytest.mark.parametrize("present", ["none", "some"])
def test_missing_averages_start_from_their_variables_when_asked(kind, present, tmp_path, caplog):
    with graphs.model(kind) as model:
        initialize = tf1.global_variables_initializer()
        saver = model.optimizer.swapping_saver(start_missing_averages=True, unmarked="swapped")
        averages = {average.ref() for average in model.averages}
        # The first variable's averages: one, or one a shard.
        count = 2 if "partitioned" in kind else 1
        kept = {average.ref() for average in model.averages[:count]} if present == "some" else set()
        plain = tf1.train.Saver(
            [v for v in tf1.global_variables() if v.ref() not in averages - kept]
        )
        tf1.get_default_graph().finalize()
        model.session.run(initialize)
        model.train(4)
        variables, kept_averages = model.values()
        path = plain.save(model.session, str(tmp_path / "model"), write_meta_graph=False)
        model.train(2)
        with caplog.at_level("INFO"):
            saver.restore(model.session, path)
        restored, restored_averages = model.values()
        for i, average in enumerate(model.averages):
            if average.ref() in kept:  # Under its own name: a swapping saver would have swapped it.
                assert_same_bits(restored[i], kept_averages[i])
                assert_same_bits(restored_averages[i], variables[i])
            else:
                assert_same_bits(restored[i], variables[i])
                assert_same_bits(restored_averages[i], variables[i])
        lacking = 2 if present == "none" else 1
        expected = f"lacks {lacking} of 2 averages: each of these starts from its variable."
        assert expected in caplog.text
        model.train(1)


def test_missing_averages_are_refused_unless_asked(tmp_path):
    with graphs.model("resource") as model:
        saver = model.optimizer.swapping_saver()
        model.initialize()
        path = tf1.train.Saver(model.variables).save(model.session, str(tmp_path / "model"))
        before = model.session.run(model.variables)
        expected = re.escape(
            f"The checkpoint {path} lacks 2 of 2 averages, the first under key "
            "'model/bias/ExponentialMovingAverage'."
        )
        with pytest.raises(tf.errors.NotFoundError, match=expected):
            saver.restore(model.session, path)
        assert_values(model.session.run(model.variables), before)


def test_a_checkpoint_that_lacks_a_variable_changes_nothing(tmp_path):
    with graphs.model("resource") as model:
        saver = model.optimizer.swapping_saver(start_missing_averages=True, unmarked="swapped")
        model.initialize()
        kept = tf1.train.Saver([v for v in tf1.global_variables() if "bias" not in v.name])
        path = kept.save(model.session, str(tmp_path / "model"))
        model.train(2)
        before = model.session.run(tf1.global_variables())
        with pytest.raises(Exception, match="model/bias"):
            saver.restore(model.session, path)
        assert_values(model.session.run(tf1.global_variables()), before)


def test_a_checkpoint_of_other_shapes_changes_nothing(tmp_path):
    with graphs.model("resource") as model:
        saver = model.optimizer.swapping_saver(start_missing_averages=True, unmarked="swapped")
        model.initialize()
        other = tf1.Variable([1.0, 2.0], use_resource=True)
        model.session.run(other.initializer)
        saved = {v.op.name: v for v in tf1.global_variables() if v is not other}
        del saved["model/bias/ExponentialMovingAverage"]
        kept = tf1.train.Saver(saved | {"model/bias": other})
        path = kept.save(model.session, str(tmp_path / "model"))
        model.train(2)
        before = model.session.run(tf1.global_variables())
        expected = re.escape("'model/bias:0' with shape (4,). Received: shape (2,).")
        with pytest.raises(ValueError, match=expected):
            saver.restore(model.session, path)
        assert_values(model.session.run(tf1.global_variables()), before)


@kinds
@pytest.mark.parametrize("start", [False, True])
def test_other_objects_are_saved_beside_the_variables(kind, start, tmp_path):
    """Lookup tables are, as with a plain Saver, by default; here also a variable's own saveable."""
    with graphs.model(kind) as model:
        table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, default_value=-1)
        insert = table.insert(tf.constant(["a", "b"]), tf.constant([1, 2], tf.int64))
        clear = table.remove(tf.constant(["a", "b"]))
        found = table.lookup(tf.constant(["a", "b", "c"]))
        (saveable,) = saveable_object_util.saveable_objects_for_op(model.global_step, "step")
        var_list = [
            *(v for v in tf1.global_variables() if v is not model.global_step),
            *tf1.get_collection(tf1.GraphKeys.SAVEABLE_OBJECTS),
            saveable,
        ]
        savers = [
            model.optimizer.swapping_saver(start_missing_averages=start),
            model.optimizer.swapping_saver(var_list, start_missing_averages=start),
        ]
        averages = {average.ref() for average in model.averages}
        plain = tf1.train.Saver(
            [
                *(v for v in tf1.global_variables() if v.ref() not in averages),
                *tf1.get_collection(tf1.GraphKeys.SAVEABLE_OBJECTS),
            ]
        )
        model.initialize()
        model.session.run(insert)
        model.train(2)
        for i, saver in enumerate([*savers, plain] if start else savers):
            path = saver.save(model.session, str(tmp_path / f"model{i}"))
            step = model.session.run(model.global_step)
            model.train(1)
            model.session.run(clear)
            (savers[0] if saver is plain else saver).restore(model.session, path)
            assert model.session.run(found).tolist() == [1, 2, -1]
            assert model.session.run(model.global_step) == step


def test_a_checkpoint_that_does_not_exist(tmp_path):
    with graphs.model("resource") as model:
        saver = model.optimizer.swapping_saver(start_missing_averages=True)
        with pytest.raises(ValueError, match="not a valid checkpoint"):
            saver.restore(model.session, str(tmp_path / "nothing"))
        with pytest.raises(ValueError, match="None"):
            saver.restore(model.session, None)


@pytest.mark.parametrize("missing", ["average", "variable"])
def test_a_variable_without_its_average_is_refused(missing):
    with graphs.model("resource") as model:
        left_out = (model.averages if missing == "average" else model.variables)[0]
        var_list = [v for v in tf1.global_variables() if v is not left_out]
        expected = re.escape(
            f"Variable to swap {left_out.op.name} is not part of variables to save. "
            "This breaks MovingAverageOptimizer."
        )
        with pytest.raises(ValueError, match=expected):
            model.optimizer.swapping_saver(var_list)


def test_before_minimize():
    optimizer = tf_mavg.MovingAverageOptimizer(tf1.train.GradientDescentOptimizer(0.1))
    with pytest.raises(RuntimeError, match="Must call apply_gradients or minimize before"):
        optimizer.swapping_saver()


def test_after_a_restore_no_step_is_needed(tmp_path):
    def made():
        v = tf.Variable([1.0], name="v")
        optimizer = tf_mavg.MovingAverageOptimizer(tf1.train.GradientDescentOptimizer(1.0), 0.5)
        return v, optimizer, tf.train.Checkpoint(v=v, optimizer=optimizer)

    v, optimizer, checkpoint = made()
    optimizer.apply_gradients([(tf.constant([-2.0]), v)])
    path = checkpoint.write(str(tmp_path / "objects"))
    v, optimizer, checkpoint = made()
    checkpoint.read(path).assert_consumed()
    by_key = {"v": v, "average": optimizer.averages.average(v)}
    saver = optimizer.swapping_saver(by_key)
    path = saver.save(None, str(tmp_path / "model"))
    assert [tf.train.load_variable(path, key) for key in by_key] == [2, 3]
    optimizer.apply_gradients([(tf.constant([-2.0]), v)])
    saver.restore(None, path)
    assert [one.numpy() for one in by_key.values()] == [3, 2]


def test_neither_saves_nor_restores_while_swapped(tmp_path):
    with graphs.model("resource") as model:
        saver = model.optimizer.swapping_saver()
        model.initialize()
        model.train(2)
        path = saver.save(model.session, str(tmp_path / "model"))
        with model.optimizer.averages.swapped():
            with pytest.raises(RuntimeError, match="cannot be saved while"):
                saver.save(model.session, str(tmp_path / "other"))
            with pytest.raises(RuntimeError, match="cannot be restored while"):
                saver.restore(model.session, path)
            with pytest.raises(RuntimeError, match=r"leave swapped\(\) first"):
                saver.save(model.session, str(tmp_path / "other"))
        with (
            model.optimizer.averages.swapped_for_saving(),
            pytest.raises(RuntimeError, match="names by itself"),
        ):
            saver.save(model.session, str(tmp_path / "other"))
        saver.save(model.session, str(tmp_path / "other"))


def test_it_serves_a_monitored_session(tmp_path):
    for expected_step in (3, 6):
        with tf.Graph().as_default():
            loss, _ = graphs.make_loss("resource")
            step = tf1.train.get_or_create_global_step()
            optimizer = tf_mavg.MovingAverageOptimizer(tf1.train.GradientDescentOptimizer(0.01))
            train_op = optimizer.minimize(loss, step)
            scaffold = tf1.train.Scaffold(saver=optimizer.swapping_saver())
            optimizer.averages.swapped(None)  # Makes the op before the graph is finalized.
            hooks = [tf1.train.CheckpointSaverHook(str(tmp_path), save_steps=1, scaffold=scaffold)]
            creator = tf1.train.ChiefSessionCreator(scaffold, checkpoint_dir=str(tmp_path))
            with tf1.train.MonitoredSession(creator, hooks=hooks) as session:
                for _ in range(3):
                    session.run(train_op)
                with optimizer.averages.swapped(session):  # The hook saves at none of its runs.
                    pass
                assert session.run(step) == expected_step
