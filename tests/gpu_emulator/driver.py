"""A small client of the CUDA driver API, for tests that launch kernels without TensorFlow.

driver = Driver(library)
buffer = driver.buffer(numpy.arange(4, dtype=numpy.float32))
driver.module(ptx).launch("kernel", grid=1, block=4, parameters=[buffer, 4])
driver.synchronize()
buffer.read()
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from typing import Any

import numpy as np


class DriverError(RuntimeError):
    """An entry point that did not return CUDA_SUCCESS."""

    def __init__(self, entry_point: str, code: int, name: str) -> None:
        super().__init__(f"{entry_point}: {name} ({code})")
        self.code = code
        self.name = name


class Driver:
    """The driver library at a path, with the primary context of a device current."""

    def __init__(self, library: str | os.PathLike[str], device: int = 0) -> None:
        self._library = ctypes.CDLL(os.fspath(library))
        self.call("cuInit", 0)
        context = ctypes.c_void_p()
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.call("cuCtxSetCurrent", context)

    def call(self, entry_point: str, *arguments: Any) -> None:
        code = getattr(self._library, entry_point)(*arguments)
        if code:
            raise DriverError(entry_point, code, self.error_name(code))

    def error_name(self, code: int) -> str:
        name = ctypes.c_char_p()
        self._library.cuGetErrorName(code, ctypes.byref(name))
        return (name.value or b"unknown").decode()

    def integer(self, entry_point: str, *arguments: Any) -> int:
        """What an entry point writes to the int that its first argument points to."""
        value = ctypes.c_int()
        self.call(entry_point, ctypes.byref(value), *arguments)
        return value.value

    def buffer(self, array: np.ndarray, offset: int = 0) -> Buffer:
        return Buffer(self, array, offset)

    def module(self, image: str | bytes) -> Module:
        return Module(self, image.encode() if isinstance(image, str) else image)

    def stream(self, non_blocking: bool = True) -> ctypes.c_void_p:
        stream = ctypes.c_void_p()
        self.call("cuStreamCreate", ctypes.byref(stream), int(non_blocking))
        return stream

    def event(self) -> ctypes.c_void_p:
        event = ctypes.c_void_p()
        self.call("cuEventCreate", ctypes.byref(event), 0)
        return event

    def synchronize(self) -> None:
        self.call("cuCtxSynchronize")


class Buffer:
    """Device memory that begins `offset` bytes into an allocation and ends with it."""

    def __init__(self, driver: Driver, array: np.ndarray, offset: int = 0) -> None:
        self._driver = driver
        self._like = array
        base = ctypes.c_uint64()
        driver.call("cuMemAlloc_v2", ctypes.byref(base), ctypes.c_size_t(array.nbytes + offset))
        self._base = base
        self.address = base.value + offset
        self.write(array)

    def write(self, array: np.ndarray) -> None:
        source = np.ascontiguousarray(array)
        self._driver.call(
            "cuMemcpyHtoD_v2",
            ctypes.c_uint64(self.address),
            ctypes.c_void_p(source.ctypes.data),
            ctypes.c_size_t(source.nbytes),
        )

    def read(self) -> np.ndarray:
        array = np.empty_like(self._like)
        self._driver.call(
            "cuMemcpyDtoH_v2",
            ctypes.c_void_p(array.ctypes.data),
            ctypes.c_uint64(self.address),
            ctypes.c_size_t(array.nbytes),
        )
        return array

    def free(self) -> None:
        self._driver.call("cuMemFree_v2", self._base)


class Module:
    """A loaded module."""

    def __init__(self, driver: Driver, image: bytes) -> None:
        self._driver = driver
        self._image = ctypes.create_string_buffer(image)
        self.handle = ctypes.c_void_p()
        driver.call("cuModuleLoadData", ctypes.byref(self.handle), self._image)

    def function(self, name: str) -> ctypes.c_void_p:
        function = ctypes.c_void_p()
        self._driver.call("cuModuleGetFunction", ctypes.byref(function), self.handle, name.encode())
        return function

    def launch(
        self,
        name: str,
        grid: int,
        block: int,
        parameters: Sequence[Buffer | int | bytes],
        *,
        shared_bytes: int = 0,
        stream: ctypes.c_void_p | None = None,
    ) -> None:
        """Launches a kernel. A Buffer is passed as its address, an int in 8 bytes."""
        values = []
        for parameter in parameters:
            value = parameter.address if isinstance(parameter, Buffer) else parameter
            if isinstance(value, int):
                value = value.to_bytes(8, "little", signed=value < 0)
            values.append(ctypes.create_string_buffer(value, len(value)))
        pointers = (ctypes.c_void_p * len(values))(*[ctypes.addressof(value) for value in values])
        shape = (grid, 1, 1, block, 1, 1)
        self._driver.call(
            "cuLaunchKernel", self.function(name), *shape, shared_bytes, stream, pointers, None
        )
