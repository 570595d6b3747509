"""The repaired wheel in dist/: what is in it, and that it runs where nothing can be compiled.

And what is in the wheel for several versions of TensorFlow, where `make wheels` has left it.
"""

import os
import re
import subprocess
import sys
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


FOLDERS = {"dist": {"_tf2_21"}, "dist/minors": {"_tf2_20", "_tf2_21"}}
if sys.version_info < (3, 13):  # TensorFlow 2.18 and 2.19 are not there for others.
    FOLDERS["dist/minors"] |= {"_tf2_18", "_tf2_19"}


@pytest.fixture(scope="module")
def wheel() -> Path:
    """The wheel that `make wheel` left in dist/."""
    (found,) = (ROOT / "dist").glob("*.whl")
    return found


@pytest.mark.parametrize("place", FOLDERS)
def test_it_holds_the_package_and_nothing_else(place):
    found = list((ROOT / place).glob("*.whl"))
    if not found and place == "dist/minors":
        pytest.skip("`make wheels` has left no wheel here.")
    (wheel,) = found
    sizes = {entry.filename: entry.file_size for entry in zipfile.ZipFile(wheel).infolist()}
    names = set(sizes)
    assert {name.split("/")[0] for name in names} == {
        "tf_mavg",
        "tf_mavg_check",
        "tf_mavg_cli",
        f"tf_mavg-{wheel.name.split('-')[1]}.dist-info",
    }
    assert {
        "tf_mavg/py.typed",
        "tf_mavg/libtf_mavg_gpu_images.so",
        "tf_mavg/_bench/commands.py",
    } <= names
    libraries = {f"tf_mavg/{folder}/libtf_mavg_" for folder in FOLDERS[place]}
    for kind in ("ops", "xla"):
        assert {name for name in names if name.endswith(f"_{kind}.so")} == {
            f"{library}{kind}.so" for library in libraries
        }
    # The GPU images are in one of them only.
    large = [name for name, size in sizes.items() if size > 2e6]
    assert large == ["tf_mavg/libtf_mavg_gpu_images.so"]
    assert wheel.stat().st_size < 8e6


@pytest.mark.parametrize("place", FOLDERS)
def test_it_runs_on_linux_of_2018(place):
    for wheel in (ROOT / place).glob("*.whl"):
        minors = [int(minor) for minor in re.findall(r"manylinux_2_(\d+)", wheel.name)]
        assert min(minors) <= 28


def test_it_forces_no_distribution_of_tensorflow_on_anyone(wheel):
    archive = zipfile.ZipFile(wheel)
    (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
    lines = archive.read(metadata).decode().splitlines()
    required = [line for line in lines if line.startswith("Requires-Dist: ")]
    assert [line for line in required if "extra ==" not in line] == [
        "Requires-Dist: numpy>=1.26",
        "Requires-Dist: click>=8.2",
        "Requires-Dist: ml_dtypes>=0.4",
    ]
    assert {line.split()[1] for line in required if "extra ==" in line} == {
        "tensorflow<2.22,>=2.18;",
        "tensorflow-cpu<2.22,>=2.18;",
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
