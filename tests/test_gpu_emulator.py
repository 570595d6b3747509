"""The emulated GPU: memory, control flow, faults, streams, images, options, and TensorFlow on it.

The instructions themselves are in test_gpu_emulator_opcodes.py.
"""

from __future__ import annotations

import pathlib
import re
import struct
import subprocess
import sys
import textwrap
from collections.abc import Callable

import numpy as np
import pytest
from gpu_emulator import environment, kernels, opcodes

HEADER = ".version 8.0\n.target sm_70\n.address_size 64\n"
KERNELS = pathlib.Path(opcodes.__file__).with_name("kernels.cu")
SCRIPT = """
import ctypes, os, time
import numpy as np
from gpu_emulator.driver import Driver, DriverError
driver = Driver(os.environ["LD_LIBRARY_PATH"].split(":")[0] + "/libcuda.so.1")
"""
Script = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def script(emulator_libraries: pathlib.Path) -> Script:
    """Runs Python code on the emulated GPU in a process of its own, with options by name."""

    def run(code: str, *, prelude: str = SCRIPT, **options: object) -> subprocess.CompletedProcess:
        variables = environment.environment(emulator_libraries, **options)
        variables["PYTHONPATH"] = str(pathlib.Path(__file__).parent)
        return subprocess.run(
            [sys.executable, "-c", prelude + textwrap.dedent(code)],
            env=variables, capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    return run


def passes(done: subprocess.CompletedProcess) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def dies(done: subprocess.CompletedProcess) -> str:
    """The report of a process that the emulator aborted."""
    assert done.returncode == -6, (done.returncode, done.stdout, done.stderr)
    reports = re.findall(r"^GPU emulator: (.*)$", done.stderr, re.MULTILINE)
    assert len(reports) == 1, done.stderr
    return reports[0]


def entry(parameters: str, body: str, name: str = "kernel", declarations: str = "") -> str:
    """A module of one kernel with registers h0.. (16 bits), r0.. (32), x0.. (64) and p0.. ."""
    listed = ", ".join(f".param {parameter}" for parameter in parameters.split(", ") if parameter)
    return f"""{HEADER}{declarations}
.visible .entry {name}({listed})
{{
  .reg .pred p<4>;
  .reg .b16 h<8>;
  .reg .b32 r<12>;
  .reg .b64 x<12>;
  {body}
  ret;
}}
"""


THREAD = "mov.u32 r0, %tid.x; mul.wide.u32 x0, r0, {bytes};"
# x1 is the thread's element of `out`, x2 of `in`, both of {bytes} bytes.
IN_OUT = (
    THREAD
    + "ld.param.u64 x1, [out]; add.u64 x1, x1, x0; ld.param.u64 x2, [in]; add.u64 x2, x2, x0;"
)


# Memory. ------------------------------------------------------------------------------------------


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


def test_global_f32_atomics_flush_subnormal_numbers_and_shared_ones_do_not(worker) -> None:
    body = "ld.param.u64 x1, [out]; atom.global.add.f32 r1, [x1], 0f00000001;"
    body += ".shared .f32 cell[1]; st.shared.f32 [cell], 0f00000000;"
    body += "atom.shared.add.f32 r1, [cell], 0f00000001; ld.shared.f32 r2, [cell];"
    text = entry(".u64 out", body + "st.global.f32 [x1+4], r2;")
    out = worker(opcodes.launch, text, "kernel", 1, 1, [np.zeros(2, np.uint32)])[0]
    assert out.tolist() == [0, 1]


# Control flow. ------------------------------------------------------------------------------------


def test_divergent_loops_and_guards(worker) -> None:
    """The length of each thread's Collatz sequence: lanes leave a loop at different times."""
    body = """
  mov.u32 r1, %ctaid.x; mov.u32 r2, %ntid.x; mov.u32 r3, %tid.x; mad.lo.u32 r0, r1, r2, r3;
  add.u32 r4, r0, 1; mov.u32 r5, 0;
LOOP:
  setp.eq.u32 p0, r4, 1;
  @p0 bra.uni DONE;
  and.b32 r6, r4, 1;
  setp.eq.u32 p1, r6, 1;
  @p1 bra ODD;
  shr.u32 r4, r4, 1;
  bra NEXT;
ODD:
  mad.lo.u32 r4, r4, 3, 1;
NEXT:
  add.u32 r5, r5, 1;
  bra LOOP;
DONE:
  setp.gt.u32 p2, r5, 100;
  @p2 mov.u32 r5, 100;
  @!p2 add.u32 r5, r5, 1000;
  mul.wide.u32 x0, r0, 4; ld.param.u64 x1, [out]; add.u64 x1, x1, x0; st.global.u32 [x1], r5;
  exit;"""

    def steps(n: int) -> int:
        count = 0
        while n != 1:
            n, count = (3 * n + 1 if n % 2 else n // 2), count + 1
        return 100 if count > 100 else count + 1000

    text = entry(".u64 out", body)
    out = worker(opcodes.launch, text, "kernel", 3, 70, [np.zeros(210, np.uint32)])[0]
    assert out.tolist() == [steps(n) for n in range(1, 211)]


def test_lanes_join_after_a_divergent_branch(worker) -> None:
    """A shuffle needs all lanes at once, also after some of them took another way."""
    body = THREAD.format(bytes=4) + "ld.param.u64 x1, [out]; add.u64 x1, x1, x0; and.b32 r1, r0, 1;"
    body += "mov.u32 r2, r0; setp.ne.u32 p0, r1, 0; @p0 bra JOIN; add.u32 r2, r2, 100; JOIN:"
    body += "shfl.sync.bfly.b32 r3, r2, 1, 31, -1;"
    text = entry(".u64 out", body + "st.global.u32 [x1], r3;")
    out = worker(opcodes.launch, text, "kernel", 1, 32, [np.zeros(32, np.uint32)])[0]
    assert out.tolist() == [lane ^ 1 if lane % 2 == 0 else (lane ^ 1) + 100 for lane in range(32)]


def test_block_and_grid_registers_and_lanes(worker) -> None:
    names = [f"{name}.{axis}" for name in ("tid", "ntid", "ctaid", "nctaid") for axis in "xyz"]
    names.append("laneid")
    body = "mov.u32 r0, %tid.x; mov.u32 r1, %ctaid.x; mad.lo.u32 r0, r1, 48, r0;"
    body += f"mul.wide.u32 x0, r0, {4 * len(names)}; ld.param.u64 x1, [out]; add.u64 x1, x1, x0;"
    for i, name in enumerate(names):
        body += f"mov.u32 r2, %{name}; st.global.u32 [x1+{4 * i}], r2;"
    out = worker(
        opcodes.launch, entry(".u64 out", body), "kernel", 2, 48,
        [np.zeros(2 * 48 * len(names), np.uint32)],
    )[0].reshape(2, 48, len(names))  # fmt: skip
    for block in range(2):
        for thread in range(48):
            want = [thread, 0, 0, 48, 1, 1, block, 0, 0, 2, 1, 1, thread % 32]
            assert out[block, thread].tolist() == want


def test_barrier_and_dynamic_shared_memory(worker) -> None:
    """Each thread reads what a thread of another warp wrote before the barrier."""
    body = THREAD.format(bytes=4) + "mov.u64 x4, pool; add.u64 x4, x4, x0; mul.lo.u32 r1, r0, 3;"
    body += "st.shared.u32 [x4], r1; bar.sync 0; mov.u32 r2, 127; sub.u32 r2, r2, r0;"
    body += "mul.wide.u32 x5, r2, 4; mov.u64 x4, pool; add.u64 x4, x4, x5; ld.shared.u32 r3, [x4];"
    body += "ld.param.u64 x1, [out]; add.u64 x1, x1, x0; st.global.u32 [x1], r3;"
    text = entry(".u64 out", body, declarations=".extern .shared .align 16 .b8 pool[];")
    out = worker(opcodes.launch, text, "kernel", 4, 128, [np.zeros(128, np.uint32)], 512)[0]
    np.testing.assert_array_equal(out, 3 * np.arange(127, -1, -1))


@pytest.mark.parametrize(
    ("mode", "b", "c", "source"),
    [
        ("up", 3, 0, lambda lane: lane - 3),
        ("up", 1, 24 << 8, lambda lane: lane - 1 if lane % 8 else -1),
        ("down", 16, 31, lambda lane: lane + 16),
        ("down", 2, 24 << 8 | 31, lambda lane: lane + 2 if lane % 8 < 6 else -1),
        ("bfly", 5, 31, lambda lane: lane ^ 5),
        ("idx", 7, 31, lambda lane: 7),
        ("idx", 3, 16 << 8 | 31, lambda lane: lane // 16 * 16 + 3),
    ],
)
def test_shuffle(worker, mode: str, b: int, c: int, source: Callable[[int], int]) -> None:
    body = (
        THREAD.format(bytes=8) + "ld.param.u64 x1, [out]; add.u64 x1, x1, x0; mul.lo.u32 r1, r0, 7;"
    )
    body += f"shfl.sync.{mode}.b32 r2|p0, r1, {b}, {c}, -1; selp.u32 r3, 1, 0, p0;"
    text = entry(".u64 out", body + "st.global.v2.u32 [x1], {r2, r3};")
    out = worker(opcodes.launch, text, "kernel", 1, 32, [np.zeros((32, 2), np.uint32)])[0]
    for lane in range(32):
        valid = 0 <= source(lane) < 32
        assert out[lane].tolist() == [7 * (source(lane) if valid else lane), valid]


# Kernels of a compiler. ---------------------------------------------------------------------------


def compiled(compute: int) -> str:
    pytest.importorskip("nvidia.cuda_nvrtc")
    return kernels.compile_ptx(KERNELS, compute)


def multi_tensor(worker, ptx: str, name: str, capacity: int, dtype: np.dtype, count: int) -> None:
    """One launch over `count` pairs in two arenas, sizes around the vector and chunk boundaries."""
    rng = np.random.default_rng(count)
    sizes = [1, 2, 3, 7, 8, 9, 1023, 1024, 1025, 3000] + [
        int(n) for n in rng.integers(1, 40, count)
    ]
    sizes = sizes[:count]
    skips = [int(n) for n in rng.integers(0, 2, count)]
    starts = np.cumsum([0] + [-(-n // 8) * 8 + 8 for n in sizes])
    averages = rng.standard_normal(starts[-1]).astype(dtype)
    variables = rng.standard_normal(starts[-1]).astype(dtype)
    out = worker(
        kernels.update, ptx, name, capacity, averages, variables, starts, sizes, skips, 0.99
    )
    want = averages.copy()
    rate = np.float32(1) - np.float32(0.99)
    for start, size, skip in zip(starts, sizes, skips):
        part = slice(start + skip, start + skip + size)
        old, new = averages[part].astype(np.float32), variables[part].astype(np.float32)
        want[part] = (old - (old - new) * rate).astype(dtype)
    np.testing.assert_array_equal(out.view(np.uint8), want.view(np.uint8))


@pytest.mark.parametrize("compute", [70, 80, 90])
@pytest.mark.parametrize("kind", ["f32", "f16", "bf16"])
def test_compiled_multi_tensor_update(worker, compute: int, kind: str) -> None:
    import ml_dtypes

    dtype = {"f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}[kind]
    multi_tensor(worker, compiled(compute), f"update_{kind}", 128, np.dtype(dtype), 100)


def test_compiled_update_with_large_parameters(worker) -> None:
    multi_tensor(worker, compiled(80), "update_f32_large", 1024, np.dtype(np.float32), 1000)


@pytest.mark.parametrize("compute", [70, 80, 90])
def test_compiled_reduction_with_barriers(worker, compute: int) -> None:
    values = np.random.default_rng(0).integers(-50, 50, 1000).astype(np.float32)
    arrays = [values, np.zeros(4, np.float32), 1000]
    sums = worker(opcodes.launch, compiled(compute), "sum", 4, 256, arrays)[1]
    padded = np.concatenate([values, np.zeros(24, np.float32)]).reshape(4, 256)
    np.testing.assert_array_equal(sums, padded.sum(axis=1))


# Faults. ------------------------------------------------------------------------------------------

STORE = entry(
    ".u64 out, .u64 offset",
    "mov.u32 r0, %tid.x;\nmov.u32 r1, %ctaid.x; mad.lo.u32 r0, r1, 32, r0;\n"
    "mul.wide.u32 x0, r0, 4;\n"
    "ld.param.u64 x1, [out]; ld.param.u64 x2, [offset]; add.u64 x1, x1, x0; add.u64 x1, x1, x2;\n"
    "st.global.u32 [x1], r0;",
)
STORE_LINE = 1 + STORE[: STORE.index("st.global")].count("\n")


def run_kernel(text: str, *parameters: str, block: int = 1) -> str:
    return f"""
out = driver.buffer(np.zeros(64, np.uint32))
driver.module({text!r}).launch("kernel", 2, {block}, [{", ".join(parameters)}])
driver.synchronize()
"""


def test_access_within_its_allocation_passes(script: Script) -> None:
    passes(script(run_kernel(STORE, "out", "0", block=32)))


def test_access_past_its_allocation_is_reported(script: Script) -> None:
    report = dies(script(run_kernel(STORE, "out", "4", block=32)))
    assert f"kernel kernel, PTX line {STORE_LINE}, block (1, 0, 0), thread (31, 0, 0)" in report
    assert "access of 4 bytes at 0x" in report
    assert "256 bytes at 0x" in report and "the address is 256 bytes into it" in report


def test_access_across_the_end_of_its_allocation_is_reported(script: Script) -> None:
    code = "odd = driver.buffer(np.zeros(255, np.uint8))" + run_kernel(STORE, "odd", "0", block=32)
    report = dies(script(code))
    assert "255 bytes at 0x" in report and "the address is 252 bytes into it" in report


def test_access_before_its_allocation_is_reported(script: Script) -> None:
    report = dies(script(run_kernel(STORE, "out", "-4", block=32)))
    assert "block (0, 0, 0), thread (0, 0, 0): access of 4 bytes" in report


def test_misaligned_access_is_reported(script: Script) -> None:
    report = dies(script(run_kernel(STORE, "out", "2")))
    assert f"PTX line {STORE_LINE}, block (" in report
    assert "misaligned access of 4 bytes" in report


def test_a_vector_needs_the_alignment_of_the_whole(script: Script) -> None:
    body = "ld.param.u64 x1, [out]; ld.global.v4.u32 {r0, r1, r2, r3}, [x1+8];"
    assert "misaligned access of 16 bytes" in dies(
        script(run_kernel(entry(".u64 out", body), "out"))
    )


def test_access_to_freed_memory_is_reported(script: Script) -> None:
    code = "old = driver.buffer(np.zeros(64, np.uint32)); old.free()" + run_kernel(
        STORE, "old", "0"
    )
    assert "is outside the allocations of device 0" in dies(script(code))


def test_access_to_another_devices_memory_is_reported(script: Script) -> None:
    code = "other = Driver(driver._library._name, 1).buffer(np.zeros(64, np.uint32))\n"
    code += "driver = Driver(driver._library._name, 0)" + run_kernel(STORE, "other", "0")
    report = dies(script(code, devices=2))
    assert "outside the allocations of device 0" in report and "on device 1" in report


@pytest.mark.parametrize(
    ("body", "report"),
    [
        (
            ".shared .b8 cell[8]; ld.shared.u32 r0, [cell+8];",
            "outside the 8 bytes of shared memory",
        ),
        (".local .b8 cell[8]; ld.local.u64 x0, [cell+8];", "outside the 8 bytes of local memory"),
        ("ld.param.u32 r0, [out+8];", "outside the 8 bytes of parameter memory"),
        ("ld.param.u32 r0, [out+-4];", "outside the 8 bytes of parameter memory"),
        (
            ".shared .b8 c[8]; cvta.shared.u64 x0, c; ld.global.u32 r0, [x0];",
            "outside the allocations",
        ),
        (".shared .b8 c[8]; cvta.shared.u64 x0, c; cvta.to.local.u64 x0, x0;", "of another space"),
        ("trap;", "trap"),
        (
            "mov.u32 r0, %tid.x; shfl.sync.idx.b32 r1, r0, 5, 31, -1;",
            "reads lane 5, which takes no part",
        ),
    ],
)
def test_other_faults_are_reported(script: Script, body: str, report: str) -> None:
    assert report in dies(script(run_kernel(entry(".u64 out", body), "out")))


@pytest.mark.parametrize(
    ("body", "report"),
    [
        ("frob.u32 r0, r1;", "frob.u32: unknown opcode"),
        ("add.sat.s32 r0, r0, r1;", "add.sat.s32: .sat is not supported"),
        ("add.rz.f32 r0, r0, r1;", "add.rz.f32: .rz is not supported"),
        ("add.b32 r0, r0, r1;", "add.b32: its type is not supported"),
        ("add.ftz.f64 x0, x0, x1;", "add.ftz.f64: its type is not supported"),
        ("fma.rz.f32 r0, r0, r1, r2;", "fma.rz.f32: only .rn is supported"),
        ("mul.s32 r0, r0, r1;", "mul.s32: one of .lo, .hi and .wide is needed"),
        ("div.full.f32 r0, r0, r1;", "div.full.f32: only .rn is supported"),
        ("setp.lo.u32 p0, r0, r1;", "setp.lo.u32: its comparison is not supported"),
        ("cvt.f32.f64 r0, x0;", "cvt.f32.f64: only .rn is supported"),
        ("cvt.rz.f32.f64 r0, x0;", "cvt.rz.f32.f64: only .rn is supported"),
        ("cvt.u32.f32 r0, r1;", "cvt.u32.f32: a rounding is needed"),
        ("cvt.sat.u8.u32 r0, r1;", "cvt.sat.u8.u32: .sat is not supported"),
        ("ld.const.u32 r0, [x0];", "ld.const.u32: .const is not supported"),
        ("ld.shared.nc.u32 r0, [x0];", "ld.shared.nc.u32: .nc is not supported"),
        ("ld.global.v4.u64 {x0, x1, x2, x3}, [x4];", "wider than 16 bytes"),
        ("ld.global.v2.u32 {r0, r1, r2}, [x4];", "its vector has the wrong length"),
        ("st.param.u32 [out], r0;", "parameters cannot be written"),
        ("atom.global.max.u32 r0, [x0], r1;", "atom.global.max.u32: only .add is supported"),
        ("bar.sync 1;", "bar.sync: only barrier 0 is supported"),
        ("bar.arrive 0;", "bar.arrive: only .sync is supported"),
        ("mov.u32 r0, nothing;", "unknown operand 'nothing'"),
        ("mov.u32 5, r0;", "'5' is not a register"),
        ("bra NOWHERE;", "no label 'NOWHERE'"),
        ("add.u32 r0, r1, r2", "expected ';'"),
    ],
)
def test_what_the_emulator_does_not_know_is_refused(script: Script, body: str, report: str) -> None:
    text = entry(".u64 out", body)
    found = dies(script(run_kernel(text, "out")))
    assert "kernel kernel cannot be run: PTX line " in found
    assert report in found


def test_a_kernel_that_nobody_launches_may_hold_anything(script: Script) -> None:
    good = entry(".u64 out", "ret;", name="kernel")
    bad = entry(".u64 out", "frob;", name="other").removeprefix(HEADER)
    passes(script(run_kernel(good + bad, "out")))


def test_an_unknown_entry_point_dies(script: Script) -> None:
    report = dies(script("driver.call('cuGraphCreate', None, 0)"))
    assert report == "the entry point cuGraphCreate is not implemented"


def test_a_copy_out_of_bounds_dies(script: Script) -> None:
    code = "out = driver.buffer(np.zeros(4)); out.write(np.zeros(5))"
    assert "a copy to device memory, 40 bytes at 0x" in dies(script(code))


def test_host_code_cannot_follow_a_device_pointer(script: Script) -> None:
    done = script("ctypes.string_at(driver.buffer(np.zeros(4)).address, 1)")
    assert done.returncode == -11


# Launches and images. -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "options", "error"),
    [
        (4096, {"driver_version": 12000}, None),
        (4097, {"driver_version": 12000}, "CUDA_ERROR_INVALID_VALUE"),
        (4097, {"driver_version": 12010}, None),
        (32764, {}, None),
        (32765, {}, "CUDA_ERROR_INVALID_VALUE"),
        (4097, {"compute_capability": "6.1"}, "CUDA_ERROR_INVALID_VALUE"),
    ],
)
def test_parameter_limit(script: Script, size: int, options: dict, error: str | None) -> None:
    text = entry(f".b8 table[{size}]", "").replace("sm_70", "sm_60")
    done = script(
        f"driver.module({text!r}).launch('kernel', 1, 1, [bytes({size})])\n"
        "driver.synchronize()", **options
    )  # fmt: skip
    if error is None:
        passes(done)
    else:
        assert f"cuLaunchKernel: {error}" in done.stderr


@pytest.mark.parametrize(("grid", "block"), [(0, 1), (1, 0), (1, 1025), (1, 257)])
def test_impossible_shapes_are_refused(script: Script, grid: int, block: int) -> None:
    text = entry("", "").replace("\n{", "\n.maxntid 256, 1, 1\n{")
    done = script(f"driver.module({text!r}).launch('kernel', {grid}, {block}, [])")
    assert "cuLaunchKernel: CUDA_ERROR_INVALID_VALUE" in done.stderr


def fatbin(*entries: tuple[int, bytes, int]) -> bytes:
    """A fat binary of PTX: architecture, payload, and the size before compression or 0."""
    body = b""
    for architecture, payload, plain in entries:
        flags, compressed = (0x2000, len(payload)) if plain else (0, 0)
        head = (1, 0x101, 64, len(payload), compressed, 0, 0, architecture, 0, flags, 0, plain)
        body += struct.pack("<HHIQIIIIQQQQ", *head) + payload
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body


def lz4(text: bytes) -> bytes:
    """An LZ4 block: literals, a match 9 back that overlaps itself, and the rest as literals."""
    head = text.index(b"123123123123123123123123") + 9

    def literals(data: bytes, match: int) -> bytes:
        extra = b""
        if len(data) >= 15:
            rest = len(data) - 15
            extra = b"\xff" * (rest // 255) + bytes([rest % 255])
        return bytes([min(len(data), 15) << 4 | match]) + extra + data

    return literals(text[:head], 15 - 4) + struct.pack("<H", 9) + literals(text[head + 15 :], 0)


def test_images(script: Script) -> None:
    """A cubin and PTX for a newer device are refused, of a fat binary the newest PTX is taken."""
    text = entry(".u64 out", "ld.param.u64 x0, [out]; st.global.u32 [x0], 80; // " + "123" * 8)
    images = {
        "cubin": b"\x7fELF" + bytes(60),
        "newer": text.replace("sm_70", "sm_90"),
        "not_ptx": "hello",
        "empty": "",
        "fatbin_newer": fatbin((90, b"", 0)),
        "fatbin": fatbin((70, b"?", 0), (80, text.encode(), 0), (90, b"?", 0)),
        "compressed": fatbin((80, lz4(text.encode()), len(text))),
    }
    out = passes(script(f"""
for name, image in {images!r}.items():
    try:
        out = driver.buffer(np.zeros(1, np.uint32))
        driver.module(image).launch("kernel", 1, 1, [out])
        print(name, out.read()[0])
    except DriverError as error:
        print(name, error.name)
""", compute_capability="8.0"))  # fmt: skip
    assert dict(line.split() for line in out.splitlines()) == {
        "cubin": "CUDA_ERROR_NO_BINARY_FOR_GPU",
        "newer": "CUDA_ERROR_NO_BINARY_FOR_GPU",
        "not_ptx": "CUDA_ERROR_INVALID_PTX",
        "empty": "CUDA_ERROR_NO_BINARY_FOR_GPU",
        "fatbin_newer": "CUDA_ERROR_NO_BINARY_FOR_GPU",
        "fatbin": "80",
        "compressed": "80",
    }


def test_ptx_newer_than_the_driver_is_refused(script: Script) -> None:
    text = entry("", "")
    passes(script(f"driver.module({text!r})", maximum_ptx_version="8.0"))
    done = script(f"driver.module({text!r})", maximum_ptx_version="7.8")
    assert "cuModuleLoadData: CUDA_ERROR_UNSUPPORTED_PTX_VERSION (222)" in done.stderr


def test_handles_are_checked(script: Script) -> None:
    text = entry("", "")
    passes(script(f"""
def error(function, *arguments):
    try:
        function(*arguments)
    except DriverError as found:
        return found.name
module = driver.module({text!r})
function = module.function("kernel")
assert error(module.function, "other") == "CUDA_ERROR_NOT_FOUND"
launch = (function, 1, 1, 1, 1, 1, 1, 0, ctypes.c_void_p(0x1234), None, None)
assert error(driver.call, "cuLaunchKernel", *launch) == "CUDA_ERROR_INVALID_HANDLE"
other = Driver(driver._library._name, 1)
stream = other.stream()
Driver(driver._library._name, 0)
launch = (function, 1, 1, 1, 1, 1, 1, 0, stream, None, None)
assert error(driver.call, "cuLaunchKernel", *launch) == "CUDA_ERROR_INVALID_HANDLE"
assert driver.integer("cuFuncGetAttribute", 0, function) == 1024
driver.call("cuModuleUnload", module.handle)
assert error(driver.call, "cuLaunchKernel", *launch) == "CUDA_ERROR_INVALID_HANDLE"
assert error(driver.call, "cuModuleUnload", module.handle) == "CUDA_ERROR_INVALID_HANDLE"
text = ctypes.c_char_p()
driver.call("cuGetErrorString", 209, ctypes.byref(text))
assert text.value == b"no kernel image is available for execution on the device"
pointer = ctypes.c_void_p()
driver.call("cuGetProcAddress_v2", b"cuMemAlloc", ctypes.byref(pointer), 12000, 0, None)
assert pointer.value == ctypes.cast(driver._library.cuMemAlloc_v2, ctypes.c_void_p).value
driver.call("cuCtxSetCurrent", None)
assert error(driver.module, {text!r}) == "CUDA_ERROR_INVALID_CONTEXT"
""", devices=2))  # fmt: skip


# Streams. -----------------------------------------------------------------------------------------

STREAMS = """
def fill(stream, value):
    driver.call("cuMemsetD32Async", ctypes.c_uint64(out.address), value, ctypes.c_size_t(4), stream)
def copy(stream):
    driver.call("cuMemcpyDtoDAsync_v2", ctypes.c_uint64(back.address), ctypes.c_uint64(out.address),
                ctypes.c_size_t(16), stream)
out, back = driver.buffer(np.zeros(4, np.uint32)), driver.buffer(np.zeros(4, np.uint32))
first, second = driver.stream(), driver.stream()
"""


@pytest.mark.parametrize(
    ("order", "value"),
    [
        ("late(first, 0, 2); copy(first)", 2),
        ("late(first, 0, 2); copy(second)", 0),  # nothing orders them
        ("late(first, 0, 2); record(first); wait(second); copy(second)", 2),
        ("fill(first, 1); record(first); late(first, 1, 2); wait(second); copy(second)", 1),
        ("late(first, 0, 2); copy(None)", 0),  # the legacy stream does not wait
        ("late(blocking, 0, 2); copy(None)", 2),  # for a blocking stream it does
        ("late(None, 0, 2); copy(blocking)", 2),
    ],
)
def test_only_events_order_streams(script: Script, order: str, value: int) -> None:
    code = (
        STREAMS
        + f"""
event, blocking = driver.event(), driver.stream(non_blocking=False)
def record(stream): driver.call("cuEventRecord", event, stream)
def wait(stream): driver.call("cuStreamWaitEvent", stream, event, 0)
def late(stream, before, value):
    for v in (before, before, before, value): fill(stream, v)
{order}
driver.synchronize()
print(back.read()[0])
"""
    )
    assert int(passes(script(code, delay_us=50_000))) == value


def test_delayed_work_is_asynchronous(script: Script) -> None:
    passes(script(STREAMS + """
fill(first, 5)
time.sleep(0.05)
code = driver._library.cuStreamQuery(first)
assert driver.error_name(code) == "CUDA_ERROR_NOT_READY"
driver.call("cuStreamSynchronize", first)
driver.call("cuStreamQuery", first)
assert out.read().tolist() == [5] * 4
""", delay_us=300_000))  # fmt: skip


def test_pageable_memory_is_read_at_once_and_pinned_memory_by_the_stream(script: Script) -> None:
    passes(script(STREAMS + """
def upload(array):
    array[:] = 1
    driver.call("cuMemcpyHtoDAsync_v2", ctypes.c_uint64(out.address),
                ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(16), first)
    array[:] = 2
    driver.synchronize()
    return out.read()[0]
pinned = ctypes.c_void_p()
driver.call("cuMemHostAlloc", ctypes.byref(pinned), ctypes.c_size_t(16), 0)
assert upload(np.zeros(4, np.uint32)) == 1
assert upload(np.ctypeslib.as_array((ctypes.c_uint32 * 4).from_address(pinned.value))) == 2
""", delay_us=50_000))  # fmt: skip


def test_the_callers_flush_to_zero_mode_does_not_matter(script: Script) -> None:
    """TensorFlow's threads flush subnormal numbers; an f32 instruction without .ftz must not."""
    text = entry(".u64 out", "ld.param.u64 x0, [out]; ld.global.f32 r0, [x0];"
                             "add.f32 r0, r0, r0; st.global.f32 [x0], r0;")  # fmt: skip
    passes(script(f"""
out = driver.buffer(np.array([3], np.uint32))
class Mode(ctypes.Structure):  # femode_t
    _fields_ = [("x87", ctypes.c_uint16), ("unused", ctypes.c_uint16), ("mxcsr", ctypes.c_uint32)]
assert ctypes.CDLL("libm.so.6").fesetmode(ctypes.byref(Mode(0x37F, 0, 0x9FC0))) == 0
assert np.array([1e-40], np.float32)[0] * np.float32(2) == 0
driver.module({text!r}).launch("kernel", 1, 1, [out], stream=driver.stream())
driver.synchronize()
assert out.read()[0] == 6
"""))  # fmt: skip


# Options and log. ---------------------------------------------------------------------------------


def test_options(script: Script) -> None:
    options = {"devices": 3, "driver_version": 12050, "multiprocessors": 7, "memory_mb": 5}
    passes(script("""
assert driver.integer("cuDeviceGetCount") == 3
assert driver.integer("cuDriverGetVersion") == 12050
assert driver.integer("cuDeviceGetAttribute", 75, 0) == 8
assert driver.integer("cuDeviceGetAttribute", 76, 0) == 6
assert driver.integer("cuDeviceGetAttribute", 16, 2) == 7
free, total = ctypes.c_size_t(), ctypes.c_size_t()
kept = driver.buffer(np.zeros(1 << 20, np.uint8))
driver.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
assert (free.value, total.value) == (4 << 20, 5 << 20)
try:
    driver.buffer(np.zeros((4 << 20) + 1, np.uint8))
except DriverError as error:
    assert error.name == "CUDA_ERROR_OUT_OF_MEMORY"
""", compute_capability="8.6", **options))  # fmt: skip


@pytest.mark.parametrize(
    ("option", "value"), [("memory_mb", "lots"), ("compute_capability", "90"), ("devices", "-1")]
)
def test_a_bad_option_dies(script: Script, option: str, value: str) -> None:
    report = dies(script("driver.buffer(np.zeros(1))", **{option: value}))
    assert report.startswith(f"TF_MAVG_EMULATOR_{option.upper()} must be")
    assert report.endswith(f"Received: {value}")


def test_shuffle_changes_the_order_of_blocks(script: Script) -> None:
    """Block i takes ticket number order[i]; two host threads take blocks in turn."""
    body = "ld.param.u64 x0, [out]; atom.global.add.u32 r0, [x0+1024], 1; mov.u32 r1, %ctaid.x;"
    body += "mul.wide.u32 x1, r1, 4; add.u64 x0, x0, x1; st.global.u32 [x0], r0;"
    code = f"""
out = driver.buffer(np.zeros(257, np.uint32))
driver.module({entry(".u64 out", body)!r}).launch("kernel", 256, 1, [out])
driver.synchronize()
tickets = out.read()[:256].astype(int)
assert sorted(tickets) == list(range(256))
print(np.abs(tickets - np.arange(256)).mean())
"""
    assert float(passes(script(code))) < 40
    assert float(passes(script(code, shuffle=1))) > 60
    assert float(passes(script(code, shuffle=2))) > 60


def test_log(script: Script, tmp_path: pathlib.Path) -> None:
    log = environment.Log(tmp_path / "log")
    assert log.since_last() == []
    text = entry(".u64 out", "")
    passes(script(STREAMS + f"""
driver.module({text!r}).launch("kernel", 3, 64, [out], shared_bytes=16, stream=first)
driver.call("cuEventRecord", driver.event(), second)
fill(second, 1)
copy(first)
driver.call("cuStreamSynchronize", first)
back.free()
""", log=tmp_path / "log"))  # fmt: skip
    records = log.since_last()
    assert [record["call"] for record in records] == [
        "allocate", "memcpy", "allocate", "memcpy", "module_load", "launch", "event_record",
        "memset", "memcpy", "synchronize", "free",
    ]  # fmt: skip
    assert records[5] == {
        "call": "launch", "kernel": "kernel", "grid": [3, 1, 1], "block": [64, 1, 1],
        "parameter_bytes": 8, "shared_bytes": 16, "stream": 1, "device": 0,
    }  # fmt: skip
    assert records[1] == {
        "call": "memcpy", "kind": "HtoD", "bytes": 16, "stream": 0, "device": 0, "blocking": 1,
    }  # fmt: skip
    assert (records[8]["kind"], records[8]["stream"], records[8]["blocking"]) == ("DtoD", 1, 0)
    assert (records[6]["stream"], records[7]["stream"]) == (2, 2)
    assert records[9] == {"call": "synchronize", "what": "stream", "stream": 1, "device": 0}
    assert log.since_last() == []


# TensorFlow. --------------------------------------------------------------------------------------

TENSORFLOW = """
import numpy as np
import tensorflow as tf
tf.config.set_soft_device_placement(False)
"""
TRAINING = """
rng = np.random.default_rng(0)
results = {{}}
for device in ("CPU:0", "GPU:0"):
    rng = np.random.default_rng(0)
    found = []
    for dtype in (np.float32, np.float64):
        start, step = (rng.standard_normal(1000).astype(dtype) for _ in range(2))
        with tf.device(device):
            variable = tf.Variable(start)
            scale = tf.Variable(np.asarray(0.25, dtype))
        assert variable.device.endswith(device), variable.device
        for _ in range(3):
            variable.assign_sub((variable - step) * scale)
            variable.assign_add(tf.sqrt(tf.abs(variable)))
        found.append(variable.numpy())
        for use_resource in (True, False):
            with tf.Graph().as_default(), tf.device(device):
                graph_variable = tf.compat.v1.get_variable(
                    "v", initializer=tf.constant(start), use_resource=use_resource)
                update = tf.compat.v1.assign_sub(graph_variable, step)
                with tf.compat.v1.Session() as session:
                    session.run(tf.compat.v1.global_variables_initializer())
                    session.run(update)
                    found.append(session.run(graph_variable))
    results[device] = found
for cpu, gpu in zip(results["CPU:0"], results["GPU:0"]):
    np.testing.assert_array_equal(cpu, gpu)
"""


@pytest.mark.parametrize("allocator", ["", "cuda_malloc_async"])
def test_tensorflow_trains_bit_equal_to_the_cpu(script: Script, allocator: str, tmp_path) -> None:
    """Eager and v1 Session, resource and reference variables: initializer, assign_sub, read."""
    prelude = f"import os\nos.environ['TF_GPU_ALLOCATOR'] = {allocator!r}\n" + TENSORFLOW
    passes(script(TRAINING.format(), prelude=prelude, log=tmp_path / "log"))
    log = environment.Log(tmp_path / "log")
    records = log.since_last()
    assert {"launch", "memcpy", "allocate", "module_load"} <= {record["call"] for record in records}
    tensors = [r for r in records if r["call"] == "allocate" and r["bytes"] <= 8192]
    assert bool(tensors) == bool(allocator)  # an allocation a tensor, or one pool


def test_tensorflow_sees_every_device(script: Script) -> None:
    passes(script("""
assert len(tf.config.list_physical_devices("GPU")) == 2
for index in range(2):
    with tf.device(f"GPU:{index}"):
        variable = tf.Variable(np.arange(4, dtype=np.float32))
        variable.assign_sub(tf.ones(4))
    assert variable.device.endswith(f"GPU:{index}")
    assert variable.numpy().tolist() == [-1, 0, 1, 2]
with tf.device("GPU:0"):
    assert tf.identity(variable).numpy().tolist() == [-1, 0, 1, 2]
""", prelude=TENSORFLOW, devices=2))  # fmt: skip


def test_tensorflow_cannot_multiply_matrices(script: Script) -> None:
    """What needs NVIDIA's other libraries says so, instead of going on without a result."""
    done = script("with tf.device('GPU:0'): tf.matmul(tf.ones([2, 2]), tf.ones([2, 2]))",
                  prelude=TENSORFLOW)  # fmt: skip
    assert re.fullmatch(r"the entry point cublas\w+ is not implemented", dies(done))


def test_tensorflow_has_no_gpu_without_devices(script: Script) -> None:
    passes(
        script("assert not tf.config.list_physical_devices('GPU')", prelude=TENSORFLOW, devices=0)
    )
