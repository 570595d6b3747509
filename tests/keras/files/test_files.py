"""Keras files: each weight gets its own average, and a refused save leaves the old file whole."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from keras_models import KERAS, TF_KERAS, averages, data, faces, values
from oracle import assert_same_bits

pytestmark = [
    # Keras reads its variables as NumPy 2 will not have it.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    # tf_keras would rather not write .h5 files.
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning"),
    # The wrapped optimizer's state is of other weights.
    pytest.mark.filterwarnings("ignore:The state of:UserWarning"),
    pytest.mark.filterwarnings("ignore:Skipping variable loading:UserWarning"),
]
NAMES = ("first", "second", "third")


def stacked(face, optimizer, names=NAMES, frozen=(), classes=2):
    """A model of layers of one shape, so that no shape tells their weights apart."""
    layers = [face.keras.layers.Dense(2, use_bias=False, name=name) for name in names]
    for layer in layers:
        layer.trainable = layer.name not in frozen
    head = face.keras.layers.Dense(classes, use_bias=False, name="head")
    model = face.keras.Sequential([face.keras.layers.Input((2,)), *layers, head])
    model.compile(optimizer, loss="mse")
    return model


def weights_of(model):
    return {layer.name: layer.weights[0] for layer in model.layers}


def build(optimizer, model, offset):
    """Builds; the n-th layer's weights are n, and its averages differ by an offset."""
    optimizer.build(model.trainable_variables)
    for i, weight in enumerate(weights_of(model).values()):
        weight.assign(np.full(weight.shape, i + 1.0))
        if optimizer.average(weight) is not None:
            optimizer.average(weight).assign(np.full(weight.shape, i + 1.0 + offset))


def averages_by_name(optimizer, model):
    found = {name: optimizer.average(weight) for name, weight in weights_of(model).items()}
    return {
        name: None if one is None else float(one.numpy().ravel()[0]) for name, one in found.items()
    }


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        ({}, {"exclude": "first"}, {"first": None, "second": 12, "third": 13, "head": 14}),
        ({}, {"frozen": ("second",)}, {"first": 11, "second": None, "third": 13, "head": 14}),
        ({}, {"names": NAMES[::-1]}, {"first": 11, "second": 12, "third": 13, "head": 14}),
        (
            {"exclude": "first"},
            {"exclude": "third", "start_missing_averages": True},
            {"first": 1, "second": 12, "third": None, "head": 14},
        ),
        (
            {"frozen": ("first", "second")},
            {"frozen": ("third",), "start_missing_averages": True},
            {"first": 1, "second": 2, "third": None, "head": 14},
        ),
    ],
    ids=["exclude", "frozen", "order", "as many others", "unfrozen"],
)
@faces
def test_each_weight_gets_its_own_average(face, then, now, expected, tmp_path):
    def make(names=NAMES, frozen=(), **options: object):
        optimizer = face.wrap("adam", **options)
        return optimizer, stacked(face, optimizer, names, frozen)

    optimizer, model = make(**then)
    build(optimizer, model, 10)
    path = str(tmp_path / "w.weights.h5")
    model.save_weights(path)
    optimizer, model = make(**now)
    optimizer.build(model.trainable_variables)
    for weight in weights_of(model).values():
        weight.assign(np.zeros(weight.shape))
    model.load_weights(path)
    by_position = {name: i + 1 for i, name in enumerate([*NAMES, "head"])}
    if "names" in now:  # Keras itself gives the weights by position; an average follows its weight.
        by_position |= {"first": 3, "third": 1}
    received = {n: float(w.numpy().ravel()[0]) for n, w in weights_of(model).items()}
    assert received == by_position
    assert averages_by_name(optimizer, model) == expected


@faces
def test_numbers_of_keras_are_no_names(face, tmp_path):
    def make():
        optimizer = face.wrap("adam")
        return optimizer, stacked(face, optimizer, names=(None, None))

    optimizer, model = make()
    build(optimizer, model, 10)
    path = str(tmp_path / "w.weights.h5")
    model.save_weights(path)
    optimizer, model = make()  # Its layers have other numbers.
    optimizer.build(model.trainable_variables)
    model.load_weights(path)
    assert list(averages_by_name(optimizer, model).values()) == [11, 12, 13]


@pytest.mark.filterwarnings("error:The state of:UserWarning")
@faces
def test_numbered_layers_keep_the_state_of_kernels_and_biases(face, tmp_path):
    def make():
        optimizer, layers = face.wrap("adam"), face.keras.layers
        model = face.keras.Sequential([layers.Input((2,)), layers.Dense(2), layers.Dense(2)])
        model.compile(optimizer, loss="mse")
        optimizer.build(model.trainable_variables)
        return optimizer, model

    optimizer, model = make()
    optimizer.iterations.assign(7)
    path = str(tmp_path / "w.weights.h5")
    model.save_weights(path)
    resumed, model = make()
    model.load_weights(path)
    assert resumed.iterations.numpy() == 7


@faces
def test_a_file_of_other_weights_is_refused_and_changes_nothing(face, tmp_path):
    optimizer = face.wrap("adam")
    model = stacked(face, optimizer)
    build(optimizer, model, 10)
    path = str(tmp_path / "w.weights.h5")
    model.save_weights(path)
    other = face.wrap("adam")
    copy = stacked(face, other, names=("first", "second", "last"))
    build(other, copy, 20)
    before = [v.numpy() for v in other.variables]
    with pytest.raises(ValueError, match=r"Received: 4\. For .*last/kernel' of shape \(2, 2\) it"):
        copy.load_weights(path)
    for value, expected in zip(values(other.variables), before, strict=True):
        assert_same_bits(value, expected)


@faces
def test_missing_averages_are_named(face, tmp_path):
    optimizer = face.wrap("adam", exclude="second")
    model = stacked(face, optimizer)
    build(optimizer, model, 10)
    path = str(tmp_path / "w.weights.h5")
    model.save_weights(path)
    other = face.wrap("adam")
    copy = stacked(face, other)
    build(other, copy, 20)
    expected = r"4 averages, or none\. Received: 3\. For .*second.*start_missing_averages=True"
    with pytest.raises(ValueError, match=expected):
        copy.load_weights(path)
    assert averages_by_name(other, copy)["first"] == 21


@faces
@pytest.mark.filterwarnings("ignore:A total of:UserWarning")
@pytest.mark.filterwarnings("ignore:Could not load weights:UserWarning")
def test_a_new_head_starts_at_its_weights(face, tmp_path):
    optimizer = face.wrap("adam")
    model = stacked(face, optimizer)
    build(optimizer, model, 10)
    path = str(tmp_path / "w.weights.h5")
    model.save_weights(path)
    for start_missing, backbone in ((False, 1), (True, 11)):
        other = face.wrap("adam", start_missing_averages=start_missing)
        copy = stacked(face, other, classes=5)
        other.build(copy.trainable_variables)
        copy.load_weights(path, skip_mismatch=True)
        assert averages_by_name(other, copy)["first"] == backbone
        head = weights_of(copy)["head"]
        assert_same_bits(other.average(head).numpy(), head.numpy())


@faces
def test_a_plain_file_into_a_built_optimizer_starts_averages_at_its_weights(face, tmp_path):
    plain = stacked(face, "adam")
    for i, weight in enumerate(weights_of(plain).values()):
        weight.assign(np.full(weight.shape, i + 1.0))
    plain.optimizer.build(plain.trainable_variables)
    plain.save_weights(str(tmp_path / "w.weights.h5"))
    plain.save_weights(
        str(tmp_path / "w.h5") if face is TF_KERAS else str(tmp_path / "v.weights.h5")
    )
    for path in tmp_path.iterdir():
        optimizer = face.wrap("adam")
        model = stacked(face, optimizer)
        optimizer.build(model.trainable_variables)
        model.load_weights(str(path))
        assert averages_by_name(optimizer, model) == {
            "first": 1,
            "second": 2,
            "third": 3,
            "head": 4,
        }


def test_tf_keras_refuses_a_plain_file_where_training_would_go_on_unseen(tmp_path):
    plain = stacked(TF_KERAS, "adam")
    plain.optimizer.build(plain.trainable_variables)
    plain.save_weights(str(tmp_path / "w.weights.h5"))
    optimizer = TF_KERAS.wrap("adam")
    model = stacked(TF_KERAS, optimizer)
    model.fit(np.ones((2, 2)), np.ones((2, 2)), verbose=0)
    before = averages(optimizer, model)
    with pytest.raises(ValueError, match=r"no average of 'first/kernel'.*optimizer\.restart\(\)"):
        model.load_weights(str(tmp_path / "w.weights.h5"))
    for value, expected in zip(averages(optimizer, model), before, strict=True):
        assert_same_bits(value, expected)


@pytest.mark.sampled(pairs=True)
@pytest.mark.parametrize(
    "scaled", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["", "loss scale"]
)
@pytest.mark.parametrize(
    ("face", "name"),
    [
        *itertools.product([KERAS, TF_KERAS], ["m.keras", "m.h5", "m.weights.h5"]),
        pytest.param(TF_KERAS, "folder", marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_refused_save_leaves_the_old_file_whole(face, name, scaled, tmp_path):
    x, y = data()
    optimizer = face.wrap("adam")
    model = face.make(face.loss_scale(optimizer) if scaled else optimizer)
    model.fit(x, y, verbose=0)
    path = tmp_path / name

    def save():
        (model.save_weights if "weights" in name else model.save)(str(path))

    def content():
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        return {file: file.read_bytes() for file in files if file.is_file()}

    save()
    before = content()
    expected = "cannot be saved or restored while averages and weights are swapped"
    with optimizer.swapped(), pytest.raises(RuntimeError, match=expected):
        save()
    assert content() == before
    with optimizer.swapped_for_saving():
        if name == "m.h5":
            with pytest.raises(RuntimeError, match="old HDF5 layout cannot hold averages"):
                save()
            assert content() == before


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5"])
@faces
def test_a_file_with_averages_in_place_is_for_evaluation(face, name, tmp_path):
    x, y = data()
    optimizer = face.wrap("adam")
    model = face.make(optimizer)
    model.fit(x, y, verbose=0)
    expected = averages(optimizer, model)
    path = str(tmp_path / name)
    with optimizer.swapped_for_saving():
        (model.save_weights if "weights" in name else model.save)(path)
    with pytest.raises(ValueError, match=r"one of swapped_for_saving\(\), with averages in the pl"):
        face.keras.models.load_model(path) if name == "m.keras" else model.load_weights(path)
    if name == "m.keras":
        copy = face.keras.models.load_model(path, compile=False)
        for value, other in zip(values(copy.trainable_variables), expected, strict=True):
            assert_same_bits(value, other)


@pytest.mark.sampled(pairs=True)
@pytest.mark.slow
@pytest.mark.parametrize("scaled", [False, True], ids=["", "loss scale"])
@pytest.mark.parametrize(
    ("face", "kind", "name"),
    [
        *itertools.product([KERAS], ["keras", "h5"], ["Lion", "Lamb"]),
        # It gives two of its variables one name, and so cannot write another file.
        (KERAS, "keras", "Adafactor"),
        *itertools.product([TF_KERAS], ["keras", "h5"], ["Lion", "Adafactor"]),
    ],
    ids=str,
)
def test_optimizers_that_keras_does_not_list_survive_files(face, kind, name, scaled, tmp_path):
    x, y = data()
    inner = getattr(face.keras.optimizers, name)(0.01)
    optimizer = face.wrap(face.loss_scale(inner) if scaled else inner)
    model = face.make(optimizer)
    model.fit(x, y, verbose=0)
    path = str(tmp_path / f"m.{kind}")
    model.save(path)
    copied = face.keras.models.load_model(path).optimizer.inner_optimizer
    assert type(copied.inner_optimizer if scaled else copied) is type(inner)


@pytest.mark.parametrize("built", [False, True], ids=["", "built"])
@pytest.mark.parametrize(
    "scaled", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["", "loss scale"]
)
@faces
def test_a_plain_optimizers_checkpoint_does_not_restore_silently(face, scaled, built, tmp_path):
    x, y = data()
    plain = face.make("adam")
    plain.fit(x, y, verbose=0)
    path = tf.train.Checkpoint(model=plain, optimizer=plain.optimizer).save(str(tmp_path / "c"))
    optimizer = face.wrap("adam")
    outer = face.loss_scale(optimizer) if scaled else optimizer
    model = face.make(outer)
    if built:
        outer.build(model.trainable_variables)
    # Keras 3 itself cannot restore it into a LossScaleOptimizer, whose variables come first.
    with pytest.raises((AssertionError, tf.errors.InvalidArgumentError)):
        status = tf.train.Checkpoint(model=model, optimizer=outer).restore(path)
        outer.build(model.trainable_variables)
        status.assert_existing_objects_matched()


@pytest.mark.parametrize("built", [False, True], ids=["restored before building", "built"])
@faces
def test_a_checkpoint_knows_averages_by_their_weights(face, built, tmp_path):
    optimizer = face.wrap("adam")
    model = stacked(face, optimizer)
    build(optimizer, model, 10)
    path = tf.train.Checkpoint(model=model, optimizer=optimizer).save(str(tmp_path / "c"))
    other = face.wrap("sgd", exclude="first")
    copy = stacked(face, other, frozen=("second",))
    if built:
        other.build(copy.trainable_variables)
    tf.train.Checkpoint(model=copy, optimizer=other).restore(path).expect_partial()
    other.build(copy.trainable_variables)
    expected = {"first": None, "second": None, "third": 13, "head": 14}
    assert averages_by_name(other, copy) == expected
    with other.swapped():
        held = {n: float(w.numpy().ravel()[0]) for n, w in weights_of(copy).items()}
    assert held == {"first": 1, "second": 2, "third": 13, "head": 14}


@faces
def test_a_model_without_its_optimizer_is_restored_after_building(face, tmp_path):
    plain = stacked(face, "sgd")
    for i, weight in enumerate(weights_of(plain).values()):
        weight.assign(np.full(weight.shape, i + 1.0))
    path = tf.train.Checkpoint(model=plain).save(str(tmp_path / "c"))
    optimizer = face.wrap("adam")
    model = stacked(face, optimizer)
    optimizer.build(model.trainable_variables)
    tf.train.Checkpoint(model=model).restore(path).expect_partial()
    assert averages_by_name(optimizer, model) == {"first": 1, "second": 2, "third": 3, "head": 4}


@faces
def test_a_checkpoint_of_the_optimizer_alone_is_restored_before_building(face, tmp_path):
    def weights():
        return [face.variable([0.0], name="a"), face.variable([0.0], name="b")]

    optimizer = face.wrap("sgd")
    saved = weights()
    optimizer.build(saved)
    for i, weight in enumerate(saved):
        optimizer.average(weight).assign([i + 1.0])
    path = tf.train.Checkpoint(optimizer=optimizer).save(str(tmp_path / "c"))
    for built in (False, True):
        other, others = face.wrap("sgd"), weights()[::-1]
        if built:
            other.build(others)
        tf.train.Checkpoint(optimizer=other).restore(path)
        other.build(others)
        assert [float(other.average(w).numpy()[0]) for w in others] == [2.0, 1.0]


def test_shards_and_folders_of_keras_3_hold_averages_too(tmp_path):
    optimizer = KERAS.wrap("adam")
    model = stacked(KERAS, optimizer)
    build(optimizer, model, 10)
    shards, folder = str(tmp_path / "w.weights.json"), str(tmp_path / "folder")
    model.save_weights(shards, max_shard_size=4e-7)  # 430 bytes, in GiB.
    other = KERAS.wrap("adam", exclude="first")
    copy = stacked(KERAS, other)
    other.build(copy.trainable_variables)
    copy.load_weights(shards)
    expected = {"first": None, "second": 12, "third": 13, "head": 14}
    assert averages_by_name(other, copy) == expected
    model.save(folder, zipped=False)
    loaded = KERAS.keras.models.load_model(folder)
    assert averages_by_name(loaded.optimizer, loaded) == {**expected, "first": 11}


@faces
def test_averages_follow_the_weights_that_keras_loads_by_order(face, tmp_path):
    def model_of(reverse):
        layers = [face.keras.layers.Dense(4) for _ in range(2)]
        model = face.keras.Sequential(layers[::-1] if reverse else layers)
        model.build([None, 4])
        optimizer = face.wrap("sgd")
        model.compile(optimizer, loss="mse")
        optimizer.build(model.trainable_variables)
        return model, optimizer

    path = str(tmp_path / "both.weights.h5")
    model, optimizer = model_of(reverse=False)
    for weight in model.trainable_variables:
        optimizer.average(weight).assign(weight + 1.0)
    model.save_weights(path)
    other, loaded = model_of(reverse=True)
    other.load_weights(path)
    for weight in other.trainable_variables:
        np.testing.assert_allclose(np.array(loaded.average(weight)), np.array(weight) + 1.0)
