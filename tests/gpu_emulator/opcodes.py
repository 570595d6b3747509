"""Runs one PTX instruction over arrays of bit patterns, or a whole kernel.

An instruction is written with the registers d, a, b, c, as in "add.s32 d, a, b;". A value's type is
a PTX type, or "pred". Each element is computed by one thread.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Sequence

import numpy as np

from .driver import Buffer, Driver

WIDTHS = {
    "pred": 8, "b8": 8, "u8": 8, "s8": 8, "b16": 16, "u16": 16, "s16": 16, "f16": 16, "bf16": 16,
    "b32": 32, "u32": 32, "s32": 32, "f32": 32, "f16x2": 32, "bf16x2": 32,
    "b64": 64, "u64": 64, "s64": 64, "f64": 64,
}  # fmt: skip
BITS = {8: np.uint8, 16: np.uint16, 32: np.uint32, 64: np.uint64}

_KERNEL = """.version 8.0
.target sm_70
.address_size 64
.visible .entry kernel(
  .param .u64 out, .param .u64 in_a, .param .u64 in_b, .param .u64 in_c, .param .u64 count)
{{
  .reg .pred done, {predicates};
  .reg .b16 {shorts};
  .reg .b32 {words};
  .reg .b64 {doubles};
  mov.u32 block, %ctaid.x;
  mov.u32 size, %ntid.x;
  mov.u32 thread, %tid.x;
  mad.lo.u32 thread, block, size, thread;
  cvt.u64.u32 index, thread;
  ld.param.u64 limit, [count];
  setp.ge.u64 done, index, limit;
  @done bra END;
  {body}
END:
  ret;
}}
"""


def kernel(instruction: str, inputs: Sequence[str], output: str) -> str:
    """The text of a kernel that applies the instruction to element i of each input."""
    registers: dict[int, list[str]] = {
        1: ["p", "q"],
        16: ["byte"],
        32: ["block", "size", "thread", "word"],
        64: ["index", "limit", "address", "offset"],
    }
    body = []
    for name, kind in zip("abc", inputs):
        width = WIDTHS[kind]
        registers[1 if kind == "pred" else max(width, 16)].append(name)
        body += _address(f"in_{name}", width)
        if kind == "pred":
            body += ["ld.global.u8 byte, [address];", f"setp.ne.b16 {name}, byte, 0;"]
        else:
            body += [f"ld.global.b{width} {name}, [address];"]
    width = WIDTHS[output]
    registers[1 if output == "pred" else max(width, 16)].append("d")
    body += [instruction, *_address("out", width)]
    if output == "pred":
        body += ["selp.u16 byte, 1, 0, d;", "st.global.u8 [address], byte;"]
    else:
        body += [f"st.global.b{width} [address], d;"]
    return _KERNEL.format(
        predicates=", ".join(registers[1]),
        shorts=", ".join(registers[16]),
        words=", ".join(registers[32]),
        doubles=", ".join(registers[64]),
        body="\n  ".join(body),
    )


def _address(parameter: str, width: int) -> list[str]:
    return [
        f"ld.param.u64 address, [{parameter}];",
        f"mul.lo.u64 offset, index, {width // 8};",
        "add.u64 address, address, offset;",
    ]


@functools.cache
def driver_of(library_dir: pathlib.Path) -> Driver:
    """The driver of a library folder, opened once a process."""
    return Driver(library_dir / "libcuda.so.1")


def launch(
    library_dir: pathlib.Path,
    ptx: str,
    name: str,
    grid: int,
    block: int,
    arrays: Sequence[np.ndarray | int | bytes],
    shared_bytes: int = 0,
) -> list[np.ndarray]:
    """Runs a kernel over arrays, which it may write, and values; returns the arrays."""
    driver = driver_of(library_dir)
    parameters = [driver.buffer(p) if isinstance(p, np.ndarray) else p for p in arrays]
    module = driver.module(ptx)
    module.launch(name, grid, block, parameters, shared_bytes=shared_bytes)
    driver.synchronize()
    buffers = [parameter for parameter in parameters if isinstance(parameter, Buffer)]
    results = [buffer.read() for buffer in buffers]
    for buffer in buffers:
        buffer.free()
    return results


def run(
    library_dir: pathlib.Path,
    instruction: str,
    inputs: Sequence[str],
    output: str,
    arrays: list[np.ndarray],
) -> np.ndarray:
    """The bits that the instruction gives for the inputs' bits, all arrays of unsigned integers."""
    count = arrays[0].size
    result = np.zeros(count, BITS[WIDTHS[output]])
    parameters: list[np.ndarray | int | bytes] = [result, *arrays, *[0] * (3 - len(arrays)), count]
    text = kernel(instruction, inputs, output)
    return launch(library_dir, text, "kernel", -(-count // 96), 96, parameters)[0]
