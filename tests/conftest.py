"""Fixtures for all tests, and on which device they run; see gpu.py."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import gpu
import hypothesis
import numpy as np
import places
import prepared
import pytest
import sampling
import tensorflow as tf
import worlds
from gpu_emulator import environment, scripts

import tf_mavg
from tf_mavg_cli import main

LOGICAL_CPUS = 4
# No test is timed: a busy machine would fail it.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds --device, for a process that gpu.py has started."""
    parser.addoption(
        "--device", choices=["cpu", "gpu"], default="cpu", help="where the variables of tests live"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Says where the variables of this run live, and makes four devices of the CPU."""
    worlds.DEVICE = f"/{config.getoption('device')}:0"
    (cpu,) = tf.config.list_physical_devices("CPU")
    one = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [one] * LOGICAL_CPUS)


@pytest.hookimpl(tryfirst=True)  # Before marks are asked for.
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the tests that are for the other kind of device, and marks what takes long."""
    other = {"cpu": "gpu", "gpu": "cpu"}[config.getoption("device")]
    left_out = [item for item in items if item.get_closest_marker(other)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker(other)]
    for item in sampling.beyond_the_sample(items):
        item.add_marker("long")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    """Notes in the report on which device the test ran."""
    report = yield
    if "emulator_libraries" in item.fixturenames:
        report.device = gpu.EMULATED_NAME
    elif item.config.getoption("device") == "gpu":
        report.device = gpu.first_device()
    else:
        report.device = "CPU"
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Says how many tests passed on which device."""
    passed = Counter(report.device for report in terminalreporter.stats.get("passed", []))
    for device, count in sorted(passed.items()):
        terminalreporter.write_line(f"{count} tests passed on the device {device!r}")


@pytest.fixture(scope="session", autouse=True)
def _run_device(pytestconfig: pytest.Config) -> None:
    """Makes sure that a run on the GPU is one."""
    if pytestconfig.getoption("device") == "gpu":
        worlds.require_gpu()


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
def interrupts() -> Iterator[None]:
    """Lets SIGINT interrupt, also in a run that ignores it, as a job in the background does."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def logical_cpus() -> list[str]:
    """The names of four CPU devices, for strategies."""
    return [device.name for device in tf.config.list_logical_devices("CPU")]


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator of the same numbers in every run."""
    return np.random.default_rng(20)


@pytest.fixture
def run_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command `tf_mavg` in this process, which has imported what it needs."""

    def call(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Takes the folder to work in, and arguments; gives what a process would have left."""
        command = ["tf_mavg", *map(str, arguments)]
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", command)
        capsys.readouterr()
        try:
            main(prog_name="tf_mavg")
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        return subprocess.CompletedProcess(command, status, *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def emulator_libraries() -> Path:
    """The library folder of the emulated GPU, built when it is not up to date."""
    return environment.build()


@pytest.fixture(scope="session")
def native_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a package tf_mavg that is _native only and imports without TensorFlow."""
    folder = tmp_path_factory.mktemp("native_alone")
    (folder / "tf_mavg").mkdir()
    (folder / "tf_mavg" / "__init__.py").touch()
    (native,) = Path(tf_mavg.__file__).parent.glob("_native*.so")
    for library in (native, native.with_name("libtf_mavg_gpu_images.so")):
        (folder / "tf_mavg" / library.name).symlink_to(library)
    return folder


@pytest.fixture
def script(emulator_libraries: Path) -> scripts.Script:
    """Runs Python code on the emulated GPU in a process of its own, with options by name."""
    return scripts.script_on(emulator_libraries)


@pytest.fixture
def gpu_step(emulator_libraries: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Runs a program of gpu_step.py on the emulated GPU and returns what it found."""

    def call(
        program: str, *, force_ptx: bool = True, package: Path | None = None, **options: object
    ) -> dict[str, Any]:
        """Takes the emulator's options, and the folder of a tf_mavg of its own."""
        variables = gpu.emulated(emulator_libraries, log=tmp_path / "log.jsonl", **options)
        variables["TF_MAVG_FORCE_PTX"] = "1" if force_ptx else "0"
        folders = [str(package)] if package else []
        variables["PYTHONPATH"] = os.pathsep.join([*folders, places.PROGRAMS_IMPORT])
        printed = prepared.must_run(
            [places.PROGRAMS / "gpu_step.py", program], environment=variables
        )
        found: dict[str, Any] = json.loads(printed.splitlines()[-1])
        return found

    return call


@pytest.fixture(scope="session")
def worker(emulator_libraries: Path) -> Iterator[Callable[..., Any]]:
    """A caller of functions, with emulator_libraries before their arguments, in another process.

    The pytest process itself never loads the emulator, which its TensorFlow would then find.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield lambda function, *args: pool.submit(function, emulator_libraries, *args).result()
