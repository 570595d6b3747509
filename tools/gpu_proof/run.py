"""Proves on a machine with a GPU what lies below TensorFlow.

    python3 run.py OUT [--only STEP...]

Builds it from the sources, with the compiled images of the folder `images` beside them if there is
one, and then runs, each for a limited time and whatever became of those before:
- `tf_mavg check`, which compares every kernel with the reference and measures it;
- the tests of the kernels, below TensorFlow;
- the comparison with torch, if it is there;
- compute-sanitizer and Nsight Compute, if they are there.
Leaves the output of each in OUT, and steps.json: names, statuses, seconds.

Needs a compiler, Python's headers, and the packages numpy, ml_dtypes, click, pybind11, cmake,
ninja, pytest of the Python that runs it; a CUDA toolkit for the last step only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
METRICS = [
    "gpu__time_duration.sum",
    "dram__bytes_read.sum",
    "dram__bytes_write.sum",
    "dram__throughput.avg.pct_of_peak_sustained_elapsed",
    "sm__warps_active.avg.pct_of_peak_sustained_active",
    "launch__registers_per_thread",
]
KERNEL_TESTS = ["kernels", "split_kernels", "stochastic_kernels", "lazy_rows_kernels", "check"]


class Steps:
    """Runs commands one after the other, and notes what became of each."""

    def __init__(self, out: Path, variables: dict[str, str]) -> None:
        """Takes the folder of outputs, and variables of the environment."""
        self._out = out
        self._variables = variables
        self._list = out / "steps.json"
        self._done: dict[str, dict[str, object]] = {}
        if self._list.exists():  # Of the steps that ran before.
            self._done = json.loads(self._list.read_text(encoding="utf-8"))

    def run(self, name: str, seconds: float, *command: object) -> bool:
        """Runs a command for so many seconds at most; says whether it succeeded."""
        began = time.perf_counter()
        path = self._out / f"{name}.txt"
        with path.open("w", encoding="utf-8") as output:
            try:
                status: int | str = subprocess.run(
                    list(map(str, command)),
                    env={**os.environ, **self._variables},
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=self._out,  # Not the sources, whose tf_mavg has no compiled part.
                    timeout=seconds,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                status = f"stopped after {seconds} s"
            except FileNotFoundError as error:
                status = str(error)
        took = time.perf_counter() - began
        self._done[name] = {"status": status, "seconds": round(took, 1)}
        self._list.write_text(json.dumps(self._done, indent=1), encoding="utf-8")
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        print(f"== {name}: {status}, {took:.1f} s", *lines[-12:], sep="\n", flush=True)
        return status == 0


def main() -> None:
    """Runs the steps that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, help="folder of all outputs")
    parser.add_argument("--elements", help="of a workload at most, for a slow device")
    parser.add_argument("--only", nargs="*", default=[], help="steps to run, of an existing build")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    path = [out / "below", ROOT / "tests" / "helpers", ROOT / "tests"]
    variables = {"PYTHONPATH": os.pathsep.join([*map(str, path), os.environ.get("PYTHONPATH", "")])}
    steps = Steps(out, variables)
    for name, (seconds, command) in commands(out, arguments.elements).items():
        if arguments.only and name not in arguments.only:
            continue
        if not steps.run(name, seconds, *command) and name in {"configure", "build"}:
            sys.exit("Without a build there is nothing to prove.")


def commands(out: Path, elements: str | None) -> dict[str, tuple[float, list[object]]]:
    """The steps in their order: seconds at most, and the command."""
    python: object = sys.executable
    images = ROOT / "images"
    sizes = [elements] if elements else []
    pytest = [python, "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider"]
    watched = ["compute-sanitizer", "--error-exitcode", 9, "--tool"]
    return {
        "machine": (20, ["nvidia-smi"]),
        "configure": (
            60,
            [
                *["cmake", "-S", ROOT, "-B", out / "build", "-G", "Ninja"],
                *[f"-DPython_EXECUTABLE={python}", "-DTF_MAVG_TENSORFLOW=OFF"],
                f"-DCMAKE_INSTALL_PREFIX={out / 'below'}",
                *([f"-DTF_MAVG_GPU_IMAGES={images}"] if images.is_dir() else []),
            ],
        ),
        "build": (240, ["cmake", "--build", out / "build", "--target", "install"]),
        "check": (
            120,
            [
                *[python, "-m", "tf_mavg_cli", "check", "--json"],
                *(["--most-elements", elements] if elements else []),
            ],
        ),
        "tests": (
            120,
            [
                *[*pytest, "-c", ROOT / "pyproject.toml"],
                *(ROOT / "tests" / "gpu" / f"test_{name}.py" for name in KERNEL_TESTS),
            ],
        ),
        "torch": (90, [python, HERE / "compare.py", out / "torch.json", *sizes]),
        "memcheck": (60, [*watched, "memcheck", python, HERE / "each_kernel.py", *sizes]),
        "racecheck": (60, [*watched, "racecheck", python, HERE / "each_kernel.py", *sizes]),
        "initcheck": (60, [*watched, "initcheck", python, HERE / "each_kernel.py", *sizes]),
        "profile": (
            90,
            [
                *["ncu", "--csv", "--clock-control", "none", "--metrics", ",".join(METRICS)],
                *[python, HERE / "each_kernel.py", *sizes],
            ],
        ),
    }


if __name__ == "__main__":
    main()
