"""Fixtures of the tests below TensorFlow, for a run without conftest.py, which imports TensorFlow.

pytest --noconftest -p below runs them, with a tf_mavg that is _native only on PYTHONPATH, and with
the libraries of an emulated GPU first on LD_LIBRARY_PATH.
"""

import os
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from tf_mavg import _native

hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator of the same numbers in every run."""
    return np.random.default_rng(20)


@pytest.fixture(scope="session")
def emulator_libraries() -> Path:
    """The library folder of the emulated GPU of this process."""
    return Path(os.environ["LD_LIBRARY_PATH"].partition(os.pathsep)[0])


@pytest.fixture(scope="session")
def native_alone() -> Path:
    """The folder with the package tf_mavg of this process."""
    return Path(_native.__file__).parents[1]
