"""Models with several optimizers, such as GANs: evaluated and saved as one."""

import h5py
import numpy as np
import pytest
import tensorflow as tf
from keras_models import KERAS, TF_KERAS, faces, values
from oracle import assert_same_bits

from tf_mavg._keras.swapping import all_swapped

pytestmark = [
    pytest.mark.slow,
    # Keras reads its variables as NumPy 2 will not have it.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
PLACES = ("attributes", "list", "dict", "loss scale")
places = pytest.mark.parametrize("place", PLACES)


def model_class(face):
    @face.keras.saving.register_keras_serializable("tests", name="Pair")
    class Pair(face.keras.Model):
        """Two layers, each with an optimizer and a loss of its own."""

        def __init__(self, **kwargs: object) -> None:
            super().__init__(**kwargs)
            self.critic = face.keras.layers.Dense(1, name="critic")
            self.maker = face.keras.layers.Dense(1, name="maker")

        def call(self, inputs):
            return self.critic(inputs) + self.maker(inputs)

        def compile(self, d_optimizer, g_optimizer, place="attributes"):
            super().compile(loss="mse")
            if place == "list":
                self.ours = [d_optimizer, g_optimizer]
            elif place == "dict":
                self.ours = {"d": d_optimizer, "g": g_optimizer}
            elif place == "loss scale":
                self.d_optimizer, self.g_optimizer = map(
                    face.loss_scale, (d_optimizer, g_optimizer)
                )
            else:
                self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer
            self.both = lambda: (d_optimizer, g_optimizer)

        def train_step(self, data):
            inputs, _ = data
            for layer, optimizer in zip((self.critic, self.maker), self.both(), strict=True):
                with tf.GradientTape() as tape:
                    loss = tf.reduce_mean((layer(inputs) - 1.0) ** 2)
                weights = layer.trainable_variables
                read = [w.value for w in weights] if face is KERAS else weights
                gradients = tape.gradient(loss, read)
                optimizer.apply_gradients(list(zip(gradients, weights, strict=True)))
            return {"loss": loss}

        def test_step(self, data):
            del data
            return {
                "d": tf.reduce_sum(tf.convert_to_tensor(self.critic.kernel)),
                "g": tf.reduce_sum(tf.convert_to_tensor(self.maker.kernel)),
            }

    return Pair


def make(face, place="attributes", **options: object):
    face.keras.utils.set_random_seed(1)
    model = model_class(face)()
    model(np.ones((2, 3), np.float32))
    optimizers = [face.wrap(face.keras.optimizers.SGD(0.1), **options) for _ in range(2)]
    model.compile(*optimizers, place)
    return model, optimizers


def fit(model, callbacks, epochs=2, **options: object):
    x = np.random.default_rng(1).normal(size=(32, 3)).astype(np.float32)
    y = np.zeros((32, 1), np.float32)
    return model.fit(
        x, y, epochs=epochs, verbose=0, validation_data=(x, y), callbacks=callbacks, **options
    ).history


def kernels(model):
    return [model.critic.kernel, model.maker.kernel]


def sums_of_averages(model, optimizers):
    pairs = zip(optimizers, kernels(model), strict=True)
    return [float(np.sum(one.average(kernel).numpy())) for one, kernel in pairs]


@pytest.mark.sampled
@places
@faces
def test_all_optimizers_of_a_model_are_evaluated_with_their_averages(face, place):
    model, optimizers = make(face, place)
    history = fit(model, [face.ours.EvaluateAverages()])
    last = [history["val_d"][-1], history["val_g"][-1]]
    np.testing.assert_allclose(last, sums_of_averages(model, optimizers), rtol=1e-6)
    assert not np.allclose(last, [np.sum(k) for k in values(kernels(model))], rtol=1e-4)
    assert not any(one.is_swapped for one in optimizers)
    with optimizers[1].swapped(model):
        pass
    plain, _ = make(face, place)
    fit(plain, [])
    for value, same in zip(values(model.weights), values(plain.weights), strict=True):
        assert_same_bits(value, same)


@pytest.mark.parametrize("mode", ["min", "max"])
@faces
def test_an_early_stop_restores_the_averages_of_all(face, mode):
    model, optimizers = make(face)
    sums = []

    def record(epoch, logs):
        del epoch, logs
        sums.append(sums_of_averages(model, optimizers))

    recorder = face.keras.callbacks.LambdaCallback(on_epoch_end=record)
    stopping = face.keras.callbacks.EarlyStopping(
        "val_g", mode=mode, patience=1, restore_best_weights=True
    )
    history = fit(model, [face.ours.EvaluateAverages(), stopping, recorder], epochs=3)
    best = int(getattr(np, f"arg{mode}")(history["val_g"]))
    assert sums[0] != sums[1]
    assert sums_of_averages(model, optimizers) == sums[best]


@pytest.mark.parametrize("as_list", [False, True])
@faces
def test_the_optimizers_to_evaluate_may_be_named(face, as_list):
    model, optimizers = make(face)
    named = optimizers[1:] if as_list else optimizers[1]
    history = fit(model, [face.ours.EvaluateAverages(optimizer=named)])
    expected = [float(np.sum(values(kernels(model))[0])), sums_of_averages(model, optimizers)[1]]
    np.testing.assert_allclose([history["val_d"][-1], history["val_g"][-1]], expected, rtol=1e-6)


@faces
def test_optimizers_of_another_kind_are_refused(face):
    other = TF_KERAS if face is KERAS else KERAS
    for wrong in (other.wrap(), face.keras.optimizers.SGD(), [face.wrap(), None], [], "adam"):
        with pytest.raises(TypeError, match=f"be a MovingAverage of {face}, or a list of such"):
            face.ours.EvaluateAverages(optimizer=wrong)


@faces
def test_a_variable_of_both_is_refused_by_name(face):
    model, _ = make(face)
    shared = model.critic.kernel
    model, optimizers = make(face, extra_variables=lambda: [shared])
    with pytest.raises(
        ValueError, match=r"different variables\. Received: '.*kernel.*', which two"
    ):
        fit(model, [face.ours.EvaluateAverages()])
    assert not any(one.is_swapped for one in optimizers)


@faces
def test_all_swap_or_none_and_back_in_reverse_even_if_one_fails(face, monkeypatch):
    model, optimizers = make(face)
    fit(model, [])
    before = values(model.weights)
    first, second = optimizers
    with second.swapped():
        with pytest.raises(RuntimeError, match="cannot be entered while"), all_swapped(optimizers):
            pytest.fail("the body ran")
        assert not first.is_swapped

    # The second one's way back fails: the first one goes back all the same.
    order = []
    for name, one in (("first", first), ("second", second)):
        swap = one.holder.state.swap

        def noted(exchange, index, name=name, one=one, swap=swap):
            order.append(name)
            if name == "second" and one.is_swapped:
                message = "no way back"
                raise OSError(message)
            swap(exchange, index)

        monkeypatch.setattr(one.holder.state, "swap", noted)
    with pytest.raises(OSError, match="no way back"), all_swapped(optimizers):
        pass
    back = [*dict.fromkeys(order[2:])]  # Each way back that fails is tried again.
    assert (order[:2], back) == (["first", "second"], ["second", "first"])
    assert (first.is_swapped, second.is_swapped) == (False, True)
    monkeypatch.undo()
    second.holder.swaps.swap()
    for value, same in zip(values(model.weights), before, strict=True):
        assert_same_bits(value, same)


@pytest.mark.sampled
@places
@faces
def test_the_saved_file_holds_all_averages_and_plain_optimizers(face, place, tmp_path):
    model, optimizers = make(face, place)
    path = str(tmp_path / "gan.weights.h5")
    fit(model, [face.ours.AverageModelCheckpoint(path, save_weights_only=True)])
    plain = model_class(face)()
    plain(np.ones((2, 3), np.float32))
    plain.compile(face.keras.optimizers.SGD(0.1), face.keras.optimizers.SGD(0.1), place)
    if place != "loss scale":
        for optimizer, layer in zip(plain.both(), (plain.critic, plain.maker), strict=True):
            optimizer.build(layer.trainable_variables)
        plain.load_weights(path)
        for optimizer, kernel, saved in zip(
            optimizers, kernels(model), kernels(plain), strict=True
        ):
            assert_same_bits(np.array(saved.numpy()), optimizer.average(kernel).numpy())
    with h5py.File(path) as file:
        names = []
        file.visit(names.append)
    assert any("optimizer" in name or "ours" in name for name in names)
    assert not [name for name in names if "average" in name]
    assert model.both() == tuple(optimizers)
    again = fit(model, [face.ours.EvaluateAverages()], epochs=1)
    np.testing.assert_allclose(again["val_g"], sums_of_averages(model, optimizers)[1], rtol=1e-6)


@faces
def test_no_file_is_opened_while_one_of_them_is_swapped(face, tmp_path):
    model, optimizers = make(face)
    fit(model, [])
    path = tmp_path / "gan.weights.h5"
    with (
        optimizers[1].swapped(),
        pytest.raises(RuntimeError, match="cannot be saved or restored while"),
    ):
        model.save_weights(str(path))
    assert not path.exists()
    model.save_weights(str(path))
    other, others = make(face)
    for optimizer, layer in zip(others, (other.critic, other.maker), strict=True):
        optimizer.build(layer.trainable_variables)
    other.load_weights(str(path))
    assert sums_of_averages(other, others) == sums_of_averages(model, optimizers)
