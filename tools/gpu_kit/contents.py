"""What goes into a kit, read from the environment whose Python runs this.

The pack's tree is that of an installed Python, so that nothing but its place has to be right: bin,
lib with the system's libraries that Python needs beyond the C library, the packages in
lib/python3.*/site-packages, cuda with the libraries of CUDA that TensorFlow opens, and run. All but
the CUDA runtime in cuda are the stand-ins of tests/gpu_emulator: TensorFlow creates its device with
them, and an operation that calls into one dies with its name.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gpu_kit import elf, fat_binaries
from gpu_kit.parts import File

HERE = Path(__file__).resolve().parent
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
SITE = f"lib/{PYTHON}/site-packages"
# What tests and benchmarks import; what these require comes along, but for what is EXCLUDED.
DISTRIBUTIONS = [
    "tensorflow",
    "tf_keras",
    "pytest",
    "pytest-xdist",
    "hypothesis",
    "matplotlib",
    "scipy",
    "click",
]
EXCLUDED = {"libclang"}
# Of site-packages: what serves builds, type checkers and the distributions' own tests; what
# TensorFlow opens on demand, for exchanges with StableHLO and XLA; files that pytest has rewritten.
LEFT_OUT = re.compile(
    r"^tensorflow/include/|^tensorflow/compiler/mlir/stablehlo/|_xla_ops\.so$"
    r"|^(numpy|scipy|matplotlib)/(.*/)?tests/|\.(a|h|hpp|pyi|pxd)$|-pytest-[\d.]+\.pyc$"
)
# The same of Python's own library.
STANDARD_LEFT_OUT = re.compile(
    r"^(site-packages|test|idlelib|tkinter|turtledemo|ensurepip|lib2to3|config-[^/]*)/"
    r"|/tests?/|^lib-dynload/(_tkinter|_test|_xxtest|xxlimited)|\.opt-\d\.pyc$"
)
# These belong to the C library, which comes with the machine.
C_LIBRARY = re.compile(r"^(linux-vdso|ld-linux|lib(c|m|dl|rt|util|pthread|resolv|nsl)\.so)")
STAND_INS = ["cublas", "cublasLt", "cudnn", "cufft", "cusolver", "cusparse"]
# A script that finds Python beside itself, wherever that is.
SCRIPT = """#!/bin/sh
'''exec' "$(dirname "$0")/python" "$0" "$@"
'''
import sys
from {module} import {name}
sys.exit({name}())
"""


def read(path: Path, target: str, architecture: int, *, ptx: bool) -> File:
    """A file as it goes into the pack: libraries lose what only debuggers and other GPUs use."""
    content = bytearray(path.read_bytes())
    status = path.stat()
    if elf.is_elf(content):
        elf.cut(content)
        fat_binaries.trim(content, architecture, ptx=ptx)
    return File(target, content, status.st_mode & 0o777, status.st_mtime_ns)


def distributions() -> list[metadata.Distribution]:
    """DISTRIBUTIONS and all that they require, each once."""
    found = {}
    wanted = list(DISTRIBUTIONS)
    while wanted:
        name = canonicalize_name(wanted.pop())
        if name in found or name in EXCLUDED:
            continue
        found[name] = metadata.distribution(name)
        for text in found[name].requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                wanted.append(requirement.name)
    return list(found.values())


def installed(distribution: metadata.Distribution) -> Iterator[tuple[Path, str]]:
    """The files of a distribution that go into the pack, and their paths there."""
    for file in distribution.files or []:
        path = Path(str(distribution.locate_file(file)))
        if not str(file).startswith("..") and not LEFT_OUT.search(str(file)) and path.exists():
            yield path, f"{SITE}/{file}"


def system_libraries(programs: list[Path]) -> dict[str, Path]:
    """The libraries by name that programs need, beyond the C library and what lies beside them."""
    command = ["ldd", *map(str, programs)]
    lines = subprocess.run(  # noqa: S603 - of this environment's own files.
        command, capture_output=True, text=True, check=True
    ).stdout
    found = re.findall(r"^\s+(\S+) => (/(?:usr/)?lib\S*)", lines, re.MULTILINE)
    return {name: Path(path) for name, path in found if not C_LIBRARY.match(name)}


def _python(architecture: int) -> Iterator[File]:
    """Python itself, which finds its libraries by its own place."""
    base = Path(sys.base_prefix)
    program = base / "bin" / PYTHON
    library = base / "lib" / PYTHON
    sources = [program, *(base / "lib").glob("libpython3.*.so.*")]
    sources += [
        path
        for path in sorted(library.rglob("*"))
        if path.is_file() and not STANDARD_LEFT_OUT.search(str(path.relative_to(library)))
    ]
    search_paths = {
        base / "bin": "$ORIGIN/../lib",
        base / "lib": "$ORIGIN",
        library / "lib-dynload": "$ORIGIN/../..",
    }
    for source in sources:
        file = read(source, str(source.relative_to(base)), architecture, ptx=False)
        if source.parent in search_paths and elf.is_elf(file.content):
            elf.set_search_path(file.content, search_paths[source.parent])
        yield file
    for name in ("python", "python3"):
        yield File(f"bin/{name}", link=PYTHON)
    programs = [path for path in sources if ".so" in path.name or path == program]
    for name, path in sorted(system_libraries(programs).items()):
        yield read(path, f"lib/{name}", architecture, ptx=False)


def _cuda(stand_ins: Path, architecture: int) -> Iterator[File]:
    """The CUDA runtime, the stand-ins, and the C++ library for a machine that has none."""
    site = Path(str(metadata.distribution("tensorflow").locate_file("")))
    runtime = site / "nvidia" / "cuda_runtime" / "lib" / "libcudart.so.12"
    yield read(runtime, f"cuda/{runtime.name}", architecture, ptx=False)
    for name in STAND_INS:
        (path,) = stand_ins.glob(f"lib{name}.so.*")
        yield read(path, f"cuda/{path.name}", architecture, ptx=False)
    framework = site / "tensorflow" / "libtensorflow_framework.so.2"
    for name, path in system_libraries([framework]).items():
        yield read(path, f"c++/{name}", architecture, ptx=False)


def _script(name: str, module: str, function: str) -> File:
    return File(
        f"bin/{name}", bytearray(SCRIPT.format(module=module, name=function).encode()), 0o755
    )


def environment(stand_ins: Path, architecture: int, *, ptx: bool) -> Iterator[File]:
    """All that a change of tf_mavg leaves as it is.

    Args:
        stand_ins: the library folder of the emulated GPU's build.
        architecture: the GPU's compute capability, such as 90.
        ptx: whether PTX stays where there is machine code for the GPU, as the emulated GPU needs.
    """
    for distribution in distributions():
        for path, target in installed(distribution):
            yield read(path, target, architecture, ptx=ptx)
    yield from _python(architecture)
    yield from _cuda(stand_ins, architecture)
    for name in ("run.sh", "cublas.py"):
        yield File(name.removesuffix(".sh"), bytearray((HERE / name).read_bytes()), 0o755)


def project() -> Iterator[File]:
    """The installed tf_mavg, and the commands."""
    for path, target in installed(metadata.distribution("tf_mavg")):
        if not path.name.endswith(".pyc"):
            yield File(target, bytearray(path.read_bytes()), 0o644, path.stat().st_mtime_ns)
    yield _script("tf_mavg", "tf_mavg_cli", "main")
    yield _script("pytest", "pytest", "main")
