"""AverageSnapshots: snapshots of power function averages, in fit of both Kerases."""

import json

import numpy as np
import pytest
from keras_models import data, faces
from oracle import assert_same_bits

from tf_mavg.decays import PowerFunction
from tf_mavg.posthoc import reconstruct

pytestmark = [
    pytest.mark.slow,
    # Keras 3 writes variables with an old way of NumPy's.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

SCHEDULES = [PowerFunction(sigma_rel=sigma) for sigma in (0.05, 0.10)]


def fitted(face, folder, optimizer="adam", **options: object):
    """A model after three epochs of four batches."""
    model = face.make(face.ours.MovingAverage(optimizer, SCHEDULES))
    x, y = data()
    snapshots = face.ours.AverageSnapshots(folder, **options)
    model.fit(x, y, batch_size=16, epochs=3, verbose=0, callbacks=[snapshots])
    return model


def steps(folder):
    return sorted({one["step"] for one in json.loads((folder / "snapshots.json").read_text())})


@faces
def test_each_epoch_has_some(face, tmp_path):
    model = fitted(face, tmp_path)
    assert steps(tmp_path) == [4, 8, 12]
    for index in (0, 1):
        plain = face.keras.Sequential.from_config(model.get_config())
        plain.load_weights(str(tmp_path / f"snapshot-12-{index}.weights.h5"))
        for received, weight in zip(
            plain.trainable_variables, model.trainable_variables, strict=True
        ):
            assert_same_bits(received.numpy(), model.optimizer.average(weight, index).numpy())
    x, y = data()
    model.fit(x, y, verbose=0)  # It is compiled as before.


@faces
def test_after_so_many_batches(face, tmp_path):
    fitted(face, tmp_path, save_freq=5)
    assert steps(tmp_path) == [5, 10]


@faces
def test_batches_count_however_many_keras_tells_of_at_once(face, tmp_path):
    model = face.make(face.ours.MovingAverage("sgd", SCHEDULES), steps_per_execution=2)
    x, y = data()
    callback = face.ours.AverageSnapshots(tmp_path, save_freq=4)
    model.fit(x, y, batch_size=16, epochs=2, verbose=0, callbacks=[callback])
    assert steps(tmp_path) == [4, 8]


@faces
def test_before_there_is_an_average_none_is_taken(face, tmp_path):
    model = face.make(face.ours.MovingAverage("sgd", SCHEDULES, start=6))
    x, y = data()
    callback = face.ours.AverageSnapshots(tmp_path)
    model.fit(x, y, batch_size=16, epochs=2, verbose=0, callbacks=[callback])
    assert steps(tmp_path) == [2]


@faces
def test_an_average_of_another_width_is_made_of_them(face, tmp_path):
    model = fitted(face, tmp_path / "snapshots", "sgd")
    reconstruct(tmp_path / "snapshots", tmp_path / "chosen.weights.h5", 0.10)
    plain = face.keras.Sequential.from_config(model.get_config())
    plain.load_weights(str(tmp_path / "chosen.weights.h5"))
    for received, weight in zip(plain.trainable_variables, model.trainable_variables, strict=True):
        assert_same_bits(received.numpy(), model.optimizer.average(weight, 1).numpy())
    reconstruct(tmp_path / "snapshots", tmp_path / "wide.weights.h5", 0.2)
    plain.load_weights(str(tmp_path / "wide.weights.h5"))
    assert np.isfinite(plain.trainable_variables[0].numpy()).all()


@faces
def test_what_is_refused(face, tmp_path):
    for wrong in (0, "batch", 1.5):
        with pytest.raises(ValueError, match=f'must be "epoch" or .* save_freq={wrong!r}'):
            face.ours.AverageSnapshots(tmp_path, wrong)
    x, y = data()
    with pytest.raises(ValueError, match="must be compiled with a MovingAverage"):
        face.make("sgd").fit(x, y, verbose=0, callbacks=[face.ours.AverageSnapshots(tmp_path)])
    model = face.make(face.wrap("sgd"))
    with pytest.raises(ValueError, match="one must have the decay PowerFunction"):
        model.fit(x, y, verbose=0, callbacks=[face.ours.AverageSnapshots(tmp_path)])
