"""The CUDA kernels of the emulator's tests: compiled with PyPI's NVRTC, and launched."""

from __future__ import annotations

import ctypes
import functools
import pathlib
import struct
from collections.abc import Sequence

import numpy as np

from .opcodes import driver_of

CHUNK = 1024  # elements, kChunk of kernels.cu


@functools.cache
def compile_ptx(source: pathlib.Path, compute: int) -> str:
    """The PTX of a file for compute_70 and the like, without contraction to FMA."""
    import nvidia.cuda_nvrtc
    import nvidia.cuda_runtime

    nvrtc = ctypes.CDLL(f"{nvidia.cuda_nvrtc.__path__[0]}/lib/libnvrtc.so.12")
    program = ctypes.c_void_p()
    text = source.read_bytes()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, source.name.encode(), 0, None, None)
    options = [
        f"--gpu-architecture=compute_{compute}",
        "--std=c++17",
        "--fmad=false",
        f"-I{nvidia.cuda_runtime.__path__[0]}/include",
    ]
    arguments = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
    failed = nvrtc.nvrtcCompileProgram(program, len(options), arguments)
    what = "ProgramLog" if failed else "PTX"
    size = ctypes.c_size_t()
    getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    result = ctypes.create_string_buffer(size.value)
    getattr(nvrtc, f"nvrtcGet{what}")(program, result)
    if failed:
        raise RuntimeError(result.value.decode())
    return result.value.decode()


def update(
    library_dir: pathlib.Path,
    ptx: str,
    name: str,
    capacity: int,
    averages: np.ndarray,
    variables: np.ndarray,
    starts: Sequence[int],
    sizes: Sequence[int],
    skips: Sequence[int],
    decay: float,
) -> np.ndarray:
    """The averages after one launch of an update kernel over pairs that lie in two arenas.

    Pair i has sizes[i] elements and begins skips[i] elements after starts[i], in both arenas.
    """
    driver = driver_of(library_dir)
    arenas = [driver.buffer(averages), driver.buffer(variables)]
    rate = driver.buffer(np.array([decay], np.float32))
    columns = np.zeros((3, capacity), np.uint64)
    for i, (start, size, skip) in enumerate(zip(starts, sizes, skips)):
        offset = (int(start) + skip) * averages.itemsize
        columns[:, i] = [*(arena.address + offset for arena in arenas), size]
    ends = np.zeros(capacity, np.uint32)
    ends[: len(sizes)] = np.cumsum([-(-size // CHUNK) for size in sizes])
    tail = struct.pack("<IIQ", len(sizes), int(ends.max()), rate.address)
    table = columns.tobytes() + ends.tobytes() + tail
    driver.module(ptx).launch(name, 7, 256, [table])
    driver.synchronize()
    return arenas[0].read()
