"""The repaired wheel in dist/: what is in it, and that it runs where nothing can be compiled."""

import os
import subprocess
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from places import ROOT

PROGRAM = """
import tf_mavg, tensorflow as tf
variable = tf.Variable([0.0])
averages = tf_mavg.ExponentialMovingAverage(0.75)
averages.apply([variable])
variable.assign([1.0])
averages.apply([variable])
print(tf_mavg.__file__, averages.average(variable).numpy())
"""


@pytest.fixture(scope="module")
def wheel() -> Path:
    """The wheel that `make wheel` left in dist/."""
    (found,) = (ROOT / "dist").glob("*.whl")
    return found


def test_it_holds_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "tf_mavg",
        "tf_mavg_cli",
        f"tf_mavg-{wheel.name.split('-')[1]}.dist-info",
    }
    assert {
        "tf_mavg/py.typed",
        "tf_mavg/libtf_mavg_ops.so",
        "tf_mavg/libtf_mavg_xla.so",
        "tf_mavg/_bench/commands.py",
    } <= set(names)
    assert wheel.stat().st_size < 8e6
    assert "manylinux" in wheel.name


def test_it_forces_no_distribution_of_tensorflow_on_anyone(wheel):
    archive = zipfile.ZipFile(wheel)
    (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
    lines = archive.read(metadata).decode().splitlines()
    required = [line for line in lines if line.startswith("Requires-Dist: ")]
    assert [line for line in required if "extra ==" not in line] == [
        "Requires-Dist: numpy>=1.26",
        "Requires-Dist: click>=8.2",
    ]
    assert {line.split()[1].split("==")[0] for line in required if "extra ==" in line} == {
        "tensorflow",
        "tensorflow-cpu",
        "matplotlib>=3.8;",
        "scipy>=1.12;",
    }


def test_it_runs_in_an_empty_environment_without_compiler_or_cmake(wheel, tmp_path):
    venv.create(tmp_path / "empty", with_pip=True)
    python = tmp_path / "empty" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True, env={"PATH": ""})
    # TensorFlow is lent from the environment of the tests rather than downloaded again.
    (site,) = (tmp_path / "empty" / "lib").glob("python*/site-packages")
    (site / "lent.pth").write_text(sysconfig.get_paths()["purelib"])
    done = subprocess.run(
        [python, "-c", PROGRAM],
        env={"PATH": "", "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    path, average = done.stdout.split(maxsplit=1)
    assert Path(path).is_relative_to(site)
    assert average.strip() == "[0.25]"
