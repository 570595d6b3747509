"""Averages chosen after training: coefficients of EDM2, and averages that were tracked."""

import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import tf_mavg
from tf_mavg._decays.profiles import profile
from tf_mavg.decays import PowerFunction
from tf_mavg.posthoc import Snapshots, coefficients, exponent_of, reconstruct, sigma_rel_of

# Snapshots of the sources' small system: steps and widths.
STEPS = [500, 1000, 500, 1000]
EXPONENTS = [exponent_of(sigma) for sigma in (0.05, 0.05, 0.10, 0.10)]


@pytest.mark.parametrize(
    ("sigma_rel", "expected"),
    [
        (
            0.075,
            [0.00013574828106139325, 0.3429690358600804, -0.0024266268305766863, 0.659321842689435],
        ),
        (
            0.15,
            [-0.01449599737733566, -0.34051189461181647, 0.050141393536351414, 1.3048664984528007],
        ),
    ],
)
def test_the_coefficients_of_edm2(sigma_rel, expected):
    """Karras et al., arXiv 2312.02696, Algorithm 3; computed in float64 with NumPy."""
    received = coefficients(STEPS, EXPONENTS, 1000, exponent_of(sigma_rel))
    np.testing.assert_allclose(received, expected, rtol=1e-12, atol=1e-14)


def test_several_targets_at_once():
    targets = [exponent_of(sigma) for sigma in (0.075, 0.10, 0.15)]
    received = coefficients(STEPS, EXPONENTS, 1000, targets)
    for row, target in zip(received, targets, strict=True):
        np.testing.assert_allclose(row, coefficients(STEPS, EXPONENTS, 1000, target), rtol=1e-12)


@pytest.mark.parametrize("own", range(4))
def test_a_snapshot_is_made_of_itself(own):
    received = coefficients(STEPS, EXPONENTS, STEPS[own], EXPONENTS[own])
    assert received.tolist() == [float(i == own) for i in range(4)]


def test_later_snapshots_take_no_part():
    received = coefficients([*STEPS, 2000], [*EXPONENTS, 7.0], 1000, 3.0)
    assert received[4] == 0
    np.testing.assert_array_equal(received[:4], coefficients(STEPS, EXPONENTS, 1000, 3.0))


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=8, unique=True),
    st.floats(0.5, 20),
    st.floats(0, 60),
)
def test_coefficients_sum_to_one(hundreds, exponent, target):
    steps = [100 * one for one in hundreds]
    assert coefficients(steps, exponent, max(steps), target).sum() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("sigma_rel", "error"), [(0.075, 1.94e-4), (0.15, 6.6e-4), (0.20, 5.4e-3), (0.05, 0)]
)
def test_the_reconstruction_is_near_the_average_that_was_tracked(sigma_rel, error):
    """A random walk of 1000 steps in 4 dimensions, with 20 snapshots of two widths."""
    walk = np.random.default_rng(0).standard_normal([1000, 4]).cumsum(axis=0)
    counts = np.arange(1, 1001)

    def tracked(sigma):
        average, history = np.zeros(4), []
        for rate, value in zip(PowerFunction(sigma_rel=sigma).rate(counts), walk, strict=True):
            average = average - (average - value) * rate
            history.append(average)
        return np.array(history)

    steps = np.tile(np.arange(100, 1001, 100), 2)
    widths = np.repeat([0.05, 0.10], 10)
    snapshots = np.concatenate([tracked(sigma)[99::100] for sigma in (0.05, 0.10)])
    exponents = [exponent_of(sigma) for sigma in widths]
    made = coefficients(steps, exponents, 1000, exponent_of(sigma_rel)) @ snapshots
    expected = tracked(sigma_rel)[-1]
    received = np.linalg.norm(made - expected) / np.linalg.norm(expected)
    assert received == pytest.approx(error, rel=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2], [3.0], 2, 1.0), r"one element a snapshot, .* Received: shapes \[2\], \[1\] and"),
        (([0, 2], [3.0, 3.0], 2, 1.0), "`steps` must be finite numbers above 0. Received: steps="),
        (([1, 2], [3.0, -1], 2, 1.0), "`exponents` must be finite numbers, 0 or more. Received"),
        (([1, 2], [3.0, 3.0], 2, np.nan), "`target_exponent` must be finite numbers, 0 or more."),
        (
            ([1, 2], [3.0, 3.0], 3, 1.0),
            r"`target_step` must be the step of a snapshot. Received: target_step=3, steps=\[1.0",
        ),
        (
            ([2, 2], [3.0, 3.0], 2, 1.0),
            r"Each snapshot must be given once. Received twice: step, exponent = \(2.0, 3.0\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        coefficients(*arguments)


@given(st.integers(1, 10**6), st.floats(0, 60))
def test_a_profile_has_sum_one_and_the_width_of_its_exponent(end, exponent):
    """The sum and the standard deviation over the midpoints of a fine grid."""
    at = (np.arange(20_000) + 0.5) * end / 20_000
    shares = profile(at, end, exponent) * end / 20_000
    assert shares.sum() == pytest.approx(1, abs=1e-4)
    mean = shares @ at
    width = np.sqrt(shares @ (at - mean) ** 2) / end
    assert width == pytest.approx(sigma_rel_of(exponent), rel=1e-3)
    assert profile(end * 1.001, end, exponent) == 0


# Snapshots in files.

WIDTHS = (0.05, 0.10)
SCHEDULES = [PowerFunction(sigma_rel=sigma) for sigma in WIDTHS]
KEY = "w/.ATTRIBUTES/VARIABLE_VALUE"


def snapshots_of_a_walk(folder, steps=60, every=10):
    """Averages of two widths over a random walk, and their snapshots, by step and index."""
    walk = np.random.default_rng(1).standard_normal([steps, 5]).cumsum(axis=0)
    weight, count = tf.Variable(np.zeros(5)), tf.Variable(0)
    average = tf_mavg.ExponentialMovingAverage(SCHEDULES)
    checkpoint = tf.train.Checkpoint(w=weight, count=count)
    snapshots, files = Snapshots(folder, average, checkpoint.write), {}
    for n, value in enumerate(walk, start=1):
        count.assign(n)
        weight.assign(value)
        average.apply([weight])
        if n % every == 0:
            files |= {(n, index): path for index, path in enumerate(snapshots.save(n))}
    return files


def test_averages_of_other_widths_in_one_pass(tmp_path):
    files = snapshots_of_a_walk(tmp_path / "snapshots")
    outputs = [tmp_path / "a", tmp_path / "b"]
    reconstruct(tmp_path / "snapshots", outputs, [0.075, 0.15], step=40)
    used = [(step, i) for step, i in files if step <= 40]
    values = np.array([tf.train.load_variable(files[one], KEY) for one in used])
    exponents = [SCHEDULES[i].exponent for _, i in used]
    for output, sigma_rel in zip(outputs, [0.075, 0.15], strict=True):
        row = coefficients([step for step, _ in used], exponents, 40, exponent_of(sigma_rel))
        received = tf.train.load_variable(str(output), KEY)
        np.testing.assert_allclose(received, row @ values, rtol=1e-12)
        assert tf.train.load_variable(str(output), KEY.replace("w/", "count/")) == 40


@pytest.mark.parametrize("index", [0, 1])
def test_the_width_of_a_snapshot_gives_it_to_the_bit(tmp_path, index):
    files = snapshots_of_a_walk(tmp_path / "snapshots")
    reconstruct(tmp_path / "snapshots", tmp_path / "out", WIDTHS[index])
    expected = tf.train.load_variable(files[60, index], KEY)
    np.testing.assert_array_equal(tf.train.load_variable(str(tmp_path / "out"), KEY), expected)


def test_a_run_that_went_on_replaces_its_snapshots(tmp_path):
    for _ in range(2):
        snapshots_of_a_walk(tmp_path / "snapshots", steps=20)
    listed = json.loads((tmp_path / "snapshots" / "snapshots.json").read_text())
    assert sorted((one["step"], one["file"]) for one in listed) == [
        (10, "snapshot-10-0"),
        (10, "snapshot-10-1"),
        (20, "snapshot-20-0"),
        (20, "snapshot-20-1"),
    ]


def test_the_command(run_command, tmp_path):
    snapshots_of_a_walk(tmp_path / "snapshots", steps=20)
    options = ["--sigma-rel", 0.15, "--sigma-rel", 0.2, "-o", "a", "-o", "b"]
    done = run_command("posthoc", "snapshots", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["written: a", "written: b"]
    reconstruct(tmp_path / "snapshots", tmp_path / "c", 0.15)
    a, c = (tf.train.load_variable(str(tmp_path / name), KEY) for name in "ac")
    np.testing.assert_array_equal(a, c)


def test_what_cannot_be_reconstructed(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"The folder must have snapshots, of Snapshots."):
        reconstruct(tmp_path, tmp_path / "out", 0.1)
    snapshots_of_a_walk(tmp_path / "snapshots", steps=20)
    with pytest.raises(ValueError, match=r"`target_step` must be the step of a snapshot. Received"):
        reconstruct(tmp_path / "snapshots", tmp_path / "out", 0.1, step=15)
    with pytest.raises(ValueError, match=r"an output for each width. Received"):
        reconstruct(tmp_path / "snapshots", tmp_path / "out", [0.1, 0.2])
    with pytest.raises(ValueError, match=r"`sigma_rel` must be at most 12\^-0.5"):
        reconstruct(tmp_path / "snapshots", tmp_path / "out", 0.3)
    assert not [*tmp_path.glob("out*")]
