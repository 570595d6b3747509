"""Each trick with private names of a Keras: what an upgrade takes away fails here by its name."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_models import KERAS, TF_KERAS, data, faces

from tf_mavg._compat import keras as compat

pytestmark = [
    # Keras reads its variables as NumPy 2 will not have it.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    # tf_keras would rather not write .h5 files.
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning"),
]


@pytest.mark.parametrize(
    ("face", "name"),
    [
        *((KERAS, name) for name in ("m.keras", "m.h5", "m.weights.h5")),
        *((TF_KERAS, name) for name in ("m.keras", "m.h5", "m.weights.h5", "folder")),
    ],
    ids=str,
)
def test_call_before_saving_comes_before_the_file_is_opened(face, name, tmp_path, monkeypatch):
    for module, function in compat._WRITERS[str(face)]:  # Put back what the call replaces.
        monkeypatch.setattr(f"{module}.{function}", getattr(_module(module), function))
    seen = []

    def check(model, without_names):
        seen.append((model, without_names, path.exists()))

    compat.call_before_saving(face.keras, check)
    path = tmp_path / name
    model = face.make("sgd")
    (model.save_weights if "weights" in name else model.save)(str(path))
    assert seen == [(model, name == "m.h5", False)]
    assert path.exists()


def _module(name):
    return pytest.importorskip(name)


@faces
def test_a_file_without_the_optimizer_is_nobodys_concern(face, tmp_path):
    x, y = data()
    optimizer = face.wrap("sgd")
    model = face.make(optimizer)
    model.fit(x, y, verbose=0)
    with optimizer.swapped():
        model.save(str(tmp_path / "m.h5"), include_optimizer=False)


@faces
def test_call_after_compiling_comes_before_a_loaded_optimizer_is_built(face, tmp_path, monkeypatch):
    owner = next(kind for kind in face.keras.Model.__mro__ if "compile" in vars(kind))
    monkeypatch.setattr(owner, "compile", owner.compile)  # Put back what the call replaces.
    seen = []
    compat.call_after_compiling(
        face.keras, lambda model: seen.append((model, model.optimizer.holder.count))
    )
    model = face.make(face.wrap("sgd"))
    assert [one for one, _ in seen] == [model]
    model.optimizer.build(model.trainable_variables)
    model.save(str(tmp_path / "m.keras"))
    loaded = face.keras.models.load_model(str(tmp_path / "m.keras"))
    assert [one for one, _ in seen] == [model, loaded]
    assert (seen[1][1], loaded.optimizer.holder.count) == (0, 4)
    # A Keras compiles what it loads itself only where compile() is its own.
    assert type(loaded).compile == face.keras.Model.compile


@faces
def test_layers_of_a_model_at_any_depth(face):
    layers = face.keras.layers
    deep = layers.Dense(4)
    model = face.keras.Sequential(
        [layers.Input((3, 4)), layers.TimeDistributed(face.keras.Sequential([deep])), deep]
    )
    found = compat.layers_of(model)
    assert found[0] is model
    assert [one is deep for one in found].count(True) == 1


def test_untracked_attributes_are_not_the_optimizers_variables():
    class Holding(keras.optimizers.SGD):
        def hold(self, variables):
            self.held = variables

    optimizer, weights = Holding(), [keras.Variable([1.0])]
    compat.untracked(keras, Holding.hold)(optimizer, weights)
    assert len(optimizer.variables) == 2
    optimizer.hold(list(weights))
    assert len(optimizer.variables) == 3


def test_a_checkpoint_without_weights_holds_all_else(tmp_path):
    weight = keras.Variable([1.0])
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam())
    optimizer.build([weight])
    seen = compat.WithoutWeights(optimizer)
    plain = tf.train.Checkpoint(optimizer=optimizer).save(str(tmp_path / "plain"))
    path = tf.train.Checkpoint(optimizer=seen).save(str(tmp_path / "seen"))
    keys, kept = ({key for key, _ in tf.train.list_variables(file)} for file in (plain, path))
    # If the list is no longer tracked, the trick can go.
    assert {key for key in keys - kept if "_trainable_variables" not in key} == set()
    assert any("_trainable_variables" in key for key in keys)
    assert not any("_trainable_variables" in key for key in kept)
    optimizer.inner_optimizer.iterations.assign(7)
    tf.train.Checkpoint(optimizer=seen).restore(path).assert_existing_objects_matched()
    assert int(optimizer.iterations) == 0


def test_a_variable_of_keras_stands_for_one_of_tensorflow():
    variable = tf.Variable([1.0, 2.0], dtype=tf.bfloat16)
    shown = compat.keras_variable(keras, variable, "a_name")
    assert isinstance(shown, keras.Variable)
    assert shown.value is variable
    assert (shown.name, shown.path, shown.dtype, shown.trainable) == (
        "a_name", "a_name", "bfloat16", False,
    )  # fmt: skip


@faces
def test_callbacks_of_the_fit_that_evaluates(face):
    class Evaluated(face.keras.Sequential):
        def evaluate(self, *args: object, **kwargs: object):
            seen.append(compat.callbacks_of(kwargs))
            return super().evaluate(*args, **kwargs)

    x, y = data()
    seen, callback = [], face.keras.callbacks.Callback()
    model = Evaluated([face.keras.layers.Input((6,)), face.keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    model.fit(x, np.eye(3)[y], validation_data=(x, np.eye(3)[y]), verbose=0, callbacks=[callback])
    assert callback in seen[0]
    model.evaluate(x, np.eye(3)[y], verbose=0)
    assert seen[1] == []


@pytest.mark.parametrize("scaled", [False, True], ids=["", "loss scale"])
@faces
def test_compiled_with_another_optimizer(face, scaled):
    optimizer, other = face.keras.optimizers.SGD(), face.keras.optimizers.Adam()
    compiled = face.loss_scale(optimizer) if scaled else optimizer
    model = face.make(compiled)

    def seen():
        alone = model.optimizer.inner_optimizer if scaled else model.optimizer
        config = str(model.get_compile_config()["optimizer"])
        return alone, "Adam" in config, model._lookup_dependency("optimizer")

    before = seen()
    assert before[:2] == (optimizer, False)
    with compat.compiled_with(model, optimizer, other):
        assert seen()[:2] == (other, True)
    assert seen() == before


@faces
def test_without_optimizer(face, tmp_path):
    model = face.make("sgd")
    optimizer = model.optimizer
    with pytest.raises(OSError, match="full"), compat.without_optimizer(model):
        assert model.optimizer is None
        model.save_weights(str(tmp_path / "m.weights.h5"))
        raise OSError(28, "full")
    assert model.optimizer is optimizer
    face.keras.Sequential.from_config(model.get_config()).load_weights(
        str(tmp_path / "m.weights.h5")
    )
