"""Compiles cuda/kernels.cu with NVRTC and writes a C++ file that embeds the images.

CMake runs it; by hand: python cuda/compile_kernels.py --output DIR --architectures 90-real

Architectures are spelled as in CMake's CUDA_ARCHITECTURES: 90-real is machine code for compute
capability 9.0, 90-virtual is PTX for 9.0 and above, 90 alone is both. Each is compiled in both
forms of the table, see cuda/tables/table.h. NVRTC comes from PyPI, so neither a CUDA toolkit nor
a GPU is needed; without an architecture, not even NVRTC.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import importlib
import pathlib
import sys
from typing import Final, NamedTuple

ROOT: Final = pathlib.Path(__file__).resolve().parent.parent
SOURCE: Final = ROOT / "cuda" / "kernels.cu"
KINDS: Final = ("cubin", "ptx")
TABLES: Final = {"small": "kSmallTableBytes", "large": "kLargeTableBytes"}

OPTIONS: Final = (
    "--std=c++17",
    "--fmad=false",  # a fused multiply-add would round once where the formula rounds twice
    "--define-macro=__builtin_memcpy=memcpy",  # NVRTC knows it by its plain name only
    f"-I{ROOT}",
    f"-I{ROOT / 'cuda' / 'nvrtc'}",
)


class Image(NamedTuple):
    """One compilation of the kernels."""

    architecture: int
    kind: str  # "cubin" or "ptx"
    form: str  # a key of TABLES

    @property
    def file_name(self) -> str:
        """The file that the image is written to."""
        return f"{self.form}_{self.architecture}.{self.kind}"


def images_of(architectures: list[str]) -> list[Image]:
    """Lists the images for architectures in CMake's spelling."""
    images = []
    for architecture in architectures:
        number, _, kind = architecture.partition("-")
        kinds = {"real": ["cubin"], "virtual": ["ptx"], "": ["cubin", "ptx"]}.get(kind)
        if kinds is None or not number.isdecimal():
            message = f"An architecture is 90, 90-real or 90-virtual. Received: {architecture}"
            raise SystemExit(message)
        images += [Image(int(number), kind, form) for kind in kinds for form in TABLES]
    return images


def images_in(folder: pathlib.Path) -> list[Image]:
    """Lists the images that an earlier run has left in a folder, machine code first."""
    names = [path.name.replace(".", "_").split("_") for path in folder.glob("*_*.*")]
    images = [Image(int(number), kind, form) for form, number, kind in names if kind in KINDS]
    return sorted(images, key=lambda i: (i.kind, i.architecture, list(TABLES).index(i.form)))


def nvrtc() -> ctypes.CDLL:
    """NVRTC: of the package of CUDA 12 or of CUDA 13, or else of the system."""
    candidates = [f"libnvrtc.so.{major}" for major in (12, 13)]
    for package, name in (("nvidia.cuda_nvrtc", candidates[0]), ("nvidia.cu13", candidates[1])):
        with contextlib.suppress(ImportError):
            folders = importlib.import_module(package).__path__
            candidates[:0] = [str(pathlib.Path(folder) / "lib" / name) for folder in folders]
    for candidate in candidates:
        with contextlib.suppress(OSError):
            return ctypes.CDLL(candidate)
    message = (
        "Compiling the GPU kernels needs NVRTC: install the package nvidia-cuda-nvrtc-cu12, or "
        "build with TF_MAVG_GPU=OFF."
    )
    raise SystemExit(message)


class Compiler:
    """NVRTC, as far as it is used here."""

    def __init__(self) -> None:
        """Loads the library."""
        self._nvrtc = nvrtc()
        self._nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p

    def supported(self, images: list[Image]) -> list[Image]:
        """The images that this NVRTC makes: each one drops old architectures.

        Machine code for an old one is left out. PTX is then for the oldest one that is left.
        """
        count = ctypes.c_int()
        self._call("GetNumSupportedArchs", ctypes.byref(count))
        numbers = (ctypes.c_int * count.value)()
        self._call("GetSupportedArchs", numbers)
        kept = [
            image._replace(architecture=max(image.architecture, min(numbers)))
            for image in images
            if image.kind == "ptx" or image.architecture in numbers
        ]
        for image in images:
            if image not in kept:
                sys.stderr.write(f"This NVRTC makes no {image.file_name}: left out.\n")
        return kept

    def compile(self, image: Image) -> bytes:
        """Returns the image; the compiler's log goes to stderr, and its errors end the program."""
        program = ctypes.c_void_p()
        source = SOURCE.read_bytes()
        self._call("CreateProgram", ctypes.byref(program), source, bytes(SOURCE), 0, None, None)
        target = "sm" if image.kind == "cubin" else "compute"
        options = [
            f"--gpu-architecture={target}_{image.architecture}",
            f"--define-macro=TF_MAVG_TABLE_BYTES={TABLES[image.form]}",
            *OPTIONS,
        ]
        arguments = (ctypes.c_char_p * len(options))(*map(str.encode, options))
        result = self._nvrtc.nvrtcCompileProgram(program, len(options), arguments)
        if log := self._fetch(program, "ProgramLog").rstrip(b"\0").decode():
            sys.stderr.write(f"{log}\n")
        self._check("CompileProgram", result)
        binary = self._fetch(program, "CUBIN" if image.kind == "cubin" else "PTX")
        self._call("DestroyProgram", ctypes.byref(program))
        return binary

    def _fetch(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._call(f"Get{what}Size", program, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        self._call(f"Get{what}", program, text)
        return text.raw

    def _call(self, function: str, *arguments: object) -> None:
        self._check(function, getattr(self._nvrtc, f"nvrtc{function}")(*arguments))

    def _check(self, function: str, result: int) -> None:
        if result != 0:
            words = self._nvrtc.nvrtcGetErrorString(result).decode()
            message = f"nvrtc{function} on {SOURCE}: {words}"
            raise SystemExit(message)


def embedding(images: list[Image], folder: pathlib.Path) -> str:
    """Returns the C++ text that defines EmbeddedImages() of cuda/launch/images.h."""
    lines = [
        "// Written by cuda/compile_kernels.py: the GPU images inside the library.",
        "",
        '#include "cuda/launch/images.h"',
        "",
    ]
    for number, image in enumerate(images):
        symbol = f"tf_mavg_gpu_image_{number}"
        lines += [
            # 64 bytes is more than either kind of image asks for.
            f'asm(".section .rodata\\n.balign 64\\n.hidden {symbol}\\n.global {symbol}\\n"',
            f'    "{symbol}:\\n.incbin \\"{folder / image.file_name}\\"\\n.previous\\n");',
            f'extern "C" const char {symbol}[];',
        ]
    lines += ["", "namespace tf_mavg {", "", "const std::vector<GpuImage>& EmbeddedImages() {"]
    lines += ["  static const auto* const images = new std::vector<GpuImage>{"]
    for number, image in enumerate(images):
        kind, form = f"ImageKind::k{image.kind.title()}", f"TableForm::k{image.form.title()}"
        size = (folder / image.file_name).stat().st_size
        lines += [
            f"      {{{image.architecture}, {kind}, {form}, tf_mavg_gpu_image_{number}, {size}}},"
        ]
    lines += ["  };", "  return *images;", "}", "", "}  // namespace tf_mavg", ""]
    return "\n".join(lines)


def main() -> None:
    """Compiles what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder for all files")
    parser.add_argument("--architectures", nargs="*", default=[], metavar="90[-real|-virtual]")
    parser.add_argument("--images", type=pathlib.Path, help="a folder of images to embed")
    arguments = parser.parse_args()
    folder = arguments.output.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    images = images_of(arguments.architectures)
    source = folder
    if arguments.images:
        source = arguments.images.resolve()
        images = images_in(source)
    elif images:
        compiler = Compiler()
        images = compiler.supported(images)
        for image in images:
            (folder / image.file_name).write_bytes(compiler.compile(image))
    (folder / "embedded_images.cc").write_text(embedding(images, source))


if __name__ == "__main__":
    main()
