"""Proves on a machine with a GPU what lies below TensorFlow: python3 run.py OUT

Builds it from the sources, with the compiled images of the folder `images` beside them if there is
one, and then runs, each for a limited time and whatever became of those before:
- `tf_mavg check`, which compares every kernel with the reference and measures it;
- the tests of the kernels, below TensorFlow;
- the comparison with torch, if it is there;
- compute-sanitizer and Nsight Compute, if they are there.
Leaves the output of each in OUT, and steps.json: names, statuses, seconds.

Needs a compiler, Python's headers, and the packages numpy, ml_dtypes, click, pybind11, cmake, ninja,
pytest of the Python that runs it; a CUDA toolkit for the last step only.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
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
        self._done: list[dict[str, object]] = []

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
                    timeout=seconds,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                status = f"stopped after {seconds} s"
            except FileNotFoundError as error:
                status = str(error)
        took = time.perf_counter() - began
        self._done.append({"step": name, "status": status, "seconds": round(took, 1)})
        (self._out / "steps.json").write_text(json.dumps(self._done, indent=1), encoding="utf-8")
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        print(f"== {name}: {status}, {took:.1f} s", *lines[-12:], sep="\n", flush=True)
        return status == 0


def main(out: str) -> None:
    """Runs all steps."""
    folder = Path(out).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    build, below = folder / "build", folder / "below"
    tests = [ROOT / "tests" / "gpu" / f"test_{name}.py" for name in KERNEL_TESTS]
    path = [below, ROOT / "tests" / "helpers", ROOT / "tests"]
    variables = {"PYTHONPATH": os.pathsep.join([*map(str, path), os.environ.get("PYTHONPATH", "")])}
    steps = Steps(folder, variables)
    python = sys.executable
    configure = [
        *["cmake", "-S", ROOT, "-B", build, "-G", "Ninja", f"-DPython_EXECUTABLE={python}"],
        *["-DTF_MAVG_TENSORFLOW=OFF", f"-DCMAKE_INSTALL_PREFIX={below}"],
    ]
    if (ROOT / "images").is_dir():
        configure.append(f"-DTF_MAVG_GPU_IMAGES={ROOT / 'images'}")
    steps.run("machine", 20, "nvidia-smi")
    if not steps.run("configure", 60, *configure):
        raise SystemExit("The build could not be configured.")
    if not steps.run("build", 240, "cmake", "--build", build, "--target", "install"):
        raise SystemExit("The build failed.")
    steps.run("check", 120, python, "-m", "tf_mavg_cli", "check", "--json", *OPTIONS)
    pytest = [python, "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider"]
    steps.run("tests", 120, *pytest, "-c", ROOT / "pyproject.toml", *tests)
    steps.run("torch", 90, python, HERE / "compare.py", folder / "torch.json", *ELEMENTS)
    sample = [python, HERE / "each_kernel.py"]
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer:
        for tool in ("memcheck", "racecheck", "initcheck"):
            watched = [sanitizer, "--tool", tool, "--error-exitcode", 9]
            program = ["-m", "tf_mavg_check.gpu", "large"] if tool == "memcheck" else sample[1:]
            steps.run(tool, 60, *watched, python, *program)
    profiler = shutil.which("ncu")
    if profiler:
        metrics = [profiler, "--csv", "--clock-control", "none", "--metrics", ",".join(METRICS)]
        steps.run("profile", 60, *metrics, *sample)


# Sizes for a rehearsal on a slow device: run.py OUT ELEMENTS.
ELEMENTS = sys.argv[2:3]
OPTIONS = ["--most-elements", *ELEMENTS] if ELEMENTS else []

if __name__ == "__main__":
    main(sys.argv[1])
