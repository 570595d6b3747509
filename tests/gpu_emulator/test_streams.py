"""The emulated GPU: what streams and events order, and what they do not."""

from __future__ import annotations

import pathlib

import pytest

from gpu_emulator import environment
from gpu_emulator.scripts import Script, entry, passes

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
