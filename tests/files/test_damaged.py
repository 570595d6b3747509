"""A damaged input of a merge: refused by its name, and nothing is left behind."""

import re

import pytest
import tensorflow as tf
from keras_models import KERAS, data, wrap

import tf_mavg

# Keras reads its variables as NumPy 2 will not have it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def cut(content):
    return content[: len(content) // 2]


def altered(content):
    """With other bits in the middle, where values are."""
    middle = len(content) // 2
    others = bytes(255 - one for one in content[middle : middle + 64])
    return content[:middle] + others + content[middle + 64 :]


def write_model(path):
    points, labels = data()
    model = KERAS.make(wrap())
    model.fit(points, labels, verbose=0)
    save = model.save if path.suffix == ".keras" else model.save_weights
    save(path)


@pytest.mark.parametrize(
    ("name", "file", "damage", "words"),
    [
        ("in", "in.index", cut, "not an sstable"),
        ("in", "in.data-00000-of-00001", cut, "Read less bytes than requested"),
        ("in", "in.data-00000-of-00001", altered, "Checksum does not match"),
        ("in.keras", "in.keras", cut, "File is not a zip file"),
        ("in.keras", "in.keras", altered, "Bad CRC-32 for file 'model.weights.h5'"),
        ("in.weights.h5", "in.weights.h5", cut, "truncated file"),
    ],
)
def test_it_is_refused_by_name_and_leaves_nothing(name, file, damage, words, tmp_path):
    if name == "in":
        tf.train.Checkpoint(w=tf.Variable(tf.ones([1000]))).write(str(tmp_path / name))
    else:
        write_model(tmp_path / name)
    (tmp_path / file).write_bytes(damage((tmp_path / file).read_bytes()))
    before = sorted(tmp_path.iterdir())
    expected = re.escape(
        "An input must be a whole file, as it was written. Received: "
        f"{tmp_path / name}, which cannot be read: "
    )
    with pytest.raises(ValueError, match=f"^{expected}.*{re.escape(words)}"):
        tf_mavg.merge_checkpoints([tmp_path / name] * 2, tmp_path / name.replace("in", "out"))
    assert sorted(tmp_path.iterdir()) == before
