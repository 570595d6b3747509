"""Builds what lies below TensorFlow, for tests that need it otherwise than installed."""

import fcntl
import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from places import ROOT


def run(*command: object, **settings: object) -> subprocess.CompletedProcess[str]:
    """The completed process, whose output is text in one piece."""
    return subprocess.run(
        [*map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **settings,
    )


def must_run(*command: object, **settings: object) -> str:
    """The output of a process that must succeed."""
    done = run(*command, **settings)
    if done.returncode:
        message = f"{command[0]} ended with {done.returncode}:\n{done.stdout}"
        raise RuntimeError(message)
    return done.stdout


def installed_build() -> Path:
    """Where `make install` builds."""
    version = sysconfig.get_config_var("py_version_nodot")
    (folder,) = (ROOT / "build").glob(f"cp{version}-*")
    return folder


def build_below(folder: Path, targets: Sequence[str], definitions: Sequence[str] = ()) -> Path:
    """Builds targets of CMake without TensorFlow, or what of them has changed.

    The GPU's images are those of `make install`, since compiling them takes minutes. Several
    processes may call it at once.

    Returns:
      The build's folder.
    """
    tools = Path(sys.executable).parent
    variables = {**os.environ, "PATH": os.pathsep.join([str(tools), os.environ["PATH"]])}
    folder.mkdir(parents=True, exist_ok=True)
    configure = [
        *["-S", ROOT, "-B", folder, "-G", "Ninja", "-DTF_MAVG_TENSORFLOW=OFF"],
        f"-DPython_EXECUTABLE={sys.executable}",
        f"-DTF_MAVG_GPU_IMAGES={installed_build() / 'gpu_images'}",
        "-DCMAKE_INTERPROCEDURAL_OPTIMIZATION=OFF",  # A link would compile all once more.
        *definitions,
    ]
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        must_run(tools / "cmake", *configure, env=variables)
        must_run(tools / "cmake", "--build", folder, "--target", *targets, env=variables)
    return folder
