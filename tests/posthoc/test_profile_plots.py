"""Plots of profiles: what is drawn, what is written, and what is refused before that."""

import importlib.util
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import tensorflow as tf
from matplotlib.figure import Figure

import tf_mavg
from tf_mavg._posthoc.listing import Snapshot, write_list
from tf_mavg.decays import PowerFunction
from tf_mavg.posthoc import Snapshots, coefficients, exponent_of, plot_profiles

pytestmark = pytest.mark.slow

EXPONENTS = [exponent_of(width) for width in (0.05, 0.10)]
STEPS = [100, 200, 300]
# What a file of each format begins with.
BEGINNINGS = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.fixture
def listed(tmp_path) -> Path:
    """A folder with a list of snapshots and without their files, which a plot does not read."""
    folder = tmp_path / "snapshots"
    folder.mkdir()
    pairs = [(step, exponent) for step in STEPS for exponent in EXPONENTS]
    write_list(folder, [Snapshot(*pair, f"snapshot-{i}") for i, pair in enumerate(pairs)])
    return folder


@pytest.fixture
def figures(monkeypatch) -> list[Figure]:
    """The figures that are saved."""
    saved = []
    save = Figure.savefig

    def spy(self, *args: object, **kwargs: object):
        saved.append(self)
        return save(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", spy)
    return saved


def density(t, end, exponent):
    """EDM2, equation 121, in float64."""
    inside = t <= end
    return np.where(inside, (exponent + 1) * (t / end) ** exponent / end, 0)


@pytest.mark.parametrize(("step", "last"), [(None, 300), (200, 200)])
def test_each_width_has_both_profiles(listed, figures, tmp_path, step, last):
    widths = [0.03, 0.075, 0.15, 0.25]
    plot_profiles(listed, tmp_path / "profiles.png", widths, step)
    (figure,) = figures
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert len(panels) == len(widths)
    pairs = [(at, exponent) for at in STEPS if at <= last for exponent in EXPONENTS]
    for axes, width in zip(panels, widths, strict=True):
        wanted, made, marks = axes.lines
        t = wanted.get_xdata()
        assert (t[0], t[-1]) == (0, last)
        target = density(t, last, exponent_of(width))
        np.testing.assert_allclose(wanted.get_ydata(), target, rtol=1e-12)
        row = coefficients(*zip(*pairs, strict=True), last, exponent_of(width))
        own = [density(t, *pair) for pair in pairs]
        np.testing.assert_allclose(made.get_ydata(), row @ own, rtol=1e-9, atol=1e-12)
        assert [*marks.get_xdata()] == [at for at in STEPS if at <= last]
        # The title's number, from a fine grid in the place of equation 151.
        fine = (np.arange(200_000) + 0.5) * last / 200_000
        exact = density(fine, last, exponent_of(width))
        off = np.linalg.norm(row @ [density(fine, *pair) for pair in pairs] - exact)
        percent = float(re.fullmatch(r"width .*: (.*) % off", axes.get_title())[1])
        assert percent == pytest.approx(100 * off / np.linalg.norm(exact), rel=0.06)


def test_the_width_of_a_snapshot_is_met(listed, figures, tmp_path):
    plot_profiles(listed, tmp_path / "profiles.png", 0.05)
    (axes,) = figures[0].axes
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), axes.lines[1].get_ydata())
    assert float(re.search(r": (.*) % off", axes.get_title())[1]) < 1e-5


@pytest.mark.parametrize("suffix", BEGINNINGS)
def test_a_file_of_each_format(listed, tmp_path, suffix):
    path = tmp_path / "new" / f"profiles{suffix}"
    backend = mpl.get_backend(auto_select=False)
    plot_profiles(listed, path, [0.075, 0.15])
    first = path.read_bytes()
    assert first.startswith(BEGINNINGS[suffix])
    plot_profiles(listed, path, [0.075, 0.15])  # Replaced.
    assert path.read_bytes() == first
    assert not re.search(b"CreationDate|dc:date|Software", first)  # Of the drawing.
    assert [*path.parent.iterdir()] == [path]
    assert mpl.get_backend(auto_select=False) == backend


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            ("a.jpg", 0.15),
            ValueError,
            r"must be one of \.png, \.svg, \.pdf\. Received: .*/a\.jpg\.",
        ),
        (("profiles", 0.15), ValueError, "The plot must be one of"),
        (("a.png", []), ValueError, r"There must be a width to plot\. Received: sigma_rel=\[\]"),
        (("a.png", [0.1, 0.3]), ValueError, r"`sigma_rel` must be at most 12\^-0.5"),
        (("a.png", 0.15, 150), ValueError, "`target_step` must be the step of a snapshot"),
        (
            ("folder.png", 0.15),
            IsADirectoryError,
            r"must be a file\. Received: .*, a folder; choose",
        ),
    ],
)
def test_what_cannot_be_plotted(listed, tmp_path, arguments, error, message):
    (tmp_path / "folder.png").mkdir()
    name, *more = arguments
    with pytest.raises(error, match=message):
        plot_profiles(listed, tmp_path / name, *more)
    assert {one.name for one in tmp_path.iterdir()} == {"snapshots", "folder.png"}


def test_a_folder_without_snapshots(tmp_path):
    with pytest.raises(FileNotFoundError, match="The folder must have snapshots, of Snapshots"):
        plot_profiles(tmp_path, tmp_path / "profiles.png", 0.15)
    assert not [*tmp_path.iterdir()]


# The command.

OPTIONS = ["posthoc", "snapshots", "--sigma-rel", 0.15, "-o", "made", "--plot"]


@pytest.fixture
def snapshots(tmp_path) -> Path:
    """The folder of a folder with snapshots."""
    weight = tf.Variable([0.0])
    average = tf_mavg.ExponentialMovingAverage([PowerFunction(sigma_rel=0.05)])
    kept = Snapshots(tmp_path / "snapshots", average, tf.train.Checkpoint(w=weight).write)
    for _ in range(3):
        average.apply([weight])
        kept.save()
    return tmp_path


def test_the_command_plots_too(run_command, snapshots):
    done = run_command(*OPTIONS, "profiles.svg", cwd=snapshots)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "written: made\nwritten: profiles.svg\n"
    received = (snapshots / "profiles.svg").read_bytes()
    plot_profiles(snapshots / "snapshots", snapshots / "again" / "profiles.svg", 0.15)
    assert received == (snapshots / "again" / "profiles.svg").read_bytes()


def check_refused(done, snapshots, message):
    assert done.returncode == 1
    assert done.stderr == f"tf_mavg posthoc: {message}\n"
    assert [one.name for one in snapshots.iterdir()] == ["snapshots"]


def test_the_command_refuses_a_suffix_before_it_writes(run_command, snapshots):
    done = run_command(*OPTIONS, "a.jpg", cwd=snapshots)
    check_refused(done, snapshots, "The plot must be one of .png, .svg, .pdf. Received: a.jpg.")


def test_the_command_misses_matplotlib_before_it_writes(run_command, monkeypatch, snapshots):
    def found(name, package=None, find=importlib.util.find_spec):
        return None if name == "matplotlib" else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", found)
    done = run_command(*OPTIONS, "a.png", cwd=snapshots)
    advice = "pip install 'tf_mavg[plots]'"
    check_refused(done, snapshots, f"A plot needs matplotlib, which is not installed: {advice}.")
