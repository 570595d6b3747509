"""The examples run, and averages are as good as the last weights, or better."""

import re
import subprocess
import sys

import pytest
from places import ROOT

EXAMPLES = ROOT / "examples"


@pytest.mark.parametrize("name", ["keras_fit", "custom_loop", "multi_worker", "parameter_servers"])
def test_an_example_prints_raw_and_averaged_accuracy(name, tmp_path):
    pytest.importorskip("sklearn")
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", "--epochs", "10"],
        cwd=tmp_path,  # Not a folder with the sources.
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    found = re.findall(r"^accuracy .*: +([01]\.\d+)$", done.stdout, re.MULTILINE)
    raw, averaged, *restored = map(float, found)
    # Steps of several workers at once are another run each time.
    assert averaged >= raw - (0.01 if name == "parameter_servers" else 0)
    assert averaged > 0.9
    assert restored == ([] if name in {"keras_fit", "parameter_servers"} else [averaged])
