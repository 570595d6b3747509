"""What TensorFlow's Saver lets be done with its keys and reads; an upgrade may take it away."""

import pytest
import tensorflow as tf

from tf_mavg._compat.saver import (
    RenamingBuilder,
    SaveableObject,
    SaveSpec,
    by_key,
    saveable_of,
    slice_info,
)

tf1 = tf.compat.v1

kinds = pytest.mark.parametrize("resource", [False, True], ids=["reference", "resource"])


@kinds
def test_variables_have_keys_and_shards_a_place(resource):
    with tf.Graph().as_default():
        whole = tf1.get_variable("whole", [2], use_resource=resource)
        parts = list(
            tf1.get_variable(
                "parted", [3], use_resource=resource, partitioner=tf1.fixed_size_partitioner(2)
            )
        )
        table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1, name="table")
        (saveable,) = tf1.get_collection(tf1.GraphKeys.SAVEABLE_OBJECTS)
        found = by_key([whole, *parts, saveable])
        assert isinstance(saveable, SaveableObject)
        assert saveable.op is table
        assert set(found) == {"whole", "parted", saveable.name}
        assert found["whole"] is whole
        assert all(a is b for a, b in zip(found["parted"], parts, strict=True))
        assert slice_info(whole) is None
        assert [slice_info(part).full_name for part in parts] == ["parted"] * 2
        assert [slice_info(part).full_shape for part in parts] == [[3]] * 2


@pytest.mark.parametrize("synchronization", ["ON_WRITE", "ON_READ"])
def test_a_variable_of_several_replicas_is_saved_under_any_key(
    synchronization, logical_cpus, tmp_path
):
    with tf.Graph().as_default(), tf1.Session() as session:
        with tf1.distribute.MirroredStrategy(logical_cpus[:2]).scope():
            made = tf1.get_variable(
                "v",
                initializer=[1.0],
                trainable=False,
                synchronization=tf.VariableSynchronization[synchronization],
                aggregation=tf.VariableAggregation.MEAN,
            )
            again = tf1.Variable([2.0], name="v")
        (key,) = by_key([made])
        assert (key, by_key([made])[key] is made) == ("v", True)
        again._common_name = "v"  # Two scopes of one name.
        with pytest.raises(ValueError, match=r"must not have the same name. Received: 'v' twice"):
            by_key([made, again])
        saver = tf1.train.Saver({"other": saveable_of(made, "other")})
        session.run(tf1.global_variables_initializer())
        path = saver.save(session, str(tmp_path / "c"))
        assert tf.train.load_variable(path, "other") == [1.0]
        session.run([one.assign([3.0]) for one in made.values])
        saver.restore(session, path)
        assert session.run(list(made.values)) == [[1.0], [1.0]]


class Unread(SaveableObject):
    """A value that is saved and never restored."""

    def __init__(self) -> None:
        """Makes a saveable of a constant."""
        value = tf.constant("saved")
        super().__init__(value, [SaveSpec(value, "", "unread")], "unread")

    def restore(self, *_: object) -> tf.Operation:
        """Restores nothing."""
        return tf.group()


@kinds
@pytest.mark.parametrize("sharded", [False, True])
def test_a_saver_reads_under_other_keys(resource, sharded, tmp_path):
    with tf.Graph().as_default(), tf1.Session() as session:
        a, b = (
            tf1.get_variable(n, initializer=x, use_resource=resource)
            for n, x in (("a", 1), ("b", 2))
        )
        plain = tf1.train.Saver()
        builder = RenamingBuilder(not_read="unread")
        saver = tf1.train.Saver(
            {"a": a, "b": b, "unread": Unread()}, builder=builder, sharded=sharded
        )
        session.run(tf1.global_variables_initializer())
        path = saver.save(session, str(tmp_path / "marked"))
        assert tf.train.load_checkpoint(path).get_tensor("unread") == b"saved"
        saver.restore(session, plain.save(session, str(tmp_path / "plain")))
        ((operation, keys),) = builder.reads
        names = operation.inputs[1]
        assert sorted(keys) == ["a", "b"]
        for file in (path, str(tmp_path / "plain")):
            session.run(
                saver.saver_def.restore_op_name,
                {saver.saver_def.filename_tensor_name: file, names: ["b", "a"]},
            )
            assert session.run(dict(zip(keys, [a, b], strict=True))) == {"a": 2, "b": 1}


def test_a_saver_reads_under_other_keys_in_eager_mode(tmp_path):
    a, b = tf.Variable(1), tf.Variable(2)
    builder = RenamingBuilder(not_read="unread")
    saver = tf1.train.Saver({"a": a, "b": b}, builder=builder)
    path = saver.save(None, str(tmp_path / "model"))
    builder.sources = {"a": "b"}
    saver.restore(None, path)
    assert (a.numpy(), b.numpy()) == (2, 2)
