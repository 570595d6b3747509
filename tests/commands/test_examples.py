"""The examples run, and averages are as good as the last weights, or better."""

import re

import prepared
import pytest
from places import ROOT

EXAMPLES = ROOT / "examples"


def run(name, folder, *arguments: str) -> str:
    """What an example prints, run in a folder that is none with the sources."""
    pytest.importorskip("sklearn")
    return prepared.must_run([EXAMPLES / f"{name}.py", *arguments], folder)


@pytest.mark.parametrize("name", ["keras_fit", "custom_loop", "multi_worker", "parameter_servers"])
def test_an_example_prints_raw_and_averaged_accuracy(name, tmp_path):
    epochs = "3" if name == "multi_worker" else "10"  # Its steps wait for each other.
    printed = run(name, tmp_path, "--epochs", epochs)
    found = re.findall(r"^accuracy .*: +([01]\.\d+)$", printed, re.MULTILINE)
    raw, averaged, *restored = map(float, found)
    # Steps of several workers at once are another run each time.
    assert averaged >= raw - (0.01 if name == "parameter_servers" else 0)
    assert averaged > 0.9
    assert restored == ([] if name in {"keras_fit", "parameter_servers"} else [averaged])


def test_the_recommender_prints_raw_and_averaged_errors(tmp_path):
    printed = run("recommender", tmp_path, "--epochs", "4")
    raw, averaged = map(float, re.findall(r"^error .*: (\d\.\d+)$", printed, re.MULTILINE))
    assert 0.5 < averaged < raw - 0.02  # The noise of the ratings is 0.5.


def test_the_gallery_of_averages(tmp_path):
    pytest.importorskip("matplotlib")
    printed = run("gallery", tmp_path, "--epochs", "10", "--output", "plots")
    rows = re.findall(r"^(.+?) +(\d+\.\d+) % +(\d+\.\d+)$", printed, re.MULTILINE)
    scores = {name: (float(accuracy), float(loss)) for name, accuracy, loss in rows}
    raw, *averages = [scores.pop(name) for name in [*scores] if not name.startswith("0.")]
    assert len(averages) == 5
    assert len(scores) == 14  # One a width.
    # The weights jump from epoch to epoch, by luck to a good place: some points of tolerance.
    assert min(accuracy for accuracy, _ in averages) >= raw[0] - 2
    assert min(loss for _, loss in scores.values()) < raw[1]
    assert scores["0.08"] == averages[3]
    for name in ("averages", "widths"):
        assert (tmp_path / "plots" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
