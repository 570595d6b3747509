"""Moving statistics of batch normalization, recomputed for weights and for averages."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from keras_models import FEATURES, KERAS, TF_KERAS, data, faces, values
from oracle import assert_same_bits
from strategies import STRATEGIES

import tf_mavg

# Keras reads its variables as NumPy 2 will not have it.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

EPSILON = 1e-3


def make(face, *, dropout=0.0, dtype="float32", renorm=False):
    """Dense, batch normalization, dropout, batch normalization: the second one needs the first."""
    layers = face.keras.layers
    face.keras.utils.set_random_seed(7)
    return face.keras.Sequential(
        [
            layers.Input((FEATURES,)),
            layers.Dense(4, name="dense"),
            layers.BatchNormalization(
                name="first", momentum=0.9, dtype=dtype, beta_initializer="ones", renorm=renorm
            ),
            layers.Dropout(dropout, seed=5),
            layers.BatchNormalization(name="second", dtype=dtype),
            layers.Dense(3, name="output"),
        ]
    )


def statistics(model):
    layers = [model.get_layer(name) for name in ("first", "second")]
    return values(v for one in layers for v in (one.moving_mean, one.moving_variance))


def expected(model, batches):
    """What the statistics must be, in float64."""
    kernel, bias = (np.float64(v) for v in values(model.get_layer("dense").weights))
    gamma, beta = (np.float64(v) for v in values(model.get_layer("first").trainable_variables))
    rows = np.array([len(batch) for batch in batches])
    found = []
    for batch in batches:
        first = batch @ kernel + bias
        second = gamma * (first - first.mean(0)) / np.sqrt(first.var(0) + EPSILON) + beta
        found.append([first.mean(0), first.var(0), second.mean(0), second.var(0)])
    return [np.average(one, 0, rows) for one in zip(*found, strict=True)]


def check(model, batches):
    for received, value in zip(statistics(model), expected(model, batches), strict=True):
        np.testing.assert_allclose(received, value, rtol=2e-5, atol=1e-6)


def in_batches(x, size=12):
    return [x[i : i + size] for i in range(0, len(x), size)]


def forms(face, x, y, size=12):
    """The same batches in all forms, the last one smaller."""
    parts = [(x[i : i + size], y[i : i + size]) for i in range(0, len(x), size)]

    class Parts(face.keras.utils.Sequence):
        def __len__(self) -> int:
            return len(parts)

        def __getitem__(self, index: int) -> tuple:
            return parts[index]

    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(size)
    return {
        "array": x,
        "arrays": (x, y),
        "arrays and weights": (x, y, np.ones(len(x))),
        "tensor": tf.constant(x),
        "dataset": dataset,
        "dataset of inputs": dataset.map(lambda inputs, _: inputs),
        "sequence": Parts(),
        "generator": iter(parts),
        "list of batches": iter([part for part, _ in parts]),
    }


@pytest.mark.parametrize("form", forms(KERAS, *data()))
@faces
def test_the_statistics_are_means_over_the_batches_by_their_rows(face, form):
    x, y = data()
    model = make(face)
    before = values(model.trainable_variables)
    face.ours.update_batch_norm(model, forms(face, x, y)[form], batch_size=12)
    check(model, in_batches(x))
    for weight, same in zip(values(model.trainable_variables), before, strict=True):
        assert_same_bits(weight, same)
    assert model.get_layer("first").momentum == 0.9
    assert "call" not in vars(model.get_layer("first"))
    # It starts anew each time, whatever the statistics were.
    for layer in (model.get_layer("first"), model.get_layer("second")):
        layer.moving_variance.assign(np.full(4, np.nan))
    face.ours.update_batch_norm(model, x, batch_size=32)
    check(model, in_batches(x, 32))


@faces
def test_steps_end_what_has_no_end(face):
    x, y = data()
    model = make(face)
    endless = tf.data.Dataset.from_tensor_slices((x, y)).batch(16).repeat()
    face.ours.update_batch_norm(model, endless, steps=3)
    check(model, in_batches(x[:48], 16))
    with pytest.raises(ValueError, match="`data` without an end needs `steps`"):
        face.ours.update_batch_norm(model, endless)
    with pytest.raises(ValueError, match="`data` must have a batch"):
        face.ours.update_batch_norm(model, iter([]))
    check(model, in_batches(x[:48], 16))


@pytest.mark.parametrize("eagerly", [False, True])
@faces
def test_it_is_traced_once_unless_the_model_runs_eagerly(face, eagerly):
    calls = []

    class Counting(face.keras.layers.Layer):
        """Python runs its body once a trace."""

        def call(self, inputs):
            calls.append(inputs)
            return inputs

    x, _ = data()
    made = make(face)
    model = face.keras.Sequential([face.keras.layers.Input((FEATURES,)), Counting(), made])
    model.compile("sgd", "mse", run_eagerly=eagerly)
    for given in (x, iter([(batch, None) for batch in in_batches(x)])):
        calls.clear()
        face.ours.update_batch_norm(model, given, batch_size=12)
        assert len(calls) == (len(in_batches(x)) if eagerly else 1)
    check(made, in_batches(x))


@faces
def test_inputs_of_other_sizes_and_an_empty_batch(face):
    layers = face.keras.layers
    model = face.keras.Sequential([layers.Input((None, None, 2)), layers.BatchNormalization()])
    rng = np.random.default_rng(1)
    batches = [rng.normal(1, 2, (rows, size, size, 2)) for rows, size in ((2, 3), (0, 3), (4, 5))]
    face.ours.update_batch_norm(model, iter(batches))
    count = np.array([2, 0, 4])
    # The fused op of TensorFlow, which tf_keras uses, has the unbiased variance.
    ddof = 0 if face is KERAS else 1
    full = [batches[0], batches[2]]
    means = [batch.mean((0, 1, 2)) for batch in full]
    variances = [batch.reshape(-1, 2).var(0, ddof=ddof) for batch in full]
    (layer,) = model.layers
    np.testing.assert_allclose(
        layer.moving_mean.numpy(), np.average(means, 0, count[[0, 2]]), rtol=1e-5
    )
    np.testing.assert_allclose(
        layer.moving_variance.numpy(), np.average(variances, 0, count[[0, 2]]), rtol=1e-5
    )


@faces
def test_a_layer_called_twice_a_batch_counts_both_calls(face):
    layers = face.keras.layers
    one, other = layers.Input((2,)), layers.Input((2,))
    shared = layers.BatchNormalization(name="shared")
    model = face.keras.Model([one, other], [shared(one), shared(other)])
    rng = np.random.default_rng(1)
    inputs = [rng.normal(i, 1, (8, 2)).astype(np.float32) for i in range(2)]
    face.ours.update_batch_norm(model, iter([(inputs, None)]))
    means = np.mean([value.mean(0) for value in inputs], 0)
    np.testing.assert_allclose(shared.moving_mean.numpy(), means, rtol=1e-5, atol=1e-6)


@faces
def test_nested_and_subclassed_layers_and_those_in_other_modes(face):
    layers = face.keras.layers

    class Mine(layers.BatchNormalization):
        """A subclass with further arguments."""

        def call(self, inputs, training=None, mask=None):
            return super().call(inputs, training=training, mask=mask)

    class Model(face.keras.Model):
        """Calls layers by hand: one always in inference, and one never."""

        def __init__(self) -> None:
            super().__init__()
            self.within = {"list": [Mine(name="mine")]}
            self.inner = face.keras.Sequential([layers.BatchNormalization(name="deep")])
            self.inference = layers.BatchNormalization(name="inference")
            self.frozen = layers.BatchNormalization(name="frozen", trainable=False)
            self.without = layers.LayerNormalization()

        def call(self, inputs, training=None):
            x = self.within["list"][0](inputs, training=training)
            x = self.inference(x, training=False)
            x = self.frozen(x, training=training)
            return self.without(self.inner(x, training=training))

    x, _ = data()
    model = Model()
    model(x[:2])
    mine, (deep,) = model.within["list"][0], model.inner.layers
    still = [model.inference, model.frozen]
    for layer in still:
        layer.moving_mean.assign(np.full(FEATURES, 3.0))
    before = [values(layer.weights) for layer in still]
    face.ours.update_batch_norm(model, x, batch_size=len(x))
    np.testing.assert_allclose(mine.moving_mean.numpy(), x.mean(0), rtol=1e-5, atol=1e-6)
    within = (x - x.mean(0)) / np.sqrt(x.var(0) + EPSILON)
    within = (within - 3) / np.sqrt(1 + EPSILON)
    within = (within - 3) / np.sqrt(1 + EPSILON)
    np.testing.assert_allclose(deep.moving_mean.numpy(), within.mean(0), rtol=1e-4)
    for layer, same in zip(still, before, strict=True):
        for value, old in zip(values(layer.weights), same, strict=True):
            assert_same_bits(value, old)


@faces
def test_nothing_else_of_a_model_changes(face):
    """Dropout is at work, as in training; its seed, and what other layers count, is put back."""

    class Counter(face.keras.layers.Layer):
        def build(self, shape):
            del shape
            self.seen = self.add_weight(name="seen", shape=(), initializer="zeros", trainable=False)

        def call(self, inputs):
            self.seen.assign_add(1.0)
            return inputs

    x, _ = data()
    made = make(face, dropout=0.5)
    model = face.keras.Sequential([face.keras.layers.Input((FEATURES,)), Counter(), made])
    model.compile("sgd", "mse", metrics=["mse"])
    others = [v for v in model.variables if "moving" not in v.name]
    before = values(others)
    face.ours.update_batch_norm(model, x, batch_size=12)
    for variable, value, same in zip(others, values(others), before, strict=True):
        assert np.array_equal(value, same), variable.name
    second = statistics(made)[2:]
    undropped = expected(made, in_batches(x))[2:]
    assert np.abs(second[1] - undropped[1]).max() > 0.1


@pytest.mark.parametrize("failure", [ValueError("broken data"), KeyboardInterrupt()], ids=repr)
@faces
def test_a_failure_half_way_changes_nothing(face, failure):
    def broken():
        yield x[:8]
        yield x[8:16]
        raise failure

    x, _ = data()
    model = make(face)
    face.ours.update_batch_norm(model, x)
    before = values(model.variables)
    with pytest.raises(type(failure)):
        face.ours.update_batch_norm(model, broken())
    for value, same in zip(values(model.variables), before, strict=True):
        assert_same_bits(value, same)
    layer = model.get_layer("first")
    assert (layer.momentum, "call" in vars(layer)) == (0.9, False)


@faces
def test_what_cannot_be_updated_is_refused(face, logical_cpus):
    x, _ = data()
    layers = face.keras.layers
    update = face.ours.update_batch_norm
    other = TF_KERAS if face is KERAS else KERAS
    with pytest.raises(TypeError, match=f"must be a model of {face}\\. Received"):
        update(make(other), x)
    unbuilt = face.keras.Sequential([layers.BatchNormalization(name="unbuilt")])
    with pytest.raises(ValueError, match=r"must be built\. Received: 'unbuilt', which is not"):
        update(unbuilt, x)
    renorm = make(face, renorm=True)
    with pytest.raises(ValueError, match="'first' with renorm=True; set its trainable=False"):
        update(renorm, x)
    renorm.get_layer("first").trainable = False
    update(renorm, x)
    with pytest.raises(RuntimeError, match="in eager mode, not in a function"):
        tf.function(lambda: update(make(face), x))()
    with STRATEGIES["mirrored"](logical_cpus).scope():
        model = make(face)
    with pytest.raises(
        RuntimeError, match=r"one replica\. Received: '.*moving_mean' of 2; save the"
    ):
        update(model, x)
    update(face.keras.Sequential([layers.Input((FEATURES,)), layers.Dense(1)]), x)


@faces
def test_a_strategy_of_one_device_is_served(face, logical_cpus):
    x, _ = data()
    with STRATEGIES["one device"](logical_cpus).scope():
        model = make(face)
    face.ours.update_batch_norm(model, x, batch_size=12)
    check(model, in_batches(x))


def test_the_synchronized_layer_of_tf_keras_is_one_of_them():
    x, _ = data()
    layer = tf_keras.layers.BatchNormalization(synchronized=True)
    model = tf_keras.Sequential([tf_keras.layers.Input((FEATURES,)), layer])
    TF_KERAS.ours.update_batch_norm(model, x, batch_size=len(x))
    np.testing.assert_allclose(layer.moving_mean.numpy(), x.mean(0), rtol=1e-5, atol=1e-6)


def trained(face):
    """A model whose weights, averages and statistics are all different."""
    x, y = data()
    model = make(face)
    optimizer = face.wrap(face.keras.optimizers.SGD(0.5))
    loss = face.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss)
    model.fit(x, y, batch_size=16, epochs=2, verbose=0)
    return model, optimizer


@faces
def test_statistics_that_are_not_averaged_come_back_with_the_weights(face):
    x, _ = data()
    model, optimizer = trained(face)
    own = values(model.variables)
    with optimizer.swapped():
        for _ in range(2):
            face.ours.update_batch_norm(model, x, batch_size=12)
        check(model, in_batches(x))
        assert not np.array_equal(statistics(model)[0], own[4])
    for value, same in zip(values(model.variables), own, strict=True):
        assert_same_bits(value, same)
    face.ours.update_batch_norm(model, x, batch_size=12)
    check(model, in_batches(x))


@faces
def test_a_loop_without_an_optimizer_of_keras_is_served_alike(face):
    x, _ = data()
    model = make(face)
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    averages.create_averages(v.value if face is KERAS else v for v in model.trainable_variables)
    own = statistics(model)
    with averages.swapped():
        face.ours.update_batch_norm(model, x, batch_size=12)
        check(model, in_batches(x))
    for value, same in zip(statistics(model), own, strict=True):
        assert_same_bits(value, same)


@pytest.mark.parametrize(
    ("policy", "compute"), [("mixed_float16", "float16"), ("mixed_bfloat16", "bfloat16")]
)
@faces
def test_mixed_precision(face, policy, compute):
    x, _ = data()
    model = make(face, dtype=policy)
    layer = model.get_layer("first")
    assert (layer.compute_dtype, layer.moving_mean.dtype) == (compute, "float32")
    face.ours.update_batch_norm(model, x, batch_size=12)
    for received, value in zip(
        statistics(model)[:2], expected(model, in_batches(x))[:2], strict=True
    ):
        np.testing.assert_allclose(received, value, rtol=0.02, atol=0.02)


@faces
def test_averages_need_statistics_of_their_own(face):
    """Evaluated with the weights' statistics they are worse than the weights: tensorflow#14713."""
    layers = face.keras.layers
    face.keras.utils.set_random_seed(4)
    stack = [layers.Input((FEATURES,))]
    for _ in range(4):
        stack += [layers.Dense(32), layers.BatchNormalization(momentum=0.9), layers.ReLU()]
    model = face.keras.Sequential([*stack, layers.Dense(3)])
    optimizer = face.ours.MovingAverage(
        face.keras.optimizers.SGD(2.0), 0.98, extra_variables=lambda: model.non_trainable_variables
    )
    loss = face.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    x, y = data(1024)
    model.fit(x[:512], y[:512], batch_size=32, epochs=4, verbose=0)

    def accuracy():
        return model.evaluate(x[512:], y[512:], verbose=0)[1]

    weights, own = accuracy(), values(model.non_trainable_variables)
    with optimizer.swapped():
        averaged = accuracy()
        for variable, value in zip(model.non_trainable_variables, own, strict=True):
            variable.assign(value)
        of_weights = accuracy()
        face.ours.update_batch_norm(model, x[:512])
        recomputed = accuracy()
    assert of_weights < weights - 0.05
    assert min(averaged, recomputed) > max(of_weights + 0.05, weights - 0.02)
