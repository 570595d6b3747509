"""The emulated driver: launches, images, handles, options."""

from __future__ import annotations

import struct

import pytest

from gpu_emulator.scripts import Script, dies, entry, passes


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
