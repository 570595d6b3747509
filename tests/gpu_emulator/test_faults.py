"""The emulated GPU reports what a kernel must not do, and refuses what it does not know."""

from __future__ import annotations

import pytest

from gpu_emulator.scripts import HEADER, Script, dies, entry, passes, run_kernel

STORE = entry(
    ".u64 out, .u64 offset",
    "mov.u32 r0, %tid.x;\nmov.u32 r1, %ctaid.x; mad.lo.u32 r0, r1, 32, r0;\n"
    "mul.wide.u32 x0, r0, 4;\n"
    "ld.param.u64 x1, [out]; ld.param.u64 x2, [offset]; add.u64 x1, x1, x0; add.u64 x1, x1, x2;\n"
    "st.global.u32 [x1], r0;",
)
STORE_LINE = 1 + STORE[: STORE.index("st.global")].count("\n")


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
        (
            "atom.global.max.u32 r0, [x0], r1;",
            "atom.global.max.u32: only .add and .exch are supported",
        ),
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
