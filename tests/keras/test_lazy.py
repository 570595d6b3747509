"""sparse="lazy" in both Kerases: averages of an embedding, of which a step writes a few rows."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_models import KERAS, TF_KERAS, faces
from oracle import assert_same_bits
from rows import as_it_is

pytestmark = [
    pytest.mark.cpu,  # TensorFlow sorts indices on a GPU, which the emulated one cannot.
    # Keras asks NumPy for an array of its own variable.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

WORDS = 30


def model_of(face, optimizer, **options: object):
    """A model with an embedding, whose weights start at the same values each time."""
    layers = face.keras.layers
    face.keras.utils.set_random_seed(3)
    model = face.keras.Sequential(
        [
            layers.Input((2,), dtype="int32"),
            layers.Embedding(WORDS, 4, name="words", **options),
            layers.Flatten(),
            layers.Dense(1, name="output"),
        ]
    )
    model.compile(optimizer, "mse", jit_compile=False)
    return model


def batches(steps=12, seed=5):
    rng = np.random.default_rng(seed)
    words = rng.integers(0, WORDS, (steps * 3, 2)).astype(np.int32)
    return words, words.sum(axis=1).astype(np.float32)


def fit(model, steps=12, seed=5):
    model.fit(*batches(steps, seed), batch_size=3, verbose=0, shuffle=False)


def averages(model):
    return [model.optimizer.average(weight).numpy() for weight in model.trainable_variables]


def assert_close(received, expected):
    for one, other in zip(received, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def lazy_of(model):
    return model.optimizer.holder.lazy


OPTIMIZERS = {
    "sgd": lambda k: k.optimizers.SGD(0.05),
    "adagrad": lambda k: k.optimizers.Adagrad(0.05),
    "scaled loss": lambda k: loss_scale(k)(k.optimizers.SGD(0.05)),
    "clipped": lambda k: k.optimizers.SGD(0.05, global_clipnorm=0.5),
    "schedule": lambda k: k.optimizers.SGD(k.optimizers.schedules.ExponentialDecay(0.05, 3, 0.9)),
}


def loss_scale(k):
    return (k.optimizers if k is keras else k.mixed_precision).LossScaleOptimizer


@pytest.mark.sampled
@faces
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fit_gives_dense_averages(face, name):
    found = []
    for sparse in ("lazy", "dense"):
        optimizer = face.wrap(OPTIMIZERS[name](face.keras), sparse=sparse, every=2)
        model = model_of(face, optimizer)
        fit(model)
        fit(model, seed=6)
        assert bool(lazy_of(model)) == (sparse == "lazy")
        found.append(averages(model))
    assert_close(*found)


@faces
@pytest.mark.parametrize("eagerly", [True, False], ids=["eager", "function"])
def test_a_step_touches_the_rows_of_its_batch(face, eagerly):
    model = model_of(face, face.wrap("sgd", sparse="lazy"))
    model.run_eagerly = eagerly
    fit(model, steps=2)
    average = model.optimizer.holder.entry_of(model.trainable_variables[0]).average
    before = as_it_is(average)
    words = np.array([[3, 9], [3, 3], [4, 9]], np.int32)
    model.train_on_batch(words, np.ones(3, np.float32))
    changed = np.flatnonzero((as_it_is(average) != before).any(axis=1))
    assert set(changed) <= {3, 4, 9}


WRITERS = {
    "adam": lambda k: k.optimizers.Adam(),
    "momentum": lambda k: k.optimizers.SGD(0.1, momentum=0.9),
    "weight decay": lambda k: k.optimizers.SGD(0.1, weight_decay=0.1),
    "use_ema": lambda k: k.optimizers.SGD(0.1, use_ema=True),
    "rmsprop": lambda k: k.optimizers.RMSprop(momentum=0.5),
    "lion": lambda k: k.optimizers.Lion(),
    "warm-up of Adam": lambda k: k.optimizers.Adam(
        k.optimizers.schedules.PolynomialDecay(0.0, 100, 0.1)
    ),
    "scaled loss": lambda k: loss_scale(k)(k.optimizers.Adam()),
}


@faces
@pytest.mark.parametrize("name", WRITERS)
def test_optimizers_that_write_other_rows_are_refused(face, name):
    model = model_of(face, face.wrap(WRITERS[name](face.keras), sparse="lazy"))
    before = [weight.numpy() for weight in model.trainable_variables]
    with pytest.raises(ValueError, match="an optimizer must write no other rows than its grad"):
        fit(model, steps=1)
    for weight, value in zip(model.trainable_variables, before, strict=True):
        assert_same_bits(weight.numpy(), value)


def test_gradients_that_are_added_up_are_refused():
    optimizer = KERAS.wrap(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2), sparse="lazy")
    with pytest.raises(ValueError, match="gradients that it adds up"):
        fit(model_of(KERAS, optimizer), steps=1)


@faces
def test_a_constraint_is_refused(face):
    model = model_of(face, face.wrap("sgd", sparse="lazy"), embeddings_constraint="non_neg")
    with pytest.raises(ValueError, match=r"words/embeddings.* with a constraint"):
        fit(model, steps=1)


@faces
def test_the_probe_leaves_names_and_random_numbers_alone(face):
    def names(sparse):
        face.keras.backend.clear_session()
        model = model_of(face, face.wrap("sgd", sparse=sparse))
        fit(model, steps=1)
        after = face.keras.Sequential([face.keras.layers.Dense(2)])
        after.build((None, 3))
        return [w.name for w in after.weights], [w.numpy() for w in after.weights]

    (names_lazy, lazy), (names_dense, dense) = names("lazy"), names("dense")
    assert names_lazy == names_dense
    for one, other in zip(lazy, dense, strict=True):
        assert_same_bits(one, other)


@faces
def test_a_swap_evaluates_dense_averages(face):
    found = []
    for sparse in ("lazy", "dense"):
        model = model_of(face, face.wrap("sgd", sparse=sparse))
        fit(model)
        with model.optimizer.swapped():
            found.append([weight.numpy() for weight in model.trainable_variables])
        fit(model)
        found.append(averages(model))
    assert_close(found[0], found[2])
    assert_close(found[1], found[3])


@faces
@pytest.mark.parametrize("kind", ["keras", "checkpoint"])
def test_files(face, kind, tmp_path):
    """A resumed run has the bits of the run; a file of lazy averages is one of dense ones."""
    path = str(tmp_path / "model.keras")

    def save(model):
        if kind == "keras":
            model.save(path)
        else:
            tf.train.Checkpoint(model=model, optimizer=model.optimizer).write(path)

    def load(sparse):
        model = model_of(face, face.wrap("sgd", sparse=sparse))
        if kind == "keras":
            loaded = face.keras.models.load_model(path)
            if sparse == "lazy":
                return loaded
            loaded.optimizer.save_own_variables(store := {})
            model.set_weights(loaded.get_weights())
            model.optimizer.build(model.trainable_variables)
            model.optimizer.load_own_variables(store)
        else:
            model.optimizer.build(model.trainable_variables)
            checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
            checkpoint.restore(path).expect_partial()
        return model

    model = model_of(face, face.wrap("sgd", sparse="lazy"))
    fit(model)
    save(model)
    saved = averages(model)
    fit(model, seed=8)
    expected = averages(model)
    for one, other in zip(averages(load("dense")), saved, strict=True):
        assert_same_bits(one, other)
    resumed = load("lazy")
    assert resumed.optimizer.holder.sparse == "lazy"
    resumed.compile(resumed.optimizer, "mse", jit_compile=False)
    fit(resumed, seed=8)
    for one, other in zip(averages(resumed), expected, strict=True):
        assert_same_bits(one, other)


@faces
def test_a_file_loaded_over_averages_that_are_behind(face):
    model = model_of(face, face.wrap("sgd", sparse="lazy"))
    fit(model)
    expected = averages(model)
    store = {}
    model.optimizer.save_own_variables(store)
    fit(model, seed=9)
    model.optimizer.load_own_variables({key: np.array(value) for key, value in store.items()})
    for one, other in zip(averages(model), expected, strict=True):
        assert_same_bits(one, other)


def test_a_dense_gradient_of_a_lazy_weight_writes_all_rows():
    for face in (KERAS, TF_KERAS):
        found = []
        for sparse in ("lazy", "dense"):
            optimizer = face.wrap(face.keras.optimizers.SGD(0.1), sparse=sparse)
            weight = face.variable(np.ones((5, 2), np.float32), name="w")
            for gradient in (
                tf.IndexedSlices(tf.ones([2, 2]), tf.constant([1, 3]), tf.constant([5, 2])),
                tf.ones([5, 2]),
                tf.IndexedSlices(tf.ones([1, 2]), tf.constant([0]), tf.constant([5, 2])),
                tf.IndexedSlices(tf.ones([1, 2]), tf.constant([4]), tf.constant([5, 2])),
            ):
                optimizer.apply_gradients([(gradient, weight)])
            found.append([optimizer.average(weight).numpy()])
        assert_close(*found)


def test_xla_is_refused():
    model = model_of(KERAS, KERAS.wrap("sgd", sparse="lazy"))
    model.compile(model.optimizer, "mse", jit_compile=True)
    with pytest.raises(RuntimeError, match="jit_compile=False"):
        fit(model, steps=1)


def test_configuration():
    for face in (KERAS, TF_KERAS):
        config = face.wrap("sgd", sparse="lazy").get_config()
        assert face.ours.MovingAverage.from_config(config).holder.sparse == "lazy"
        del config["sparse"]  # As of an older version.
        assert face.ours.MovingAverage.from_config(config).holder.sparse == "dense"
        with pytest.raises(ValueError, match="`sparse` must be one of"):
            face.wrap("sgd", sparse="rows")
