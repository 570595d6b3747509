"""The callbacks: averages evaluated and saved inside fit, with training left as it was."""

import numpy as np
import prepared
import pytest
from keras_models import KERAS, TF_KERAS, averages, data, faces, make, values
from oracle import assert_same_bits

pytestmark = [
    # Keras reads its variables as NumPy 2 will not have it.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    # tf_keras would rather not write .h5 files.
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning"),
]


def fit(face, optimizer, callbacks, compiled=None, jit_compile=False):  # noqa: FBT002 - as make has it.
    """Fits a model; returns it, and for each epoch its weights, averages and logs at the end."""
    x, y = data()
    model = face.make(compiled or optimizer, jit_compile=jit_compile)
    epochs = []

    def record(_, logs):
        weights = model.trainable_variables
        epochs.append((values(weights), averages(optimizer, model), dict(logs)))

    recorder = face.keras.callbacks.LambdaCallback(on_epoch_end=record)
    model.fit(
        x, y, batch_size=16, epochs=3, validation_data=(x, y), shuffle=False, verbose=0,
        callbacks=[*callbacks, recorder],
    )  # fmt: skip
    return model, epochs


def loss_with(weights):
    x, y = data()
    model = make("sgd")
    model.set_weights(weights)
    return model.evaluate(x, y, verbose=0)[0]


@pytest.mark.sampled
@pytest.mark.slow
@pytest.mark.parametrize(
    ("face", "scaled", "jit_compile"),
    [
        (KERAS, False, True),
        (KERAS, True, True),
        (KERAS, False, False),
        (TF_KERAS, False, False),
        (TF_KERAS, True, False),
    ],
    ids=str,
)
def test_validation_in_fit_is_of_the_averages_and_training_is_not_disturbed(
    face, scaled, jit_compile
):
    plain_optimizer, optimizer = face.wrap("adam"), face.wrap("adam")
    wrapper = face.loss_scale if scaled else lambda inner: inner
    plain, expected = fit(face, plain_optimizer, [], wrapper(plain_optimizer), jit_compile)
    evaluation = face.ours.EvaluateAverages()
    model, received = fit(face, optimizer, [evaluation], wrapper(optimizer), jit_compile)
    for (weights, average, logs), (other, _, other_logs) in zip(received, expected, strict=True):
        for value, same in zip(weights, other, strict=True):
            assert_same_bits(value, same)
        np.testing.assert_allclose(logs["val_loss"], loss_with(average), rtol=1e-5)
        np.testing.assert_allclose(other_logs["val_loss"], loss_with(weights), rtol=1e-5)
    for value, same in zip(values(model.weights), values(plain.weights), strict=True):
        assert_same_bits(value, same)
    assert "evaluate" not in vars(model)


@pytest.mark.slow
@faces
def test_a_failed_validation_leaves_the_weights_in_their_place(face):
    class Interrupt(face.keras.callbacks.Callback):
        """Fails in the middle of the first validation."""

        def on_test_batch_end(self, batch, logs=None):
            del batch, logs
            raise KeyboardInterrupt

    x, y = data()
    optimizer = face.wrap("adam")
    model = face.make(optimizer)
    for _ in range(2):
        callbacks = [face.ours.EvaluateAverages(), Interrupt()]
        with pytest.raises(KeyboardInterrupt):
            model.fit(x, y, validation_data=(x, y), verbose=0, callbacks=callbacks)
    assert not optimizer.is_swapped
    # Each interrupted fit left its own behind, and not around that of the one before.
    left = vars(model)["evaluate"]
    inside = [cell.cell_contents for cell in left.__closure__]
    assert left.__name__ not in [getattr(value, "__name__", None) for value in inside]
    weights, average = values(model.trainable_variables), averages(optimizer, model)
    # What the interrupted fit left behind evaluates the weights.
    loss = model.evaluate(x, y, verbose=0)[0]
    np.testing.assert_allclose(loss, loss_with(weights), rtol=1e-5)
    assert abs(loss - loss_with(average)) > 1e-4
    history = model.fit(x, y, validation_data=(x, y), verbose=0).history
    expected = loss_with(values(model.trainable_variables))
    np.testing.assert_allclose(history["val_loss"], [expected], rtol=1e-5)


def test_where_averages_are_in_place_already_fit_evaluates_as_it_is():
    class Swap(KERAS.keras.callbacks.Callback):
        """Has swapped before the validation, and swaps back after it."""

        def on_epoch_end(self, epoch, logs=None):
            del epoch, logs
            if optimizer.is_swapped:
                optimizer.holder.swaps.swap()

        def on_train_batch_end(self, batch, logs=None):
            del logs
            if batch == 1:  # The last one.
                optimizer.holder.swaps.swap()

    x, y = data()
    optimizer = KERAS.wrap("adam")
    model = KERAS.make(optimizer)
    history = model.fit(
        x, y, batch_size=len(x) // 2, validation_data=(x, y), verbose=0,
        callbacks=[Swap(), KERAS.ours.EvaluateAverages()],
    ).history  # fmt: skip
    assert not optimizer.is_swapped
    expected = loss_with(averages(optimizer, model))
    np.testing.assert_allclose(history["val_loss"], [expected], rtol=1e-5)


@faces
def test_an_evaluation_outside_fit_is_refused(face):
    x, y = data()
    optimizer = face.wrap("adam")
    model = face.make(optimizer)
    model.fit(x, y, verbose=0)
    with pytest.raises(RuntimeError, match="serves the validation of fit; around"):
        model.evaluate(x, y, verbose=0, callbacks=[face.ours.EvaluateAverages()])
    with optimizer.swapped():
        model.evaluate(x, y, verbose=0, callbacks=[face.ours.EvaluateAverages()])


@faces
def test_another_optimizer_is_refused(face):
    x, y = data()
    with pytest.raises(ValueError, match=rf"must be compiled with a MovingAverage of {face}\. Rec"):
        face.make("sgd").fit(x, y, verbose=0, callbacks=[face.ours.EvaluateAverages()])


LOAD = """
import importlib, pathlib, sys, warnings
import numpy as np
warnings.filterwarnings("error", "Skipping")
keras = importlib.import_module(sys.argv[1])
for path in map(pathlib.Path, sys.argv[2:]):
    model = keras.models.load_model(path)
    assert type(model.optimizer).__module__.startswith(("keras", "tf_keras")), model.optimizer
    np.savez(path.with_suffix(".npz"), *[np.array(w.numpy()) for w in model.weights])
assert not any(name.startswith("tf_mavg") for name in sys.modules)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("face", "suffixes"), [(KERAS, [".keras"]), (TF_KERAS, [".keras", ".h5", ""])], ids=str
)
def test_the_saved_model_holds_averages_and_needs_no_tf_mavg(face, suffixes, tmp_path):
    expected = {}
    for order in ("alone", "outside", "inside"):
        adam = face.keras.optimizers.Adam()
        optimizer = face.wrap(face.loss_scale(adam) if order == "inside" else adam)
        compiled = face.loss_scale(optimizer) if order == "outside" else optimizer
        checkpoints = [
            face.ours.AverageModelCheckpoint(f"{tmp_path}/{order}_{{epoch}}_{i}{suffix}")
            for i, suffix in enumerate(suffixes)
        ]
        model, epochs = fit(face, optimizer, checkpoints, compiled)
        assert model.optimizer is compiled
        for i, suffix in enumerate(suffixes):
            expected[tmp_path / f"{order}_2_{i}{suffix}"] = epochs[1][1]
    prepared.must_run(["-c", LOAD, face, *expected], tmp_path)
    for path, average in expected.items():
        with np.load(path.with_suffix(".npz")) as weights:
            for name, value in zip(weights.files, average, strict=True):
                assert_same_bits(weights[name], value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("face", "name"),
    [(KERAS, "best.weights.h5"), (TF_KERAS, "best.weights.h5"), (TF_KERAS, "best")],
    ids=str,
)
def test_the_best_averages_are_kept(face, name, tmp_path):
    def diverging():  # So that the last averages are not the best.
        return face.wrap(face.keras.optimizers.SGD(10.0))

    optimizer = diverging()
    path = str(tmp_path / name)
    checkpoint = face.ours.AverageModelCheckpoint(path, save_best_only=True, save_weights_only=True)
    model, epochs = fit(face, optimizer, [checkpoint, face.ours.EvaluateAverages()])
    best = min(epochs, key=lambda epoch: epoch[2]["val_loss"])
    assert best is not epochs[-1]
    np.testing.assert_allclose(best[2]["val_loss"], loss_with(best[1]), rtol=1e-5)
    copy = face.make(face.keras.optimizers.SGD(10.0))
    copy.load_weights(path)
    for value, expected in zip(values(copy.weights), best[1], strict=True):
        assert_same_bits(value, expected)
    plain = fit(face, diverging(), [])[0]
    for value, expected in zip(values(model.weights), values(plain.weights), strict=True):
        assert_same_bits(value, expected)
