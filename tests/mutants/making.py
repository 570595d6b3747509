"""Makes what a mutant changes: a package, a library of it, or the GPU's kernels, in a given folder.

Nothing of the checkout, its builds and what is installed changes, so several can be made at once.
"""

import os
import re
import shutil
import sys
import sysconfig
from pathlib import Path

from building import build_below, installed_build, must_run
from mutants.listing import Kind, Mutant
from places import ROOT

SITE = Path(sysconfig.get_path("purelib"))


def copied_package(folder: Path) -> Path:
    """A copy of the installed package, of links to its files."""
    leave_out = shutil.ignore_patterns("__pycache__")
    package = folder / "tf_mavg"
    shutil.copytree(SITE / "tf_mavg", package, copy_function=os.symlink, ignore=leave_out)
    return package


def python_package(mutant: Mutant, folder: Path) -> None:
    """A copy of the package with a mutant of its Python files."""
    copied_package(folder)
    mutant.write(folder / mutant.file)


def native_alone(folder: Path) -> Path:
    """A package of _native only, of links, which imports without TensorFlow."""
    package = folder / "tf_mavg"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    for library in (SITE / "tf_mavg").glob("*.so"):
        (package / library.name).symlink_to(library)
    return package


def native_package(mutant: Mutant, folder: Path) -> None:
    """Such a package with a mutant in it."""
    (native,) = native_alone(folder).glob("_native*.so")
    native.unlink()
    build = build_below(ROOT / "build" / "mutants", ["_native"])
    link(mutant, build, native.name, native)


def ops_package(mutant: Mutant, folder: Path) -> None:
    """A copy of the package with a mutant in its library of ops."""
    package = copied_package(folder)
    (ops,) = package.glob("_tf*/libtf_mavg_ops.so")
    ops.unlink()
    link(mutant, installed_build(), f"tf_mavg/{ops.relative_to(package)}", ops)


def link(mutant: Mutant, build: Path, library: str, output: Path) -> None:
    """Links a library of a build anew: what a mutant is part of is compiled, and nothing else."""
    ninja = Path(sys.executable).with_name("ninja")
    folder = output.with_suffix(".objects")
    source = folder / "source"
    mutant.write(source / mutant.file)
    *commands, linking = must_run(ninja, "-C", build, "-t", "commands", library).splitlines()
    of_mutant = depending(build, must_run(ninja, "-C", build, "-t", "deps"), ROOT / mutant.file)
    mutated: dict[str, Path] = {}
    for command in commands:
        made = re.search(r" -o (\S+)", command)
        if made is None or made[1] not in of_mutant:
            continue
        mutated[made[1]] = folder / f"{len(mutated)}.o"
        must_run("sh", "-c", compilation(command, mutated[made[1]], mutant, source), cwd=build)
    if not mutated:
        message = f"Nothing of {library} is made of {mutant.file}."
        raise ValueError(message)
    added = []
    for made, path in mutated.items():
        if f" {made} " in linking:
            linking = linking.replace(f" {made} ", f" {path} ")
        else:  # Of an archive, which then has nothing to add.
            added.append(str(path))
    linking = re.sub(r" -o \S+ ", f" -o {output} {' '.join(added)} ", linking, count=1)
    must_run("sh", "-c", linking, cwd=build)


def compilation(command: str, output: Path, mutant: Mutant, source: Path) -> str:
    """A command of the build, for sources of which one has a mutant."""
    command = re.sub(r" -o \S+", f" -o {output}", command)
    command = command.replace(f" -c {ROOT / mutant.file}", f" -c {source / mutant.file}")
    if unity := re.search(r" -c (\S+/unity_\S+)", command):  # It includes several sources.
        including = Path(unity[1]).read_text().replace(str(ROOT / mutant.file), mutant.file)
        copy = source / Path(unity[1]).name
        copy.write_text(including)
        command = command.replace(unity[1], str(copy))
    command = command.replace(f" -I{ROOT} ", f" -I{source} -I{ROOT} ")
    # Hardly optimised, nor warned about, nor noted for the next build.
    command = re.sub(r" -(O3|Werror|MD|M[TF] \S+)(?= )", "", command)
    return command.replace(" -c ", " -O1 -c ")


def depending(build: Path, deps: str, file: Path) -> set[str]:
    """The objects of a build that depend on a file, by what `ninja -t deps` prints."""
    blocks = (block.splitlines() for block in deps.split("\n\n") if block.strip())
    return {
        lines[0].partition(":")[0]
        for lines in blocks
        if any(os.path.normpath(build / line.strip()) == str(file) for line in lines[1:])
    }


def kernels(mutant: Mutant | None, folder: Path) -> Path:
    """The PTX, for the small form of the table, of the sources with a mutant or without one."""
    for name in ("cuda", "cc/core"):
        shutil.copytree(ROOT / name, folder / "source" / name)
    if mutant:
        mutant.write(folder / "source" / mutant.file)
    script = folder / "source" / "cuda" / "compile_kernels.py"
    output = folder / "images"
    must_run(sys.executable, script, "--output", output, "--architectures", "70-virtual")
    return output / "small_70.ptx"


def tree(mutant: Mutant, folder: Path) -> Path:
    """A copy of the checkout's files with a mutant; its build has the GPU's images only."""
    copy = folder / "tree"
    for name in must_run("git", "-C", ROOT, "ls-files").splitlines():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)
    build = copy / "build" / installed_build().name
    build.mkdir(parents=True)
    (build / "gpu_images").symlink_to(installed_build() / "gpu_images")
    mutant.write(copy / mutant.file)
    return copy


PACKAGES = {Kind.PYTHON: python_package, Kind.OPS: ops_package, Kind.NATIVE: native_package}
