"""Watching averages in fit: which are evaluated, the weights beside them, and what is logged."""

import csv

import keras
import numpy as np
import pytest
from keras_models import KERAS, data, faces

from tf_mavg import decays

pytestmark = [
    pytest.mark.slow,
    # Keras 3 writes variables with an old way of NumPy's.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

DECAYS = [0.5, 0.9, 1.0]  # The last one's averages stay where they start.


def fitted(face, callbacks, decay=DECAYS, epochs=2, **options: object):
    """A model after some epochs, and their history."""
    model = face.make(face.ours.MovingAverage("sgd", decay, **options))
    x, y = data()
    history = model.fit(
        x, y, epochs=epochs, verbose=0, validation_data=data(32), callbacks=callbacks
    )
    return model, history.history


def loss_of(model, index=None):
    """The validation loss now: of averages, or of the weights."""
    x, y = data(32)
    if index is None:
        return model.evaluate(x, y, verbose=0)[0]
    with model.optimizer.swapped(index=index):
        return model.evaluate(x, y, verbose=0)[0]


@faces
def test_each_is_evaluated_and_the_weights_too(face):
    callback = face.ours.EvaluateAverages(index=[1, 0, 2], also_weights=True)
    model, history = fitted(face, [callback])
    for name, index in (
        ("val_loss", 1),
        ("val_average_loss", 0),
        ("val_average_2_loss", 2),
        ("val_weights_loss", None),
    ):
        np.testing.assert_allclose(history[name][-1], loss_of(model, index), rtol=1e-6)
        assert len(history[name]) == 2
    found = {round(history[name][-1], 6) for name in history if name.endswith("loss")}
    assert len(found) == 5
    assert "val_weights_accuracy" in history
    assert "evaluate" not in vars(model)


@faces
def test_an_average_that_diverged_shows_beside_the_weights(face):
    """As in ai-toolkit#1034: good weights, a broken average, and nobody who sees it."""

    class Diverge(face.keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            del logs
            if epoch == 1:
                for weight in self.model.trainable_variables:
                    average = self.model.optimizer.average(weight)
                    average.assign(np.full(weight.shape, 1e4, np.float32))

    watchers = [
        Diverge(),
        face.ours.EvaluateAverages(also_weights=True),
        face.ours.LogAverages(),
    ]
    _, history = fitted(face, watchers, 0.9)
    before, after = history["average_distance"]
    assert before < 1
    assert after > 1e4
    assert history["val_loss"][1] > history["val_weights_loss"][1]


@faces
def test_each_is_saved_by_a_callback_of_its_own(face, tmp_path):
    savers = [
        face.ours.AverageModelCheckpoint(
            str(tmp_path / f"{index}.keras"), monitor, save_best_only=True, mode="min", index=index
        )
        for index, monitor in ((1, "val_loss"), (2, "val_average_2_loss"))
    ]
    model, history = fitted(face, savers, epochs=1)
    assert {"val_loss", "val_average_2_loss"} < set(history)
    for index in (1, 2):
        loaded = face.keras.models.load_model(tmp_path / f"{index}.keras")
        for received, weight in zip(
            loaded.trainable_variables, model.trainable_variables, strict=True
        ):
            expected = model.optimizer.average(weight, index).numpy()
            np.testing.assert_array_equal(received.numpy(), expected)


@faces
def test_what_is_refused(face):
    with pytest.raises(ValueError, match=r"below 3\. Received: index=3"):
        fitted(face, [face.ours.EvaluateAverages(index=3)])
    with pytest.raises(ValueError, match="at least one of the averages"):
        face.ours.EvaluateAverages(index=[])
    with pytest.raises(ValueError, match="must be compiled with a MovingAverage"):
        face.make("sgd").fit(*data(), verbose=0, callbacks=[face.ours.LogAverages()])


def test_callbacks_that_speak_of_different_optimizers_are_refused():
    model = KERAS.make(KERAS.wrap("sgd"))
    other = KERAS.wrap("sgd", name="other")
    other.build(model.trainable_variables)
    callbacks = [KERAS.ours.EvaluateAverages(), KERAS.ours.EvaluateAverages(optimizer=other)]
    with pytest.raises(ValueError, match=r"same optimizers\. Received: \['moving_average'\] and"):
        model.fit(*data(), verbose=0, validation_data=data(), callbacks=callbacks)
    assert not model.optimizer.is_swapped


@faces
def test_a_failure_while_the_weights_are_evaluated_leaves_all_as_it_was(face):
    class Fail(face.keras.callbacks.Callback):
        begun = 0

        def on_test_begin(self, logs=None):
            del logs
            self.begun += 1
            if self.begun == 2:
                raise OSError(5, "lost")

    callback = face.ours.EvaluateAverages(also_weights=True)
    model = face.make(face.ours.MovingAverage("sgd", 0.9))
    x, y = data()
    with pytest.raises(OSError, match="lost"):
        model.fit(x, y, verbose=0, validation_data=(x, y), callbacks=[callback, Fail()])
    assert not model.optimizer.is_swapped
    with pytest.raises(RuntimeError, match="serves the validation of fit"):
        model.evaluate(x, y, verbose=0, callbacks=[callback])


@faces
@pytest.mark.parametrize(
    ("decay", "options", "expected"),
    [
        (0.75, {}, [0.75, 0.75]),
        (0.999, {"num_updates": "iterations"}, [5 / 14, 9 / 18]),
        (decays.Uniform(), {}, [0.75, 0.875]),
        (decays.Uniform(), {"start": 5, "every": 2}, [0.0, 0.0]),
    ],
    ids=["number", "num_updates", "schedule", "start, every"],
)
def test_decay_and_count_are_logged(face, decay, options, expected):
    x, y = data()
    model = face.make(face.ours.MovingAverage("sgd", decay, **options))
    history = model.fit(
        x, y, batch_size=16, epochs=2, verbose=0, callbacks=[face.ours.LogAverages()]
    ).history
    np.testing.assert_allclose(history["average_decay"], expected, rtol=1e-6)
    assert history["average_steps"] == [4, 8]


def test_later_callbacks_see_the_logs(tmp_path):
    writer = keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))
    fitted(KERAS, [KERAS.ours.LogAverages(), writer], DECAYS[:2])
    with (tmp_path / "log.csv").open() as file:
        rows = [*csv.DictReader(file)]
    assert len(rows) == 2
    assert {"average_decay", "average_1_distance", "average_steps"} < set(rows[0])


def test_optimizers_of_one_name_are_refused_and_those_without_averages_left_out():
    model = KERAS.make(KERAS.wrap("sgd"))
    model.second = KERAS.wrap("sgd")
    logs = KERAS.ours.LogAverages()
    with pytest.raises(ValueError, match="must have a name of its own, to be logged by it"):
        model.fit(*data(), verbose=0, callbacks=[logs])
    model = KERAS.make(KERAS.wrap("sgd"))
    model.second = KERAS.wrap("sgd", name="second")  # It takes no step.
    history = model.fit(*data(), verbose=0, callbacks=[logs]).history
    assert "moving_average_decay" in history
    assert "second_decay" not in history


def test_several_optimizers_log_by_their_names():
    model = KERAS.make(KERAS.wrap("sgd", name="first"))
    model.second = KERAS.wrap("sgd", name="second")
    model.second.build(model.trainable_variables)
    history = model.fit(*data(), verbose=0, callbacks=[KERAS.ours.LogAverages()]).history
    assert {"first_decay", "second_distance", "second_steps"} < set(history)
