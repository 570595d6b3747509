"""Builds what lies below TensorFlow, and the ops, for a sanitizer; says how its processes run."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from building import build_below, run
from gpu_emulator import environment
from mutants.making import copied_package
from places import HELPERS, ROOT

HERE = Path(__file__).parent
# Python leaks on purpose, and its tests are not about that.
PYTHON_OPTIONS = {"ASAN_OPTIONS": "detect_leaks=0", "OPENBLAS_NUM_THREADS": "1"}
# What pytest captures would go with the process that a report ends.
PYTEST = ["-m", "pytest", "-c", ROOT / "pyproject.toml", "-p", "no:cacheprovider", "-q", "-s"]


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

    def build_ops(self, folder: Path) -> None:
        """Makes in a folder the installed package, but with a library of ops that is built so."""
        package = copied_package(folder)
        (library,) = package.glob("_tf*/libtf_mavg_ops.so")
        target = f"tf_mavg_ops_{library.parent.name.removeprefix('_tf').replace('_', '.')}"
        definitions = [
            *[f"-DTF_MAVG_SANITIZE={self.name}", "-DTF_MAVG_TENSORFLOW=ON", "-DTF_MAVG_XLA=OFF"],
            "-DTF_MAVG_UNITY=ON",  # Most of the time goes to TensorFlow's headers.
        ]
        build = build_below(self.folder / "ops", [target], definitions)
        library.unlink()
        library.symlink_to(build / "tf_mavg" / library.relative_to(package))

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
            **self.options,
        }

    @property
    def options(self) -> dict[str, str]:
        """What the environment tells the sanitizers."""
        return {
            "UBSAN_OPTIONS": "print_stacktrace=1",
            # One report is enough: a race in a loop has thousands, and takes minutes.
            "TSAN_OPTIONS": f"halt_on_error=1 suppressions={HERE / 'thread.supp'}",
        }

    def program(
        self, name: str, *arguments: str, gpu: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """What a program of tests/sanitizers did, which has been built; `gpu`: the emulated one."""
        variables = self.variables(delay_us=20) if gpu else os.environ | self.options
        return run(self.folder / "native" / "programs" / name, *arguments, env=variables)

    def python(
        self, *arguments: object, package: Path, gpu: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """What Python did, with the sanitizer loaded first and tf_mavg from this folder."""
        compiler = shutil.which("c++") or "c++"
        # Of C++, too: AddressSanitizer looks for its exceptions as the process starts.
        first = [
            run(compiler, f"-print-file-name={library}").stdout.strip()
            for library in (self.library, "libstdc++.so.6")
        ]
        variables = self.variables() if gpu else os.environ | self.options
        variables |= PYTHON_OPTIONS
        variables["LD_PRELOAD"] = os.pathsep.join(first)
        variables["PYTHONPATH"] = os.pathsep.join([str(package), HELPERS])
        return run(sys.executable, *arguments, env=variables, cwd=self.folder)

    def tests_of_ops(
        self, files: Sequence[Path], package: Path
    ) -> subprocess.CompletedProcess[str]:
        """What tests of TensorFlow found, on the CPU, with what `build_ops` has made."""
        return self.python(
            *[*PYTEST, "-m", "not slow and not long", *files], package=package, gpu=False
        )

    def tests(self, files: Sequence[Path]) -> subprocess.CompletedProcess[str]:
        """What the tests of files below TensorFlow found, on the module that `install` has made."""
        return self.python(
            *[*PYTEST, "--noconftest", "-p", "below", "-m", "not slow", *files],
            package=self.folder / "below",
        )


ADDRESS = Sanitized("address", "libasan.so")
THREAD = Sanitized("thread", "libtsan.so")
