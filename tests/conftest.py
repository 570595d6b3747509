"""Fixtures for all tests."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import worlds
from gpu_emulator import environment


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds --device, which gpu.py sets in a process that has a GPU."""
    parser.addoption(
        "--device", choices=["cpu", "gpu"], default="cpu", help="where the variables of tests live"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Makes sure that a run on the GPU is one."""
    worlds.DEVICE = f"/{config.getoption('device')}:0"
    if config.getoption("device") == "gpu":
        worlds.require_gpu()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Says on which device the tests ran."""
    if config.getoption("device") == "gpu":
        passed = len(terminalreporter.stats.get("passed", []))
        terminalreporter.write_line(f"{passed} tests passed on the device {worlds.gpu_name()!r}")


@pytest.fixture(autouse=True)
def _default_device() -> Iterator[None]:
    """Puts what a test makes on the device of the run."""
    with worlds.on_device():
        yield


@pytest.fixture(params=worlds.WORLDS)
def world(request: pytest.FixtureRequest) -> Iterator[worlds.World]:
    """Each way of running an op, in turn."""
    with worlds.enter(request.param) as entered:
        yield entered


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator of the same numbers in every run."""
    return np.random.default_rng(20)


@pytest.fixture(scope="session")
def emulator_libraries() -> Path:
    """The library folder of the emulated GPU, built when it is not up to date."""
    return environment.build()


@pytest.fixture(scope="session")
def worker(emulator_libraries: Path) -> Iterator[Callable[..., Any]]:
    """A caller of functions, with emulator_libraries before their arguments, in another process.

    The pytest process itself never loads the emulator, which its TensorFlow would then find.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield lambda function, *args: pool.submit(function, emulator_libraries, *args).result()
