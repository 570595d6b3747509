"""The emulated GPU: loads, stores, atomics, in every space and by every kind of address."""

from __future__ import annotations

import numpy as np
import pytest

from gpu_emulator import opcodes
from gpu_emulator.scripts import IN_OUT, THREAD, entry


@pytest.mark.parametrize("kind", sorted(set(opcodes.WIDTHS) - {"pred", "f16x2", "bf16", "bf16x2"}))
@pytest.mark.parametrize("space", ["", "global", "shared", "local"])
def test_load_and_store(worker, space: str, kind: str) -> None:
    """Every type through every space; a narrow signed number arrives extended by its sign."""
    width = opcodes.WIDTHS[kind]
    data = np.random.default_rng(0).integers(0, 256, 32 * width // 8, np.uint8)
    register, bits = {8: "h0", 16: "h0", 32: "r1", 64: "x3"}[width], f"b{width}"
    cell = {"shared": "[x4]", "local": "[buffer]"}.get(space, "[x1]")
    dot = f".{space}" if space else ""
    store = f"ld.global.{bits} {register}, [x2]; st{dot}.{bits} {cell}, {register};"
    load = f"ld{dot}.{kind} {register}, {cell}; st.global.{bits} [x1], {register};"
    body = IN_OUT.format(bytes=width // 8) + store + load
    if space in ("shared", "local"):  # a cell a thread, in shared memory x4
        body = f".{space} .align 8 .b8 buffer[256]; mov.u64 x4, buffer;" + body
        body = body.replace("st.", "add.u64 x4, x4, x0; st.", 1)
    text = entry(".u64 out, .u64 in", body)
    np.testing.assert_array_equal(
        worker(opcodes.launch, text, "kernel", 1, 32, [np.zeros_like(data), data])[0], data
    )


@pytest.mark.parametrize("kind", ["s8", "s16", "s32", "u8", "u16", "u32"])
def test_load_extends_to_the_register(worker, kind: str) -> None:
    width = opcodes.WIDTHS[kind]
    values = np.arange(-16, 16).astype(f"{'int' if kind[0] == 's' else 'uint'}{width}")
    body = THREAD.format(bytes=width // 8) + "ld.param.u64 x2, [in]; add.u64 x2, x2, x0;"
    body += f"ld.global.{kind} x3, [x2]; mul.wide.u32 x0, r0, 8; ld.param.u64 x1, [out];"
    body += "add.u64 x1, x1, x0; st.global.u64 [x1], x3;"
    out = worker(
        opcodes.launch, entry(".u64 out, .u64 in", body), "kernel", 1, 32,
        [np.zeros(32, np.int64), values],
    )[0]  # fmt: skip
    np.testing.assert_array_equal(out, values.astype(np.int64))


@pytest.mark.parametrize("vector", ["v2.b8", "v4.b8", "v2.u16", "v4.b16", "v2.b32", "v4.u32",
                                    "v2.f32", "v4.f32", "v2.b64", "v2.u64", "v2.f64"])  # fmt: skip
@pytest.mark.parametrize("hint", ["", ".nc", ".cs", ".cg", ".ca", ".lu", ".L1::no_allocate",
                                  ".nc.L1::evict_first", ".volatile"])  # fmt: skip
def test_vector_load_and_store(worker, vector: str, hint: str) -> None:
    count, width = int(vector[1]), opcodes.WIDTHS[vector[3:]]
    data = np.random.default_rng(1).integers(0, 256, 32 * count * width // 8, np.uint8)
    names = ", ".join(
        f"{ {8: 'h', 16: 'h', 32: 'r', 64: 'x'}[width] }{3 + i}" for i in range(count)
    )
    body = IN_OUT.format(bytes=count * width // 8)
    body += f"ld.global{hint}.{vector} {{{names}}}, [x2]; st.global.{vector} [x1], {{{names}}};"
    text = entry(".u64 out, .u64 in", body)
    out = worker(opcodes.launch, text, "kernel", 1, 32, [np.zeros_like(data), data])[0]
    np.testing.assert_array_equal(out, data)


@pytest.mark.parametrize("hint", ["wb", "cg", "cs", "wt", "L1::no_allocate", "L1::evict_first",
                                  "volatile"])  # fmt: skip
def test_store_hints(worker, hint: str) -> None:
    body = THREAD.format(bytes=4) + "ld.param.u64 x1, [out]; add.u64 x1, x1, x0;"
    text = entry(".u64 out", body + f"st.global.{hint}.u32 [x1], r0;")
    out = worker(opcodes.launch, text, "kernel", 1, 32, [np.zeros(32, np.uint32)])[0]
    np.testing.assert_array_equal(out, np.arange(32))


def test_parameters_are_read_by_name_register_and_generic_address(worker) -> None:
    table = np.arange(32, dtype=np.uint32)
    body = THREAD.format(bytes=4) + "ld.param.u64 x1, [out]; add.u64 x1, x1, x0;"
    body += "mov.b64 x2, table; add.u64 x2, x2, x0; ld.param.u32 r1, [x2];"  # element i
    body += "cvta.param.u64 x3, x2; ld.u32 r2, [x3];"  # the same
    body += "ld.param.v2.u32 {r3, r4}, [table+120];"  # 30 and 31
    body += "ld.param.u32 r5, [x1+-0];".replace("x1+-0", "table+4")  # 1
    body += "add.u32 r1, r1, r2; add.u32 r1, r1, r3; add.u32 r1, r1, r4; add.u32 r1, r1, r5;"
    text = entry(".u64 out, .align 8 .b8 table[128]", body + "st.global.u32 [x1], r1;")
    out = worker(opcodes.launch, text, "kernel", 1, 32, [np.zeros(32, np.uint32), table.tobytes()])[
        0
    ]
    np.testing.assert_array_equal(out, 2 * table + 62)


@pytest.mark.parametrize("space", ["global", "shared"])
@pytest.mark.parametrize("kind", ["u32", "s32", "f32", "f64"])
def test_atomic_add(worker, space: str, kind: str) -> None:
    dtype = {"u32": np.uint32, "s32": np.int32, "f32": np.float32, "f64": np.float64}[kind]
    register, old = ("x3", "x4") if kind == "f64" else ("r1", "r2")
    size = np.dtype(dtype).itemsize
    body = THREAD.format(bytes=size) + "ld.param.u64 x5, [in]; add.u64 x5, x5, x0;"
    body += f"ld.global.{kind} {register}, [x5]; ld.param.u64 x1, [out];"
    if space == "global":
        body += f"atom.global.add.{kind} {old}, [x1+{size}], {register};"
    else:
        body += f".shared .{kind} cell[2]; setp.ne.u32 p0, r0, 0; @p0 bra READY;"
        body += (
            f"ld.global.{kind} {old}, [x1+{size}]; st.shared.{kind} [cell+{size}], {old}; READY:"
        )
        body += f"bar.sync 0; atom.shared.add.{kind} {old}, [cell+{size}], {register}; bar.sync 0;"
        body += (
            f"ld.shared.{kind} {register}, [cell+{size}]; st.global.{kind} [x1+{size}], {register};"
        )
    values = np.arange(1, 65).astype(dtype)
    start = np.array([7, 100], dtype)
    text = entry(".u64 out, .u64 in", body)
    out = worker(opcodes.launch, text, "kernel", 1, 64, [start, values])[0]
    np.testing.assert_array_equal(out, np.array([7, 100 + values.sum()], dtype))


@pytest.mark.parametrize("kind", ["b32", "b64"])
def test_atomic_exchange(worker, kind: str) -> None:
    """Every thread gets what another one, or nobody, has left there."""
    size = opcodes.WIDTHS[kind] // 8
    new, old = ("x3", "x4") if kind == "b64" else ("r1", "r2")
    body = THREAD.format(bytes=size) + "ld.param.u64 x5, [in]; add.u64 x5, x5, x0;"
    body += f"ld.global.{kind} {new}, [x5]; ld.param.u64 x1, [out];"
    body += f"atom.global.exch.{kind} {old}, [x1], {new};"
    body += f"add.u64 x1, x1, x0; st.global.{kind} [x1+{size}], {old};"
    values = np.arange(1, 65).astype(opcodes.BITS[8 * size]) << (8 * size - 8)
    text = entry(".u64 out, .u64 in", body)
    out = worker(opcodes.launch, text, "kernel", 1, 64, [np.zeros_like(values, shape=65), values])
    assert sorted(out[0]) == [0, *values]


def test_global_f32_atomics_flush_subnormal_numbers_and_shared_ones_do_not(worker) -> None:
    body = "ld.param.u64 x1, [out]; atom.global.add.f32 r1, [x1], 0f00000001;"
    body += ".shared .f32 cell[1]; st.shared.f32 [cell], 0f00000000;"
    body += "atom.shared.add.f32 r1, [cell], 0f00000001; ld.shared.f32 r2, [cell];"
    text = entry(".u64 out", body + "st.global.f32 [x1+4], r2;")
    out = worker(opcodes.launch, text, "kernel", 1, 1, [np.zeros(2, np.uint32)])[0]
    assert out.tolist() == [0, 1]
