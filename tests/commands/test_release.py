"""What a release is made of: the archive of the sources, and what workflows ask of the Makefile.

And how CMake refuses what it cannot build. `make lint` checks the workflows themselves.
"""

import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from places import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
PROJECT = (ROOT / "pyproject.toml").read_text()
WORKFLOWS = {path.name: path.read_text() for path in (ROOT / ".github" / "workflows").iterdir()}
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
# What a build needs not.
LEFT_OUT = (".ci/", ".github/", "bench/results/")


def test_the_archive_of_the_sources_has_all_that_git_has(tmp_path):
    build = f"from scikit_build_core import build; build.build_sdist({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=ROOT, check=True, capture_output=True)
    (archive,) = tmp_path.glob("tf_mavg-*.tar.gz")
    with tarfile.open(archive) as opened:
        packed = {name.partition("/")[2] for name in opened.getnames()}
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    kept = {name for name in listed.stdout.splitlines() if not name.startswith(LEFT_OUT)}
    assert packed == kept | {"PKG-INFO"}
    assert archive.stat().st_size < 2e6


@pytest.mark.parametrize("where", [*WORKFLOWS, "pyproject.toml"])
def test_what_is_asked_of_make_is_there(where):
    text = WORKFLOWS.get(where, PROJECT)
    commands = re.findall(r"(?:run: |\")make ([^\n\"]*)", text)
    words = {word for command in commands for word in command.split()}
    targets = {word for word in words if re.fullmatch("[a-z-]+", word)}
    phony = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)", MAKEFILE, re.MULTILINE)[1].split()
    assert targets <= set(phony)
    assert bool(targets) == (where != "ci.yml")


def test_a_release_is_built_and_tested_for_each_python():
    required = re.search('requires-python = "(.*)"', PROJECT)[1]
    assert required == f">={PYTHONS[0]},<3.{int(PYTHONS[-1].partition('.')[2]) + 1}"
    built = re.search('^build = "(.*)"', PROJECT, re.MULTILINE)[1]
    assert built == " ".join(f"cp{version.replace('.', '')}-*" for version in PYTHONS)
    tested = re.search(r"python: \[(.*)\]", WORKFLOWS["release.yml"])[1]
    assert tested == ", ".join(f'"{version}"' for version in PYTHONS)


def test_nothing_is_published_that_was_not_tested():
    publish = WORKFLOWS["release.yml"].partition("\n  publish:\n")[2]
    assert "needs: [wheels, test, sources]" in publish
    assert "if: github.ref_type == 'tag'" in publish
    assert "id-token: write" in publish
    assert WORKFLOWS["release.yml"].count("id-token") == 1


@pytest.mark.parametrize("name", WORKFLOWS)
def test_each_action_is_pinned_to_a_commit(name):
    used = re.findall("uses: (.*)", WORKFLOWS[name])
    assert used
    assert [one for one in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", one)] == []


@pytest.fixture
def cmake_says(tmp_path: Path):
    """What CMake prints of an error, in one line."""

    def call(*options: str) -> str:
        cmake = Path(sys.executable).with_name("cmake")
        python = f"-DPython_EXECUTABLE={sys.executable}"
        command = [cmake, "-S", ROOT, "-B", tmp_path / "build", python, *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        return " ".join(done.stderr.split())

    return call


def test_another_system_is_refused(cmake_says):
    assert (
        "tf_mavg must be built for Linux. Received: FreeBSD. Use a container or a virtual machine "
        "of Linux"
    ) in cmake_says("-DCMAKE_SYSTEM_NAME=FreeBSD")


def test_environments_must_be_there(cmake_says, tmp_path):
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert (
        "TF_MAVG_ENVIRONMENTS must have environments with TensorFlow in "
        f"{tmp_path}/{here}; `make environments` makes them"
    ) in cmake_says(f"-DTF_MAVG_ENVIRONMENTS={tmp_path}")
