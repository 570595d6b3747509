"""Puts another version's cuBLAS in place of the stand-ins, if it works: PREFIX/cublas.py FOLDER.

TensorFlow asks for libcublas.so.12 by name. A later major version keeps the entry points that
matrix products use, which is tried before anything is replaced: one product of float32 matrices.
"""

import ctypes
import sys
from pathlib import Path

CUDA = Path(__file__).resolve().parent / "cuda"
NAMES = {"cublasLt": "libcublasLt.so.12", "cublas": "libcublas.so.12"}


class FailedError(Exception):
    """A call into CUDA gave an error."""


def check(status: int, name: str) -> None:
    """Raises FailedError unless the status of a call is 0."""
    if status:
        message = f"{name} gave status {status}"
        raise FailedError(message)


def product(cublas: ctypes.CDLL, runtime: ctypes.CDLL) -> list[float]:
    """The product of [[1, 2], [3, 4]] with itself, column by column."""
    floats = (ctypes.c_float * 4)(1, 3, 2, 4)
    size, to_device, to_host = ctypes.c_size_t(ctypes.sizeof(floats)), 1, 2
    a, c = ctypes.c_void_p(), ctypes.c_void_p()
    for pointer in (a, c):
        check(runtime.cudaMalloc(ctypes.byref(pointer), size), "cudaMalloc")
    check(runtime.cudaMemcpy(a, floats, size, to_device), "cudaMemcpy")
    handle = ctypes.c_void_p()
    check(cublas.cublasCreate_v2(ctypes.byref(handle)), "cublasCreate")
    one, zero = (ctypes.byref(ctypes.c_float(value)) for value in (1, 0))
    status = cublas.cublasSgemm_v2(handle, 0, 0, 2, 2, 2, one, a, 2, a, 2, zero, c, 2)
    check(status, "cublasSgemm")
    check(runtime.cudaMemcpy(floats, c, size, to_host), "cudaMemcpy")
    return list(floats)


def main() -> None:
    """The command line."""
    folder = Path(sys.argv[1])
    found = {}
    for name in NAMES:
        paths = sorted(folder.glob(f"lib{name}.so.*"))
        if not paths:
            sys.exit(f"error: FOLDER must hold lib{name}.so. Received: {folder}")
        found[name] = paths[-1].resolve()
    libraries = {name: ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL) for name, path in found.items()}
    try:
        result = product(libraries["cublas"], ctypes.CDLL(str(CUDA / "libcudart.so.12")))
    except FailedError as error:
        sys.exit(
            f"error: cuBLAS must multiply two matrices; nothing was replaced. Received: {error}"
        )
    if result != [7, 15, 10, 22]:
        sys.exit(f"error: cuBLAS must multiply right; nothing was replaced. Received: {result}")
    for name, target in NAMES.items():
        (CUDA / target).unlink()
        (CUDA / target).symlink_to(found[name])


if __name__ == "__main__":
    main()
