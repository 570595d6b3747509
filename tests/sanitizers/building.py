"""Builds what lies below TensorFlow for a sanitizer, and says how its processes run."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from building import build_below, run
from gpu_emulator import environment
from places import HELPERS, ROOT

HERE = Path(__file__).parent
# Python leaks on purpose, and its tests are not about that.
PYTHON_OPTIONS = {"ASAN_OPTIONS": "detect_leaks=0", "OPENBLAS_NUM_THREADS": "1"}


class Sanitized(NamedTuple):
    """A build for one of the sanitizers that cmake/Sanitizers.cmake names."""

    name: str
    library: str

    @property
    def folder(self) -> Path:
        """Where the build lies; it is kept, and later ones do what has changed."""
        return ROOT / "build" / "sanitize" / self.name

    def build(self, *targets: str) -> None:
        """Builds programs of tests/sanitizers, or installs the Python module by `install`."""
        definitions = [
            f"-DTF_MAVG_SANITIZE={self.name}",
            f"-DCMAKE_INSTALL_PREFIX={self.folder / 'below'}",
        ]
        build_below(self.folder / "native", targets, definitions)

    def emulator(self) -> Path:
        """The library folder of the emulated GPU, with the libraries that these tests ask for."""
        return environment.build(
            self.folder / "emulator",
            definitions=[f"-DTF_MAVG_SANITIZE={self.name}"],
            targets=["cuda", "nvidia-ml", "cudnn"],
        )

    def variables(self, **options: object) -> dict[str, str]:
        """The environment of a program on this emulated GPU, of which these are options."""
        return {
            **environment.environment(self.emulator(), **options),
            "TF_MAVG_FORCE_PTX": "1",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            # One report is enough: a race in a loop has thousands, and takes minutes.
            "TSAN_OPTIONS": f"halt_on_error=1 suppressions={HERE / 'thread.supp'}",
        }

    def program(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What a program of tests/sanitizers did, which has been built."""
        return run(
            self.folder / "native" / "programs" / name, *arguments, env=self.variables(delay_us=20)
        )

    def python(self, *arguments: object, package: Path) -> subprocess.CompletedProcess[str]:
        """What Python did, with the sanitizer loaded first and tf_mavg from this folder."""
        compiler = shutil.which("c++") or "c++"
        # Of C++, too: AddressSanitizer looks for its exceptions as the process starts.
        first = [
            run(compiler, f"-print-file-name={library}").stdout.strip()
            for library in (self.library, "libstdc++.so.6")
        ]
        variables = self.variables() | PYTHON_OPTIONS
        variables["LD_PRELOAD"] = os.pathsep.join(first)
        variables["PYTHONPATH"] = os.pathsep.join([str(package), HELPERS])
        return run(sys.executable, *arguments, env=variables, cwd=self.folder)

    def tests(self, files: Sequence[Path]) -> subprocess.CompletedProcess[str]:
        """What the tests of files below TensorFlow found, on the module that `install` has made."""
        return self.python(
            *["-m", "pytest", "-c", ROOT / "pyproject.toml", "--noconftest", "-p", "below"],
            *["-p", "no:cacheprovider", "-q", "-m", "not slow", *files],
            package=self.folder / "below",
        )


ADDRESS = Sanitized("address", "libasan.so")
THREAD = Sanitized("thread", "libtsan.so")
