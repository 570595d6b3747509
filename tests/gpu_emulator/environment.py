"""How to run a process on the emulated GPU, and how to read what the emulator logged."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

HERE = pathlib.Path(__file__).resolve().parent
# Where the tests build the emulator, all of them the same one.
BUILD_DIR = HERE.parents[1] / "build" / "gpu_emulator"


def environment(
    library_dir: str | os.PathLike[str],
    *,
    base: Mapping[str, str] | None = None,
    **options: object,
) -> dict[str, str]:
    """The environment variables of a process that runs on the emulated GPU.

    Args:
        library_dir: the `lib` folder of the emulator's build.
        base: the variables to start from; by default those of this process.
        **options: the emulator's options in lower case, as in `delay_us=500` for
            TF_MAVG_EMULATOR_DELAY_US; options.h has them all. None leaves one at its default.
    """
    variables = dict(os.environ if base is None else base)
    library_path = [str(pathlib.Path(library_dir).resolve()), variables.get("LD_LIBRARY_PATH", "")]
    variables["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, library_path))
    variables["PATH"] = os.pathsep.join([str(HERE / "bin"), variables.get("PATH", os.defpath)])
    # The pool grows as needed instead of claiming nearly all of the emulated memory at once.
    variables["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    for name, value in options.items():
        if value is not None:
            variables[f"TF_MAVG_EMULATOR_{name.upper()}"] = str(value)
    return variables


class Log:
    """The records of a log file, from where it was last read.

    The emulator writes a record before the call that it describes returns, so `since_last` after a
    step gives what the step's calls did.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = pathlib.Path(path)
        self._offset = 0

    def since_last(self, *calls: str) -> list[dict[str, Any]]:
        """The records since the last reading; with `calls`, only those of these calls."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        self._offset += len(text)
        records = [json.loads(line) for line in text.splitlines()]
        return [record for record in records if not calls or record["call"] in calls]


def build(
    build_dir: str | os.PathLike[str] = BUILD_DIR,
    *,
    definitions: Sequence[str] = (),
    targets: Sequence[str] = ("all",),
) -> pathlib.Path:
    """Builds the emulator, or what of it has changed, and returns its library folder.

    `definitions` are CMake's, as in `-DTF_MAVG_SANITIZE=thread`, and `targets` some of its
    libraries. Several processes may call it at once. Needs cmake, ninja, a C++ compiler and the
    headers of the installed TensorFlow, which is not imported.
    """
    tensorflow = importlib.util.find_spec("tensorflow")
    if tensorflow is None or not tensorflow.submodule_search_locations:
        raise RuntimeError("The emulated GPU needs the headers of an installed TensorFlow.")
    include = pathlib.Path(tensorflow.submodule_search_locations[0]) / "include"
    path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ.get("PATH", "")])
    variables = {**os.environ, "PATH": path}
    configure = ["cmake", "-S", str(HERE), "-B", os.fspath(build_dir), "-G", "Ninja"]
    configure += [f"-DTENSORFLOW_INCLUDE_DIR={include}", *definitions]
    make = ["cmake", "--build", os.fspath(build_dir), "--target", *targets]
    pathlib.Path(build_dir).mkdir(parents=True, exist_ok=True)
    with pathlib.Path(build_dir, "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (configure, make):
            done = subprocess.run(
                command, env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            if done.returncode:
                raise RuntimeError(f"The emulated GPU could not be built:\n{done.stdout}")
    return pathlib.Path(build_dir).resolve() / "lib"
