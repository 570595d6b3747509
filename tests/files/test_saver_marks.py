"""swapping_saver over files of every origin: each value comes to its own place, or none moves."""

import re
from pathlib import Path

import graphs
import pytest
import tensorflow as tf
from graphs import VARIABLE_KINDS

import tf_mavg
from tf_mavg._tensorflow.swapped_names import MARK

tf1 = tf.compat.v1

kinds = pytest.mark.parametrize("kind", VARIABLE_KINDS)
whole_kinds = pytest.mark.parametrize("kind", ["reference", "resource"])
FULL = 4  # Elements of a letter.


def names_of(letters: graphs.Letters) -> dict[str, list]:
    """All that the letters hold by name, shards together, as a plain Saver takes it."""
    by_name = {}
    for name, shards in letters.variables.items():
        for own in (shards, letters.averages(name)):
            if own:
                whole = own[0]._get_save_slice_info()
                by_name[whole.full_name if whole else own[0].op.name] = own if whole else own[0]
    return by_name


def save_without_mark(letters: graphs.Letters, how: str, path: Path) -> str:
    """Saves as a plain Saver, or as a swapping one that leaves no mark."""
    by_name = names_of(letters)
    if how == "swapped":
        own = dict(by_name)
        for name in letters.variables:
            average = f"{name}/ExponentialMovingAverage"
            if average in own:
                by_name[name], by_name[average] = own[average], own[name]
    return tf1.train.Saver(by_name).save(letters.session, str(path))


@kinds
def test_the_mark_names_the_averages_and_their_variables(kind, tmp_path):
    with graphs.letters(kind, "cb") as letters:
        letters.train(1)
        path = letters.optimizer.swapping_saver().save(letters.session, str(tmp_path / "model"))
        mark = tf.train.load_checkpoint(path).get_tensor(MARK)
    assert mark.dtype == object
    assert mark.tolist() == [
        [b"c/ExponentialMovingAverage", b"c"],
        [b"b/ExponentialMovingAverage", b"b"],
    ]


@pytest.mark.sampled(pairs=True)
@kinds
@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("abc", "bc"),  # `a` is frozen when training goes on.
        pytest.param("abc", "c", marks=pytest.mark.slow),
        ("abc", "cba"),
        pytest.param("abc", "ca", marks=pytest.mark.slow),
        ("bc", "abc"),  # `a` was frozen before.
        ("ab", "bc"),
        pytest.param("a", "c", marks=pytest.mark.slow),
    ],
)
def test_each_value_finds_its_place_whatever_is_averaged(kind, written, read, tmp_path):
    with graphs.letters(kind, written) as letters:
        letters.train(3)
        saved = letters.values()
        path = letters.optimizer.swapping_saver().save(letters.session, str(tmp_path / "model"))
    with graphs.letters(kind, read) as letters:
        missing = sorted(set(read) - set(written))
        refusing = letters.optimizer.swapping_saver()
        saver = letters.optimizer.swapping_saver(start_missing_averages=True)
        letters.train(1)
        if missing:
            before = letters.values()
            expected = re.escape(
                f"lacks {len(missing)} of {len(read)} averages, the first under key "
                f"'{missing[0]}/ExponentialMovingAverage'"
            )
            with pytest.raises(tf.errors.NotFoundError, match=expected):
                refusing.restore(letters.session, path)
            assert letters.values() == before
        tf1.get_default_graph().finalize()  # A restore adds nothing to it.
        for each in [saver] if missing else [saver, refusing]:
            letters.session.run(letters.train_op)
            each.restore(letters.session, path)
            expected = {name: saved[name] for name in "abc"}
            for name in read:
                expected[f"average of {name}"] = saved.get(f"average of {name}", saved[name])
            assert letters.values() == expected


@whole_kinds
def test_a_variable_that_the_file_lacks_is_named_or_left_out(kind, tmp_path):
    with graphs.letters(kind) as letters:
        letters.train(3)
        saved = letters.values()
        path = letters.optimizer.swapping_saver().save(letters.session, str(tmp_path / "model"))
    with graphs.letters(kind) as letters:
        head = tf1.get_variable("head", [1], use_resource=kind == "resource")
        optimizer = letters.optimizer
        optimizer.minimize(tf.reduce_sum(head))
        letters.train(1)
        before = letters.values(), letters.session.run(head)
        for start in (True, False):
            saver = optimizer.swapping_saver(start_missing_averages=start)
            with pytest.raises(tf.errors.NotFoundError, match="head"):
                saver.restore(letters.session, path)
            assert (letters.values(), letters.session.run(head)) == before
        known = [
            v for v in tf1.global_variables() if v not in {head, optimizer.averages.average(head)}
        ]
        optimizer.swapping_saver(known).restore(letters.session, path)
        assert (letters.values(), letters.session.run(head)) == (saved, before[1])


@kinds
@pytest.mark.parametrize("writer", [0, 1])
def test_the_file_of_another_optimizer(kind, writer, tmp_path):
    """Of two optimizers of the same variables, either resumes from what the other's saver wrote."""
    with graphs.letters(kind) as letters:
        second = tf_mavg.MovingAverageOptimizer(tf1.train.GradientDescentOptimizer(1.0), 0.75)
        shards = [shard for name in "ab" for shard in letters.variables[name]]
        train_op = second.minimize(tf.add_n([tf.reduce_sum(shard) for shard in shards]))
        savers = [optimizer.swapping_saver() for optimizer in (letters.optimizer, second)]
        letters.train(3)
        letters.session.run([train_op])
        saved = letters.session.run(tf1.global_variables())
        path = savers[writer].save(letters.session, str(tmp_path / "model"))
        for reader in savers:
            letters.session.run([letters.train_op, train_op])
            reader.restore(letters.session, path)
            received = letters.session.run(tf1.global_variables())
            for value, other in zip(received, saved, strict=True):
                assert value.tolist() == other.tolist()


@pytest.mark.sampled(pairs=True)
@kinds
@pytest.mark.parametrize("how", ["plain", "swapped"])
@pytest.mark.parametrize("read", ["abc", "bc"])
def test_a_file_without_a_mark(kind, how, read, tmp_path):
    with graphs.letters(kind) as letters:
        letters.train(3)
        saved = letters.values()
        path = save_without_mark(letters, how, tmp_path / "model")
    with graphs.letters(kind, read) as letters:
        savers = [
            [
                letters.optimizer.swapping_saver(start_missing_averages=start, unmarked=unmarked)
                for unmarked in (None, how)
            ]
            for start in (False, True)
        ]
        expected = (
            f"{path} has averages, the first under key 'a/ExponentialMovingAverage', but no mark"
        )
        frozen = {} if "a" in read else {"average of a"}
        for refusing, restoring in savers:
            letters.train(1)
            before = letters.values()
            with pytest.raises(ValueError, match=re.escape(expected)) as refusal:
                refusing.restore(letters.session, path)
            assert 'swapping_saver(unmarked="plain")' in str(refusal.value)
            assert 'swapping_saver(unmarked="swapped")' in str(refusal.value)
            assert letters.values() == before
            restoring.restore(letters.session, path)
            assert letters.values() == {n: saved[n] for n in saved if n not in frozen}


@whole_kinds
@pytest.mark.parametrize("unmarked", [None, "plain", "swapped"])
def test_a_file_without_mark_and_averages(kind, unmarked, tmp_path):
    with graphs.letters(kind) as letters:
        saver = letters.optimizer.swapping_saver(start_missing_averages=True, unmarked=unmarked)
        plain = tf1.train.Saver([shard for (shard,) in letters.variables.values()])
        letters.train(3)
        saved = letters.values()
        path = plain.save(letters.session, str(tmp_path / "model"))
        letters.session.run(letters.train_op)
        saver.restore(letters.session, path)
        expected = {name: saved[name] for name in "abc"}
        assert letters.values() == expected | {f"average of {n}": saved[n] for n in "abc"}


@whole_kinds
@pytest.mark.parametrize("unmarked", [None, "plain", "swapped"])
def test_a_mark_counts_more_than_what_the_user_says(kind, unmarked, tmp_path):
    with graphs.letters(kind) as letters:
        saver = letters.optimizer.swapping_saver(unmarked=unmarked)
        letters.train(3)
        saved = letters.values()
        path = saver.save(letters.session, str(tmp_path / "model"))
        letters.session.run(letters.train_op)
        saver.restore(letters.session, path)
        assert letters.values() == saved


@pytest.mark.sampled(pairs=True)
@whole_kinds
@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("fault", ["shape", "dtype", "key", "data"])
def test_a_restore_that_fails_changes_nothing(kind, marked, fault, tmp_path):
    with graphs.letters(kind) as letters:
        letters.train(3)
        by_name = names_of(letters)
        if fault == "key":
            del by_name["b"], by_name["b/ExponentialMovingAverage"]
        elif fault != "data":
            other = tf1.get_variable(
                "other", initializer=[1] * FULL if fault == "dtype" else [1.0] * (FULL - 1)
            )
            letters.session.run(other.initializer)
            by_name["b/ExponentialMovingAverage"] = other
        if marked:
            pairs = [[f"{name}/ExponentialMovingAverage", name] for name in "abc"]
            mark = tf1.get_variable("mark", initializer=tf.constant(pairs))
            letters.session.run(mark.initializer)
            by_name[MARK] = mark
        path = tf1.train.Saver(by_name).save(letters.session, str(tmp_path / "model"))
    if fault == "data":
        (data,) = tmp_path.glob("model.data*")
        data.write_bytes(data.read_bytes()[:-20])
    with graphs.letters(kind) as letters:
        savers = [
            letters.optimizer.swapping_saver(
                sharded=sharded, unmarked="swapped", start_missing_averages=fault == "key"
            )
            for sharded in (True, False)
        ]
        letters.train(1)
        before = letters.values()
        error, message = {
            "shape": (ValueError, r"'b:0' with shape \(4,\)\. Received: shape \(3,\)\."),
            "dtype": (TypeError, r"'b:0' of float32\. Received: int32\."),
            "key": (tf.errors.NotFoundError, "'b:0'. Received: no such key"),
            "data": (tf.errors.OpError, "Read less bytes"),
        }[fault]
        for saver in savers:
            with pytest.raises(error, match=message):
                saver.restore(letters.session, path)
            assert letters.values() == before


@whole_kinds
def test_a_table_that_the_file_lacks_is_named(kind, tmp_path):
    with graphs.letters(kind) as letters:
        without = letters.optimizer.swapping_saver()
        tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, default_value=-1, name="table")
        saver = letters.optimizer.swapping_saver()
        letters.train(1)
        path = without.save(letters.session, str(tmp_path / "model"))
        letters.session.run(letters.train_op)
        before = letters.values()
        with pytest.raises(tf.errors.NotFoundError, match=r"must have the key 'table.*-keys'"):
            saver.restore(letters.session, path)
        assert letters.values() == before


@pytest.mark.cpu  # Needs two devices, which only CPUs can be made to be.
@whole_kinds
def test_a_damaged_file_of_two_devices_changes_nothing(kind, tmp_path):
    config = tf1.ConfigProto(device_count={"CPU": 2})
    with tf.Graph().as_default(), tf1.Session(config=config) as session:
        variables = []
        for i in range(2):
            with tf.device(f"/cpu:{i}"):
                variables.append(tf1.get_variable(f"v{i}", [1], use_resource=kind == "resource"))
        optimizer = tf_mavg.MovingAverageOptimizer(tf1.train.GradientDescentOptimizer(1.0), 0.5)
        train_op = optimizer.minimize(tf.add_n([tf.reduce_sum(v) for v in variables]))
        saver = optimizer.swapping_saver(sharded=True)
        session.run(tf1.global_variables_initializer())
        session.run(train_op)
        saved = session.run(tf1.global_variables())
        path = saver.save(session, str(tmp_path / "model"))
        session.run(train_op)
        saver.restore(session, path)
        assert session.run(tf1.global_variables()) == saved
        session.run(train_op)
        before = session.run(tf1.global_variables())
        for data in tmp_path.glob("model.data*"):
            whole = data.read_bytes()
            data.write_bytes(b"")
            with pytest.raises(tf.errors.OpError):
                saver.restore(session, path)
            assert session.run(tf1.global_variables()) == before
            data.write_bytes(whole)


@whole_kinds
def test_values_may_be_reshaped_when_asked(kind, tmp_path):
    with graphs.letters(kind) as letters:
        letters.train(3)
        saved = letters.values()
        path = letters.optimizer.swapping_saver().save(letters.session, str(tmp_path / "model"))
    with tf.Graph().as_default(), tf1.Session() as session:
        made = {
            name: tf1.get_variable(name, [2, 2], use_resource=kind == "resource") for name in "abc"
        }
        optimizer = tf_mavg.MovingAverageOptimizer(tf1.train.GradientDescentOptimizer(1.0), 0.5)
        optimizer.minimize(tf.add_n([tf.reduce_sum(v) for v in made.values()]))
        with pytest.raises(ValueError, match="shape"):
            optimizer.swapping_saver().restore(session, path)
        optimizer.swapping_saver(reshape=True).restore(session, path)
        for name, variable in made.items():
            value, average = session.run([variable, optimizer.averages.average(variable)])
            assert value.ravel().tolist() == saved[name]
            assert average.ravel().tolist() == saved[f"average of {name}"]


@kinds
def test_the_old_format_of_files(kind, tmp_path):
    with graphs.letters(kind) as letters:
        saver = letters.optimizer.swapping_saver(write_version=tf1.train.SaverDef.V1)
        letters.train(3)
        saved = letters.values()
        path = saver.save(letters.session, str(tmp_path / "model"))
        letters.session.run(letters.train_op)
        saver.restore(letters.session, path)
        assert letters.values() == saved
        letters.session.run(letters.train_op)
        letters.optimizer.swapping_saver().restore(letters.session, path)
        assert letters.values() == saved


@whole_kinds
def test_a_file_may_hold_no_average(kind, tmp_path):
    with graphs.letters(kind, "bc") as letters:
        saver = letters.optimizer.swapping_saver(letters.variables["a"])
        letters.train(1)
        path = saver.save(letters.session, str(tmp_path / "model"))
        before = letters.values()
        saver.restore(letters.session, path)
        assert letters.values() == before


def test_in_eager_mode(tmp_path):
    v = tf.Variable([0.0], name="v")
    optimizer = tf_mavg.MovingAverageOptimizer(tf1.train.GradientDescentOptimizer(1.0), 0.5)
    optimizer.minimize(lambda: -v)
    average = optimizer.averages.average(v)
    saver = optimizer.swapping_saver({"v": v, "average": average}, unmarked="plain")
    plain = tf1.train.Saver({"v": v, "average": average})
    for i, each in enumerate([saver, plain, saver]):
        path = each.save(None, str(tmp_path / f"model{i}"))
        values = [v.numpy().tolist(), average.numpy().tolist()]
        optimizer.minimize(lambda: -v)
        saver.restore(None, path)
        assert [v.numpy().tolist(), average.numpy().tolist()] == values


def test_arguments_that_cannot_be():
    with graphs.letters("resource") as letters:
        swapping_saver = letters.optimizer.swapping_saver
        with pytest.raises(ValueError, match=r"`unmarked` must be .* Received: 'contrib'\."):
            swapping_saver(unmarked="contrib")
        with pytest.raises(ValueError, match=f"must not have the key '{MARK}'"):
            swapping_saver({MARK: letters.variables["a"][0]})
        definition = swapping_saver().as_saver_def()
        with pytest.raises(TypeError, match="`saver_def` cannot be given"):
            swapping_saver(saver_def=definition)


@whole_kinds
def test_import_meta_graph_restores_the_trained_weights(kind, tmp_path):
    with graphs.letters(kind) as letters:
        letters.train(3)
        saved = letters.values()
        path = letters.optimizer.swapping_saver().save(letters.session, str(tmp_path / "model"))
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.train.import_meta_graph(f"{path}.meta").restore(session, path)
        made = {v.op.name: v for v in tf1.global_variables()}
        for name in "abc":
            average = made[f"{name}/ExponentialMovingAverage"]
            value, averaged = session.run([made[name], average])
            assert value.tolist() == saved[name]
            assert averaged.tolist() == saved[f"average of {name}"]


def monitored(folder: Path, *, scaffold: bool, resource: bool = True) -> list[float]:
    """Trains three steps in a MonitoredTrainingSession; the variable, its average and the step."""
    with tf.Graph().as_default():
        v = tf1.get_variable("v", initializer=0.0, use_resource=resource)
        step = tf1.train.get_or_create_global_step()
        optimizer = tf_mavg.MovingAverageOptimizer(tf1.train.GradientDescentOptimizer(1.0), 0.5)
        train_op = optimizer.minimize(-v, step)
        saver = optimizer.swapping_saver() if scaffold else None
        with tf1.train.MonitoredTrainingSession(
            scaffold=tf1.train.Scaffold(saver=saver),
            checkpoint_dir=str(folder),
            save_checkpoint_steps=3,
            save_summaries_steps=None,
            save_summaries_secs=None,
            log_step_count_steps=None,
        ) as session:
            for _ in range(3):
                session.run(train_op)
            return [float(x) for x in session.run([v, optimizer.averages.average(v), step])]


@pytest.mark.parametrize("resource", [False, True])
def test_a_monitored_training_session_resumes(resource, tmp_path):
    assert monitored(tmp_path, scaffold=True, resource=resource) == [3.0, 2.125, 3.0]
    path = tf.train.latest_checkpoint(str(tmp_path))
    reader = tf.train.load_checkpoint(path)
    assert reader.get_tensor(MARK).tolist() == [[b"v/ExponentialMovingAverage", b"v"]]
    assert reader.get_tensor("v") == 2.125
    # 3 4 5 6 from 2.125: 3.0625, 4.03125, 5.015625.
    assert monitored(tmp_path, scaffold=True, resource=resource) == [6.0, 5.015625, 6.0]


@pytest.mark.parametrize("resource", [False, True])
def test_a_monitored_training_session_whose_scaffold_was_forgotten(resource, tmp_path):
    monitored(tmp_path, scaffold=False, resource=resource)
    with pytest.raises(ValueError, match="if a plain Saver wrote the checkpoint"):
        monitored(tmp_path, scaffold=True, resource=resource)
