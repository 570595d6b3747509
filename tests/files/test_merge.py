"""Merged files: their coefficients, their values to the bit, and who reads them."""

import json
import signal
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import prepared
import pytest
import tensorflow as tf
from keras_models import KERAS, data, faces
from oracle import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, assert_same_bits, normal
from places import PROGRAMS

import tf_mavg
from tf_mavg._files.marks import CONVERTED, MERGED
from tf_mavg._files.values import Spec, weighted_sums
from tf_mavg.merge import coefficients

tf1 = tf.compat.v1
MEGABYTE = 1 << 20

# Keras reads its variables as NumPy 2 will not have it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


# Coefficients.


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ("uniform", [1]),
        ("uniform", [0.25, 0.25, 0.25, 0.25]),
        ("minus-sqrt", [0.7071067811865476, 0.2928932188134524]),
        ("minus-sqrt", [0.5773502691896257, 0.2391463117381003, 0.18350341907227397]),
        (
            "minus-sqrt",
            [0.5, 0.20710678118654757, 0.15891862259789102, 0.1339745962155614],
        ),
        (
            "minus-sqrt",
            [
                0.44721359549995787,
                0.185241936533718,
                0.14214113720780752,
                0.11983052175843245,
                0.10557280900008414,
            ],
        ),
        (
            "cosine",
            [0.14644660940672627, 0.35355339059327373, 0.35355339059327373, 0.14644660940672627],
        ),
        ([0.2, 0.3, 0.5], [0.2, 0.3, 0.5]),
        ([-0.5, 1.5], [-0.5, 1.5]),
    ],
)
def test_the_coefficients_of_their_sources(weights, expected):
    """WSM, arXiv 2507.17634, with the shares of Megatron-LM's weighted merge."""
    np.testing.assert_allclose(coefficients(weights, len(expected)), expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["uniform", "minus-sqrt", "cosine"])
@pytest.mark.parametrize("count", [1, 2, 10, 1000])
def test_coefficients_sum_to_one(name, count):
    received = coefficients(name, count)
    assert sum(received) == pytest.approx(1, abs=1e-12)
    assert min(received) > 0


@pytest.mark.parametrize(
    ("weights", "count", "message"),
    [
        ("uniform", 0, "There must be a checkpoint to merge. Received: none."),
        ("linear", 2, r"`weights` must be numbers or one of \['uniform', 'minus-sqrt', 'cosine'\]"),
        ([0.5, 0.5], 3, r"`weights` must be 3 finite numbers. Received: weights=\[0.5, 0.5\]."),
        ([np.nan, 0.5], 2, "`weights` must be 2 finite numbers."),
        ([1, 2], 2, "`weights` must have the sum 1, .* whose sum is 3; divide them by it."),
    ],
)
def test_coefficients_that_are_none(weights, count, message):
    with pytest.raises(ValueError, match=message):
        coefficients(weights, count)


# Values.

SHARES = [0.2, 0.3, 0.5]


def merged(values, shares, compute):
    """The sum in the order given, rounded once."""
    compute = FLOAT64 if values[0].dtype == FLOAT64 else compute
    total = values[0].astype(compute) * compute.type(shares[0])
    for value, share in zip(values[1:], shares[1:], strict=True):
        total = total + value.astype(compute) * compute.type(share)
    return total.astype(values[0].dtype)


@pytest.mark.parametrize("compute", [FLOAT32, FLOAT64], ids=str)
@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16, FLOAT32, FLOAT64], ids=str)
def test_values_to_the_bit(tmp_path, rng, dtype, compute):
    values = [normal(rng, (300, 301), dtype) for _ in SHARES]
    paths = [str(tmp_path / f"in-{i}") for i in range(3)]
    for path, value in zip(paths, values, strict=True):
        tf.train.Checkpoint(w=tf.Variable(value)).write(path)
    output = str(tmp_path / "out")
    tf_mavg.merge_checkpoints(paths, output, SHARES, compute_dtype=compute.name)
    restored = tf.Variable(np.zeros_like(values[0]))
    tf.train.Checkpoint(w=restored).read(output).assert_consumed()
    assert_same_bits(restored.numpy(), merged(values, SHARES, compute))


def test_one_checkpoint_alone_is_copied_to_the_bit(tmp_path):
    value = np.array([-0.0, 1.5, np.inf, np.nan, 1e-42], np.float32)
    tf.train.Checkpoint(w=tf.Variable(value)).write(str(tmp_path / "in"))
    tf_mavg.merge_checkpoints([tmp_path / "in"], tmp_path / "out")
    received = tf.train.load_variable(str(tmp_path / "out"), "w/.ATTRIBUTES/VARIABLE_VALUE")
    np.testing.assert_array_equal(received, value)
    assert np.signbit(received[0])


def test_what_has_no_weight_takes_no_part(tmp_path):
    inputs = [written(tmp_path / f"{i}", w=[value]) for i, value in enumerate([np.nan, 1.0, 3.0])]
    tf_mavg.merge_checkpoints(inputs, tmp_path / "out", [0.0, 0.5, 0.5])
    received = tf.train.load_variable(str(tmp_path / "out"), "w/.ATTRIBUTES/VARIABLE_VALUE")
    assert received.tolist() == [2.0]


def test_what_has_no_weight_in_one_of_two_sums_takes_no_part_in_it():
    reads = [lambda: np.float32([1]), lambda: np.float32([np.nan])]
    sums = weighted_sums([[1, 0], [0, 1]], reads, Spec((1,), "float32"), "float32")
    np.testing.assert_array_equal(sums, [[1], [np.nan]])


def test_what_is_no_floating_point_number_is_that_of_the_last(tmp_path):
    def state(number):
        return tf.train.Checkpoint(
            count=tf.Variable(number, dtype=tf.int64),
            words=tf.Variable([f"word {number}", "é"]),
            flag=tf.Variable(number > 1),
            empty=tf.Variable(tf.zeros([0, 3])),
            scalar=tf.Variable(float(number)),
        )

    for number in (1, 2):
        state(number).write(str(tmp_path / f"in-{number}"))
    tf_mavg.merge_checkpoints([tmp_path / "in-1", tmp_path / "in-2"], tmp_path / "out")
    restored = state(0)
    restored.read(str(tmp_path / "out")).assert_consumed()
    assert restored.count.numpy() == 2
    assert restored.words.numpy().tolist() == [b"word 2", "é".encode()]
    assert restored.flag.numpy()
    assert restored.empty.shape == [0, 3]
    assert restored.scalar.numpy() == 1.5


def test_the_output_tells_what_it_is_made_of_and_can_be_merged_again(tmp_path):
    for i in (1, 2):
        tf.train.Checkpoint(w=tf.Variable(float(i))).write(str(tmp_path / f"in-{i}"))
    inputs = [tmp_path / "in-1", tmp_path / "in-2"]
    tf_mavg.merge_checkpoints(inputs, tmp_path / "out", [0.25, 0.75])
    note = json.loads(tf.train.load_variable(str(tmp_path / "out"), MERGED))
    assert note["inputs"] == [
        {"path": str(path), "coefficient": share}
        for path, share in zip(inputs, [0.25, 0.75], strict=True)
    ]
    tf_mavg.merge_checkpoints([tmp_path / "out", tmp_path / "in-2"], tmp_path / "again")
    tf_mavg.merge_checkpoints([tmp_path / "in-2", tmp_path / "out"], tmp_path / "and-again")
    for name in ("again", "and-again"):
        path = str(tmp_path / name)
        assert tf.train.load_variable(path, "w/.ATTRIBUTES/VARIABLE_VALUE") == 1.875


def test_a_converted_file_is_merged_with_one_that_never_had_averages(tmp_path):
    model, averages = tf.Module(), tf_mavg.ExponentialMovingAverage(0.5)
    model.w = tf.Variable(1.0)
    written(tmp_path / "plain", model=model)
    averages.create_averages([model.w])
    written(tmp_path / "averaged", model=model, averages=averages)
    tf_mavg.convert_checkpoint(tmp_path / "averaged", tmp_path / "converted")
    for i, names in enumerate([("plain", "converted"), ("converted", "plain")]):
        tf_mavg.merge_checkpoints([tmp_path / name for name in names], tmp_path / f"out-{i}")
        keys = {name for name, _ in tf.train.list_variables(str(tmp_path / f"out-{i}"))}
        assert keys >= {"model/w/.ATTRIBUTES/VARIABLE_VALUE", MERGED}
        assert CONVERTED not in keys


@pytest.mark.parametrize("partitions", [None, 2])
def test_a_saver_of_tensorflow_1_reads_the_merge_of_its_files(tmp_path, partitions):
    def run(*steps: int):
        with tf.Graph().as_default(), tf1.Session() as session:
            partitioner = partitions and tf1.fixed_size_partitioner(partitions)
            weight = tf1.get_variable("weight", [4], use_resource=True, partitioner=partitioner)
            step = tf1.train.get_or_create_global_step()
            total = tf.concat(list(weight), 0) if partitions else weight
            saver = tf1.train.Saver()
            session.run(tf1.global_variables_initializer())
            for step_ in steps:
                for part in weight if partitions else [weight]:
                    session.run(part.assign(tf.fill(part.shape, float(step_))))
                session.run(step.assign(step_))
                saver.save(session, str(tmp_path / "model"), step_)
            if not steps:
                saver.restore(session, str(tmp_path / "merged"))
                return session.run([total, step])
        return None

    run(1, 2, 6)
    paths = [tmp_path / f"model-{step}" for step in (1, 2, 6)]
    tf_mavg.merge_checkpoints(paths, tmp_path / "merged")
    weight, step = run()
    np.testing.assert_allclose(weight, [3.0] * 4, rtol=1e-6)
    assert step == 6


# Keras files.


@faces
@pytest.mark.parametrize("suffix", [".keras", pytest.param(".weights.h5", marks=pytest.mark.slow)])
def test_a_keras_reads_the_merge_of_its_files(face, tmp_path, suffix):
    points, labels = data()
    model = face.make("adam")
    weights, counts = [], []
    paths = [tmp_path / f"{i}{suffix}" for i in range(3)]
    for path in paths:
        model.fit(points, labels, verbose=0)
        (model.save if suffix == ".keras" else model.save_weights)(path)
        weights.append(model.get_weights())
        counts.append(int(model.optimizer.iterations))
    output = tmp_path / f"merged{suffix}"
    tf_mavg.merge_checkpoints(paths, output, SHARES)
    if suffix == ".keras":
        loaded = face.keras.models.load_model(output)
    else:
        loaded = face.make("adam")
        loaded.optimizer.build(loaded.trainable_variables)
        loaded.load_weights(output)
    for received, values in zip(loaded.get_weights(), zip(*weights, strict=True), strict=True):
        assert_same_bits(received, merged(values, SHARES, FLOAT32))
    if suffix == ".keras":
        assert int(loaded.optimizer.iterations) == counts[-1]
        loaded.fit(points, labels, verbose=0)
    assert not [*tmp_path.glob(".*")]


def test_a_keras_file_in_bfloat16(tmp_path):
    def model():
        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype="bfloat16")])

    made = [model() for _ in range(2)]
    for i, one in enumerate(made):
        one.save(tmp_path / f"{i}.keras")
    tf_mavg.merge_checkpoints([tmp_path / "0.keras", tmp_path / "1.keras"], tmp_path / "out.keras")
    loaded = keras.models.load_model(tmp_path / "out.keras")
    kernels = [np.array(one.layers[0].kernel).astype(BFLOAT16) for one in (*made, loaded)]
    assert_same_bits(kernels[2], merged(kernels[:2], [0.5, 0.5], FLOAT32))
    with zipfile.ZipFile(tmp_path / "out.keras") as archive:
        archive.extract("model.weights.h5", tmp_path)
    with h5py.File(tmp_path / "model.weights.h5") as file:
        assert len(json.loads(file.attrs[MERGED])["inputs"]) == 2


def test_averages_of_keras_files_are_merged_as_well(tmp_path):
    points, labels = data()
    optimizer = KERAS.wrap("adam")
    model = KERAS.make(optimizer)
    averages = []
    for i in range(2):
        model.fit(points, labels, verbose=0)
        model.save(tmp_path / f"{i}.keras")
        averages.append(optimizer.average(model.layers[0].kernel).numpy())
    tf_mavg.merge_checkpoints([tmp_path / "0.keras", tmp_path / "1.keras"], tmp_path / "out.keras")
    loaded = keras.models.load_model(tmp_path / "out.keras")
    received = loaded.optimizer.average(loaded.layers[0].kernel).numpy()
    assert_same_bits(received, merged(averages, [0.5, 0.5], FLOAT32))


def test_averages_that_have_seen_other_numbers_of_steps(tmp_path):
    points, labels = data()
    model = KERAS.make(tf_mavg.keras.MovingAverage("sgd", tf_mavg.decays.Uniform()))
    for epochs in (1, 5):  # Two steps, and twelve: the counts are not as long as each other.
        model.fit(points, labels, epochs=epochs, verbose=0)
        model.save(tmp_path / f"{epochs}.keras")
    tf_mavg.merge_checkpoints([tmp_path / "1.keras", tmp_path / "5.keras"], tmp_path / "out.keras")
    loaded = keras.models.load_model(tmp_path / "out.keras")
    assert int(loaded.optimizer.holder.steps.first) == 12


# What is refused.


def written(path, **values: object):
    tracked = {
        key: value if isinstance(value, tf.__internal__.tracking.Trackable) else tf.Variable(value)
        for key, value in values.items()
    }
    tf.train.Checkpoint(**tracked).write(str(path))
    return path


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({}, "the same values. Received: 'w/.ATTRIBUTES/VARIABLE_VALUE' in .*last and not in"),
        ({"w": [1.0], "v": 1.0}, "'v/.ATTRIBUTES/VARIABLE_VALUE' in .*other and not in .*last"),
        (
            {"w": [1.0, 2.0]},
            r"as float32 of shape \[2\] in .*other and as float32 of shape \[1\] in .*last",
        ),
        (
            {"w": np.array([1.0])},
            r"as float64 of shape \[1\] in .*other and as float32 of shape \[1\] in .*last",
        ),
    ],
)
def test_inputs_that_do_not_agree(tmp_path, other, message):
    inputs = [written(tmp_path / "other", **other), written(tmp_path / "last", w=[1.0])]
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match=message):
        tf_mavg.merge_checkpoints(inputs, tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before


def test_an_output_that_exists(tmp_path):
    one, two = written(tmp_path / "one", w=1.0), written(tmp_path / "two", w=2.0)
    with pytest.raises(FileExistsError, match=r"The output .*two must not exist, .* two.index;"):
        tf_mavg.merge_checkpoints([one], two)
    assert tf.train.load_variable(str(two), "w/.ATTRIBUTES/VARIABLE_VALUE") == 2
    (tmp_path / "x.keras").touch()
    KERAS.make("sgd").save(tmp_path / "model.keras")
    with pytest.raises(FileExistsError, match=r"The output .*x.keras must not exist"):
        tf_mavg.merge_checkpoints([tmp_path / "model.keras"], tmp_path / "x.keras")


def test_files_of_several_formats(tmp_path):
    one = written(tmp_path / "one", w=1.0)
    KERAS.make("sgd").save(tmp_path / "model.keras")
    with pytest.raises(
        ValueError, match=r"one format. Received: a TensorFlow checkpoint, .*\.keras"
    ):
        tf_mavg.merge_checkpoints([one, tmp_path / "model.keras"], tmp_path / "out.keras")
    with pytest.raises(ValueError, match="must be named as a TensorFlow checkpoint, like its"):
        tf_mavg.merge_checkpoints([one], tmp_path / "out.h5")
    with pytest.raises(ValueError, match=r"must be named as a \.keras file, like its inputs"):
        tf_mavg.merge_checkpoints([tmp_path / "model.keras"], tmp_path / "out.h5")


@pytest.mark.parametrize("name", ["absent", "absent.keras", "absent.weights.h5"])
def test_an_input_that_is_not_there(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=f"Received: .*{name}, which is not there"):
        tf_mavg.merge_checkpoints([tmp_path / name], tmp_path / "out")


def test_another_dtype_to_compute_in(tmp_path):
    with pytest.raises(ValueError, match=r'must be "float32" or "float64". Received: .bfloat16.'):
        tf_mavg.merge_checkpoints([tmp_path], tmp_path / "out", compute_dtype="bfloat16")


def test_averages_in_the_place_of_weights_in_some_inputs_only(tmp_path):
    model = tf.Module()
    model.w = tf.Variable([1.0])
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    averages.apply([model.w])
    checkpoint = tf.train.Checkpoint(model=model, averages=averages)
    checkpoint.write(str(tmp_path / "plain"))
    with averages.swapped_for_saving():
        checkpoint.write(str(tmp_path / "swapped"))
    with pytest.raises(ValueError, match=r"averages_in_place.* differs in .*plain and .*swapped"):
        tf_mavg.merge_checkpoints([tmp_path / "plain", tmp_path / "swapped"], tmp_path / "out")
    swapped = [tmp_path / "swapped"] * 2
    tf_mavg.merge_checkpoints(swapped, tmp_path / "out")  # All alike.


def test_in_a_graph_of_tensorflow_1(tmp_path):
    with tf.Graph().as_default(), pytest.raises(RuntimeError, match="use a process of its own"):
        tf_mavg.merge_checkpoints([tmp_path / "in"], tmp_path / "out")


# Memory, and kills.


def program(*arguments: object, cwd: Path):
    return prepared.run([PROGRAMS / "merging.py", *arguments], cwd)


@pytest.mark.long
@pytest.mark.slow
def test_memory_is_that_of_two_of_the_largest_values(tmp_path):
    """Of 200 MB in values of 40 MB; small ones wait to be written together, up to 32 MB."""
    value = np.ones(40 * MEGABYTE // 4, np.float32)
    inputs = []
    for i in range(3):
        with tf.Graph().as_default(), tf1.Session() as session:
            variables = [tf1.Variable(value * (i + j), name=f"v{j}") for j in range(5)]
            session.run([v.initializer for v in variables])
            tf1.train.Saver().save(session, str(tmp_path / f"in-{i}"), write_meta_graph=False)
        inputs.append(tmp_path / f"in-{i}")
    small = written(tmp_path / "small", w=1.0)
    done = program("memory", *inputs, small, tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) < (2 * 40 + 16) * MEGABYTE
    np.testing.assert_array_equal(tf.train.load_variable(str(tmp_path / "out"), "v3"), value * 4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "at", [*(pytest.param(at, marks=pytest.mark.long) for at in ("0", "renamed")), "3", "end"]
)
def test_a_kill_leaves_no_half_output(tmp_path, at):
    values = {f"w{i}": np.full(MEGABYTE, i, np.float32) for i in range(6)}
    one = written(tmp_path / "in", **values)
    output = tmp_path / "made" / "out"
    done = program("killed", at, one, one, output, cwd=tmp_path)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    if not output.with_name("out.index").exists():
        assert tf.train.latest_checkpoint(str(output.parent)) is None
        tf_mavg.merge_checkpoints([one, one], output)
    for key, value in values.items():
        received = tf.train.load_variable(str(output), f"{key}/.ATTRIBUTES/VARIABLE_VALUE")
        np.testing.assert_array_equal(received, value)


# The command.


def test_the_command_takes_the_last_of_a_folder(run_command, tmp_path):
    weight = tf.Variable(0.0)
    manager = tf.train.CheckpointManager(tf.train.Checkpoint(w=weight), tmp_path / "run", 10)
    for value in (1.0, 2.0, 4.0, 8.0):
        weight.assign(value)
        manager.save()
    options = ["--last", 2, "--weights", "0.25,0.75", "--float64"]
    done = run_command("merge", "run", "-o", "out", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "ckpt-3  0.250000" in done.stdout
    assert "ckpt-4  0.750000" in done.stdout
    assert "ckpt-2" not in done.stdout
    assert tf.train.load_variable(str(tmp_path / "out"), "w/.ATTRIBUTES/VARIABLE_VALUE") == 7
    again = run_command("merge", "run", "-o", "out", cwd=tmp_path)
    assert again.returncode == 1
    assert "\ntf_mavg merge: The output out must not exist" in f"\n{again.stderr}"
    none = run_command("merge", "run", "-o", "new", "--last", 5, cwd=tmp_path)
    assert none.stderr.strip().endswith(
        "--last must be in 1 to 4, the number of inputs. Received: 5."
    )
