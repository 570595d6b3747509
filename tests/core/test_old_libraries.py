"""The compiled files ask for no C or C++ library newer than those of 2018, of manylinux_2_28.

What stands in for newer libraries does what they do.
"""

import re
import subprocess
from pathlib import Path

import pytest
from places import PROGRAMS, ROOT

from tf_mavg._ops.library import PACKAGE

# The newest version of each name that a file may ask for: glibc 2.28, and GCC 8's libraries.
NEWEST = {"GLIBC": (2, 28), "GLIBCXX": (3, 4, 24), "CXXABI": (1, 3, 11), "GCC": (7, 0, 0)}
LIBRARIES = sorted(PACKAGE.rglob("*.so"))


def dynamic(library: Path, *options: str) -> str:
    """What binutils say of a library's dynamic section and symbols."""
    command = ["objdump", *options, str(library)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_there_are_all_kinds_of_libraries():
    names = {library.name.partition(".")[0] for library in LIBRARIES}
    assert names == {"_native", "libtf_mavg_gpu_images", "libtf_mavg_ops", "libtf_mavg_xla"}


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_symbol_is_of_a_newer_library(library):
    symbols = re.findall(r"\*UND\*.*\((\w+?)_([\d.]+)\) +(\S+)", dynamic(library, "-T"))
    assert {name for name, _, _ in symbols} <= set(NEWEST)
    assert len(symbols) > 1
    newer = [
        symbol
        for name, version, symbol in symbols
        if tuple(map(int, version.split("."))) > NEWEST[name]
    ]
    assert newer == []


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_libraries_that_once_held_old_symbols_are_named(library):
    needed = re.findall(r"NEEDED +(\S+)", dynamic(library, "-p"))
    if library.name == "libtf_mavg_gpu_images.so":  # Data alone, which asks for nothing.
        return
    assert {"libdl.so.2", "libpthread.so.0"} <= set(needed)


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_stands_in_for_a_newer_library_is_nobody_elses(library):
    defined = [line for line in dynamic(library, "-T").splitlines() if "*UND*" not in line]
    names = ("__libc_single_threaded", "throw_bad_array_new_length", "exception_ptr")
    assert [line for line in defined if any(name in line for name in names)] == []


@pytest.mark.parametrize("level", ["-O0", "-O3"])
def test_what_stands_in_does_what_newer_libraries_do(tmp_path, level):
    program = tmp_path / "program"
    core = ROOT / "cc" / "core" / "old_libraries"
    sources = [PROGRAMS / "old_libraries.cc", core.with_suffix(".cc")]
    local = f"-Wl,--version-script={core.with_suffix('.map')}"
    command = ["g++", "-std=c++17", level, "-pthread", *sources, local, "-o", program]
    subprocess.run(command, check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=True)
    found = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    assert len(found) == 7
    assert [name for name, right in found.items() if right != "1"] == []
