"""The emulated GPU: divergence, barriers, shuffles, and kernels as a compiler writes them."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from gpu_emulator import kernels, opcodes
from gpu_emulator.scripts import THREAD, entry

KERNELS = pathlib.Path(opcodes.__file__).with_name("kernels.cu")


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
