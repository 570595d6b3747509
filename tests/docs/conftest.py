"""The pages of docs/, built once for all tests of a process."""

import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

sys.path.insert(0, str(ROOT / "docs" / "_ext"))  # What Sphinx uses is tested, too.


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """The folder of the built pages; a warning of Sphinx is an error, as in `make docs`."""
    folder = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--fail-on-warning", "--keep-going", "--fresh-env"]
    done = subprocess.run(
        [Path(sys.executable).with_name("sphinx-build"), *options, ROOT / "docs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder
