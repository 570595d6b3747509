"""The callbacks: averages evaluated and saved inside fit, with training left as it was."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras_models import averages, data, make, values, wrap
from oracle import assert_same_bits

from tf_mavg.keras import AverageModelCheckpoint, EvaluateAverages

# Keras reads its variables as NumPy 2 will not have it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

jit = pytest.mark.parametrize("jit_compile", [False, True], ids=["plain", "jit_compile"])


class Recorder(keras.callbacks.Callback):
    """Keeps what each epoch ended with."""

    def __init__(self, optimizer) -> None:
        """Records the weights, and the averages of `optimizer`."""
        super().__init__()
        self.optimizer = optimizer
        self.epochs = []

    def on_epoch_end(self, epoch, logs=None):
        """Records."""
        del epoch
        self.epochs.append(
            (
                values(self.model.trainable_variables),
                averages(self.optimizer, self.model),
                dict(logs),
            )
        )


def fit(optimizer, callbacks, compiled=None, jit_compile=False):  # noqa: FBT002
    x, y = data()
    model = make(compiled or optimizer, jit_compile=jit_compile)
    recorder = Recorder(optimizer)
    model.fit(
        x, y, batch_size=16, epochs=3, validation_data=(x, y), shuffle=False, verbose=0,
        callbacks=[*callbacks, recorder],
    )  # fmt: skip
    return model, recorder


def loss_with(weights):
    x, y = data()
    model = make("sgd")
    model.set_weights(weights)
    return model.evaluate(x, y, verbose=0)[0]


@jit
@pytest.mark.parametrize("scaled", [False, True], ids=["", "loss scale"])
def test_validation_in_fit_is_of_the_averages_and_training_is_not_disturbed(scaled, jit_compile):
    plain_optimizer, optimizer = wrap("adam"), wrap("adam")
    wrapper = keras.optimizers.LossScaleOptimizer if scaled else lambda inner: inner
    plain, expected = fit(plain_optimizer, [], wrapper(plain_optimizer), jit_compile)
    model, received = fit(optimizer, [EvaluateAverages()], wrapper(optimizer), jit_compile)
    for (weights, average, logs), (other, _, other_logs) in zip(
        received.epochs, expected.epochs, strict=True
    ):
        for value, same in zip(weights, other, strict=True):
            assert_same_bits(value, same)
        np.testing.assert_allclose(logs["val_loss"], loss_with(average), rtol=1e-5)
        np.testing.assert_allclose(other_logs["val_loss"], loss_with(weights), rtol=1e-5)
    for value, same in zip(values(model.weights), values(plain.weights), strict=True):
        assert_same_bits(value, same)
    assert "evaluate" not in vars(model)


class Interrupt(keras.callbacks.Callback):
    """Fails in the middle of the first validation."""

    def on_test_batch_end(self, batch, logs=None):
        """Fails."""
        del batch, logs
        raise KeyboardInterrupt


def test_a_failed_validation_leaves_the_weights_in_their_place():
    x, y = data()
    optimizer = wrap("adam")
    model = make(optimizer)
    with pytest.raises(KeyboardInterrupt):
        model.fit(
            x, y, validation_data=(x, y), verbose=0, callbacks=[EvaluateAverages(), Interrupt()]
        )
    assert not optimizer.is_swapped
    weights, average = values(model.trainable_variables), averages(optimizer, model)
    # What the interrupted fit left behind evaluates the weights.
    loss = model.evaluate(x, y, verbose=0)[0]
    np.testing.assert_allclose(loss, loss_with(weights), rtol=1e-5)
    assert abs(loss - loss_with(average)) > 1e-4
    history = model.fit(x, y, validation_data=(x, y), verbose=0).history
    expected = loss_with(values(model.trainable_variables))
    np.testing.assert_allclose(history["val_loss"], [expected], rtol=1e-5)


def test_an_evaluation_outside_fit_is_refused():
    x, y = data()
    optimizer = wrap("adam")
    model = make(optimizer)
    model.fit(x, y, verbose=0)
    with pytest.raises(RuntimeError, match="serves the validation of fit; around"):
        model.evaluate(x, y, verbose=0, callbacks=[EvaluateAverages()])
    with optimizer.swapped():
        model.evaluate(x, y, verbose=0, callbacks=[EvaluateAverages()])


def test_another_optimizer_is_refused():
    x, y = data()
    with pytest.raises(ValueError, match="must be compiled with a MovingAverage"):
        make("sgd").fit(x, y, verbose=0, callbacks=[EvaluateAverages()])


LOAD = """
import sys
import keras
import numpy as np
model = keras.models.load_model(sys.argv[1])
assert type(model.optimizer).__module__.startswith("keras"), model.optimizer
np.savez(sys.argv[2], *[np.array(w.numpy()) for w in model.weights])
assert not any(name.startswith("tf_mavg") for name in sys.modules)
"""


@pytest.mark.parametrize("order", ["alone", "loss scale outside", "loss scale inside"])
def test_the_saved_model_holds_averages_and_needs_no_tf_mavg(order, tmp_path):
    scale = keras.optimizers.LossScaleOptimizer
    optimizer = wrap(scale(keras.optimizers.Adam()) if "inside" in order else "adam")
    compiled = scale(optimizer) if "outside" in order else optimizer
    path = tmp_path / "{epoch}.keras"
    model, recorder = fit(optimizer, [AverageModelCheckpoint(path)], compiled)
    assert model.optimizer is compiled
    subprocess.run(
        [sys.executable, "-W", "error:Skipping", "-c", LOAD, tmp_path / "2.keras",
         tmp_path / "weights.npz"],
        check=True, cwd=tmp_path, env={**os.environ},
    )  # fmt: skip
    with np.load(tmp_path / "weights.npz") as weights:
        for name, expected in zip(weights.files, recorder.epochs[1][1], strict=True):
            assert_same_bits(weights[name], expected)


def test_the_best_averages_are_kept(tmp_path):
    optimizer = wrap(keras.optimizers.SGD(3.0))  # Diverges, so that the last is not the best.
    checkpoint = AverageModelCheckpoint(
        tmp_path / "best.weights.h5", save_best_only=True, save_weights_only=True
    )
    model, recorder = fit(optimizer, [checkpoint, EvaluateAverages()])
    best = min(recorder.epochs, key=lambda epoch: epoch[2]["val_loss"])
    np.testing.assert_allclose(best[2]["val_loss"], loss_with(best[1]), rtol=1e-5)
    copy = make(keras.optimizers.SGD(3.0))
    copy.load_weights(tmp_path / "best.weights.h5")
    for value, expected in zip(values(copy.weights), best[1], strict=True):
        assert_same_bits(value, expected)
    plain = fit(wrap(keras.optimizers.SGD(3.0)), [])[0]
    for value, expected in zip(values(model.weights), values(plain.weights), strict=True):
        assert_same_bits(value, expected)
