"""The repaired wheel in dist/: what is in it, and that it runs where nothing can be compiled.

And what is in the wheel for several versions of TensorFlow, where `make wheels` has left it.
"""

import html
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
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


MINE = f"*-cp{sys.version_info[0]}{sys.version_info[1]}-*.whl"
FOLDERS = {"dist": {"_tf2_21"}, "dist/minors": {"_tf2_20", "_tf2_21"}}
if sys.version_info < (3, 13):  # TensorFlow 2.18 and 2.19 are not there for others.
    FOLDERS["dist/minors"] |= {"_tf2_18", "_tf2_19"}


@pytest.fixture(scope="module")
def wheel() -> Path:
    """The wheel that `make wheel` left in dist/."""
    (found,) = (ROOT / "dist").glob("*.whl")
    return found


def metadata_of(wheel: Path) -> str:
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
    return archive.read(name).decode()


@pytest.mark.parametrize("place", FOLDERS)
def test_it_holds_the_package_and_nothing_else(place):
    found = list((ROOT / place).glob(MINE))
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
        "tf_mavg/_bench/measuring/steps.py",
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
    for wheel in (ROOT / place).glob(MINE):
        minors = [int(minor) for minor in re.findall(r"manylinux_2_(\d+)", wheel.name)]
        assert min(minors) <= 28


# What another machine asks of pip, and there are no files for it.
STRANGERS = {
    "Python 3.9": ["--python-version", "3.9"],
    "Python 3.14": ["--python-version", "3.14"],
    "macOS": ["--platform", "macosx_14_0_arm64"],
    "Windows": ["--platform", "win_amd64"],
    "musl": ["--platform", "musllinux_1_2_x86_64"],
    "glibc 2.17": ["--platform", "manylinux_2_17_x86_64"],
}


@pytest.fixture
def pip_says(tmp_path) -> Callable[..., str]:
    """What pip prints on its way to an error, without a network."""

    def call(*arguments: str | Path) -> str:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", tmp_path / "got"]
        done = subprocess.run(
            [*command, *arguments],
            env={"PATH": "", "PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == (1 if "ERROR" in done.stderr else 0)
        return done.stdout + done.stderr

    return call


@pytest.mark.parametrize("stranger", STRANGERS)
def test_pip_refuses_it_elsewhere_in_one_sentence(wheel, pip_says, stranger):
    options = ["--no-index", "--only-binary=:all:", *STRANGERS[stranger]]
    assert pip_says(*options, wheel).splitlines()[-1] == (
        f"ERROR: {wheel.name} is not a supported wheel on this platform."
    )
    assert pip_says(*options, "--find-links", wheel.parent, "tf_mavg").splitlines()[-1] == (
        "ERROR: No matching distribution found for tf_mavg"
    )


def test_pip_takes_it_here(wheel, pip_says):
    options = ["--no-index", "--only-binary=:all:", "--pre", "--find-links", wheel.parent]
    assert "Successfully downloaded tf_mavg" in pip_says(*options, "tf_mavg")


@pytest.mark.parametrize("version", ["3.9", "3.14"])
def test_pip_names_the_pythons_that_a_source_is_for(wheel, pip_says, tmp_path, version):
    required = re.search(r"^Requires-Python: (.*)$", metadata_of(wheel), re.MULTILINE)[1]
    page = tmp_path / "index" / "tf-mavg" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text(
        f'<a href="tf_mavg-1.0.tar.gz" data-requires-python="{html.escape(required)}">'
        "tf_mavg-1.0.tar.gz</a>"
    )
    options = ["--index-url", f"file://{tmp_path}/index", "--python-version", version]
    ignored = "different python version: 1.0 Requires-Python (.*)\n"
    assert sorted(re.search(ignored, pip_says(*options, "tf_mavg"))[1].split(",")) == [
        "<3.14",
        ">=3.10",
    ]


def test_the_guide_quotes_what_pip_says():
    guide = (ROOT / "docs" / "troubleshooting.md").read_text()
    for words in [
        "is not a supported wheel on this platform.",
        "No matching distribution found for tf_mavg",
        "Ignored the following versions that require a different python version",
    ]:
        assert words in guide


def test_it_forces_no_distribution_of_tensorflow_on_anyone(wheel):
    lines = metadata_of(wheel).splitlines()
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
