"""AverageModelCheckpoint to one fixed path: what was there stays until the new file is complete."""

import errno
import signal
from pathlib import Path

import prepared
import pytest
from keras_models import data, faces
from oracle import assert_same_bits
from places import PROGRAMS

pytestmark = [
    pytest.mark.slow,
    # Keras 3 writes variables with an old way of NumPy's.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning"),
]


def fitted(face, path, epochs=1, **options: object):
    model = face.make(face.ours.MovingAverage("sgd", 0.5))
    x, y = data()
    callback = face.ours.AverageModelCheckpoint(str(path), **options)
    model.fit(x, y, epochs=epochs, verbose=0, callbacks=[callback])
    return model


@faces
@pytest.mark.parametrize(
    ("name", "options"),
    [("m.keras", {}), ("m.weights.h5", {"save_weights_only": True}), ("m.h5", {})],
    ids=["keras", "weights", "h5"],
)
def test_the_file_takes_the_place_of_the_old_one(face, name, options, tmp_path):
    path = tmp_path / "folder" / name
    model = fitted(face, path, epochs=2, **options)
    assert [one.name for one in path.parent.iterdir()] == [name]
    assert not {"save", "save_weights"} & set(vars(model))
    if name == "m.keras":
        loaded = face.keras.models.load_model(path)
        for received, weight in zip(
            loaded.trainable_variables, model.trainable_variables, strict=True
        ):
            assert_same_bits(received.numpy(), model.optimizer.average(weight).numpy())


@faces
def test_a_full_disk_leaves_the_old_file_whole(face, tmp_path, monkeypatch):
    path = tmp_path / "m.keras"
    fitted(face, path)
    before = path.read_bytes()

    def fill(self, where, **kwargs: object):
        del self, kwargs
        Path(where).write_bytes(before[:100])
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(face.keras.Sequential, "save", fill)
    with pytest.raises(OSError, match="no space left"):
        fitted(face, path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["m.keras"]


def test_a_kill_while_it_is_written_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "m.keras"
    path.write_bytes(b"old")
    done = prepared.run([PROGRAMS / "killed_while_saving.py", path], tmp_path)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
