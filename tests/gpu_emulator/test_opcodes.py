"""Every instruction that the emulated GPU accepts, against NumPy and libm on this host.

Inputs are random bit patterns together with every combination of edge values: zeros, infinities,
NaN of several payloads, subnormal numbers, the ends of the ranges.
"""

from __future__ import annotations

import ctypes
import dataclasses
import itertools
import pathlib
import re
import zlib
from collections.abc import Callable, Iterator

import ml_dtypes
import numpy as np
import pytest

from gpu_emulator import opcodes

DTYPES = {
    "pred": np.dtype(bool), "f16": np.dtype(np.float16), "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64), "bf16": np.dtype(ml_dtypes.bfloat16),
    "f16x2": np.dtype(np.uint32), "bf16x2": np.dtype(np.uint32),
}  # fmt: skip
for _width in (8, 16, 32, 64):
    DTYPES[f"s{_width}"] = np.dtype(f"int{_width}")
    DTYPES[f"u{_width}"] = DTYPES[f"b{_width}"] = np.dtype(f"uint{_width}")

FLOAT_EDGES = {
    16: (0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x3C00, 0xBC00, 0x7BFF, 0x7C00, 0xFC00, 0x7E01),
    32: (0x00000000, 0x80000000, 0x00000001, 0x807FFFFF, 0x00800000, 0x3F800000, 0xBF800001,
         0x33000001, 0x38800000, 0x477FEFFF, 0x477FF000, 0x4F000000, 0xCF000000, 0x7F7FFFFF,
         0x7F800000, 0xFF800000, 0x7FC00001, 0xFF800001,
         # Ties, and what is beside them, of bf16, of f16 and of f16's subnormal numbers.
         0x3F808000, 0x3F818000, 0x3F808001, 0x3F801000, 0x3F803000, 0x3F801001, 0x33000000,
         0x33C00000),
    64: (0, 1 << 63, 1, 0x800FFFFFFFFFFFFF, 0x0010000000000000, 0x3FF0000000000000,
         0xBFF0000000000001, 0x43E0000000000000, 0xC3E0000000000000, 0x47EFFFFFF0000000,
         0x3690000000000001, 0x7FEFFFFFFFFFFFFF, 0x7FF0000000000000, 0xFFF0000000000000,
         0x7FF8000000000001,
         # Of f32 and of f16: a hair from the tie, which two roundings would take for the tie.
         0x3FF0000010000000, 0x3FF0000010000001, 0x3FF0000030000000, 0x3FF0020000001000,
         0x3FF005FFFFFFF000, 0xBFF0020000000001),
}  # fmt: skip
REFERENCE_COUNT = 2000


@dataclasses.dataclass(frozen=True)
class Case:
    """An instruction, the types of its operands, and what it computes."""

    instruction: str
    inputs: tuple[str, ...]
    output: str
    reference: Callable[..., np.ndarray]

    def __str__(self) -> str:
        return self.instruction.rstrip(";")


def edges(kind: str) -> list[int]:
    """Bit patterns that deserve a look."""
    width = opcodes.WIDTHS[kind]
    if kind == "pred":
        return [0, 1]
    if kind.startswith("f") and kind != "f16x2":
        return list(FLOAT_EDGES[width])
    if kind == "bf16":
        return [bits >> 16 for bits in FLOAT_EDGES[32]]
    top = 1 << (width - 1)
    return [0, 1, 2, 7, width - 1, width, top - 1, top, top + 1, 2 * top - 1]


def samples(kinds: tuple[str, ...], seed: int) -> list[np.ndarray]:
    """Bits for each operand: all combinations of edges, then random ones."""
    rng = np.random.default_rng(seed)
    combinations = np.array(list(itertools.product(*map(edges, kinds))), dtype=object)
    arrays = []
    for column, kind in enumerate(kinds):
        bits = opcodes.BITS[opcodes.WIDTHS[kind]]
        high = 2 if kind == "pred" else np.iinfo(bits).max
        noise = rng.integers(0, high, REFERENCE_COUNT, dtype=bits, endpoint=kind != "pred")
        # Half of the floats near one another, so that sums and comparisons see close values.
        if kind in ("f32", "f64"):
            near = rng.standard_normal(REFERENCE_COUNT // 2) * 2.0 ** rng.integers(-3, 4)
            noise[: REFERENCE_COUNT // 2] = near.astype(DTYPES[kind]).view(bits)
        arrays.append(np.concatenate([combinations[:, column].astype(bits), noise]))
    return arrays


def flush(values: np.ndarray) -> np.ndarray:
    """Subnormal f32 numbers become zeros of their sign; other types stay."""
    if values.dtype != np.float32:
        return values
    tiny = np.abs(values) < np.finfo(np.float32).tiny
    return np.where(tiny, np.copysign(np.float32(0), values), values)


def expected(case: Case, arrays: list[np.ndarray]) -> np.ndarray:
    """The reference's bits, with NaN as NVIDIA GPUs write it for the type."""
    values = [array.view(DTYPES[kind]) for array, kind in zip(arrays, case.inputs)]
    ftz = ".ftz" in case.instruction
    nan = {"f16": 0x7FFF, "bf16": 0x7FFF, "f32": 0x7FFFFFFF}.get(case.output)
    with np.errstate(all="ignore"):
        result = case.reference(*(map(flush, values) if ftz else values))
        result = np.asarray(result).astype(DTYPES[case.output])
        result = flush(result) if ftz else result
        bits = result.view(opcodes.BITS[opcodes.WIDTHS[case.output]])
        if nan is not None and not case.instruction.startswith("selp"):
            bits = np.where(np.isnan(result.astype(np.float64)), bits.dtype.type(nan), bits)
    return bits


# References that NumPy does not have. -------------------------------------------------------------

_libm = ctypes.CDLL("libm.so.6")
for _name, _type, _count in (
    ("fma", ctypes.c_double, 3),
    ("fmaf", ctypes.c_float, 3),
):
    getattr(_libm, _name).restype = _type
    getattr(_libm, _name).argtypes = [_type] * _count
fma64 = np.vectorize(_libm.fma, otypes=[np.float64])
fma32 = np.vectorize(_libm.fmaf, otypes=[np.float32])


def wide(values: np.ndarray) -> np.ndarray:
    """As Python integers, which do not wrap."""
    return values.astype(object)


def wrap(values: np.ndarray, kind: str) -> np.ndarray:
    """Python integers modulo the width of the type."""
    width = opcodes.WIDTHS[kind]
    bits = np.array([int(value) & ((1 << width) - 1) for value in values], opcodes.BITS[width])
    return bits.view(DTYPES[kind])


def divide(a: np.ndarray, b: np.ndarray) -> Iterator[int]:
    for x, y in zip(map(int, a), map(int, b)):
        quotient = abs(x) // abs(y) if y else 1
        yield (-quotient if (x < 0) != (y < 0) else quotient) if y else -1


def remainder(a: np.ndarray, b: np.ndarray) -> Iterator[int]:
    for x, y in zip(map(int, a), map(int, b)):
        yield (abs(x) % abs(y) if y else abs(x)) * (-1 if x < 0 else 1)


def permute(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    results = []
    for low, high, choices in zip(a, b, c):
        source = int(low).to_bytes(4, "little") + int(high).to_bytes(4, "little")
        chosen = bytearray()
        for n in range(4):
            choice = int(choices) >> (4 * n) & 15
            byte = source[choice & 7]
            chosen.append(byte if choice < 8 else 0xFF if byte >= 128 else 0)
        results.append(int.from_bytes(chosen, "little"))
    return np.array(results, np.uint32)


def shift(direction: str, kind: str) -> Callable[..., np.ndarray]:
    def reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        amounts = [min(int(amount), 64) for amount in b]
        if direction == "l":
            return wrap([int(x) << n for x, n in zip(a, amounts)], kind)
        return wrap([int(x) >> n for x, n in zip(a, amounts)], kind)

    return reference


def to_integer(
    kind: str, rounding: Callable[[np.ndarray], np.ndarray]
) -> Callable[..., np.ndarray]:
    limits = np.iinfo(DTYPES[kind])

    def reference(a: np.ndarray) -> np.ndarray:
        rounded = rounding(a.astype(np.float64))
        numbers = [0 if x != x else max(limits.min, min(x, limits.max)) for x in rounded.tolist()]
        return np.array([int(number) for number in numbers], object).astype(DTYPES[kind])

    return reference


def packed(operation: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """On the two f16 halves of each operand."""

    def reference(*operands: np.ndarray) -> np.ndarray:
        halves = operation(*(operand.view(np.float16) for operand in operands))
        return np.where(np.isnan(halves), np.uint16(0x7FFF), halves.view(np.uint16)).view(np.uint32)

    return reference


def pack(kind: str) -> Callable[..., np.ndarray]:
    def reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        halves = np.stack([b, a], axis=-1).astype(DTYPES[kind])
        nan = np.isnan(halves.astype(np.float32))
        return np.where(nan, np.uint16(0x7FFF), halves.view(np.uint16)).view(np.uint32).reshape(-1)

    return reference


def pass_nan(operation: Callable[[np.ndarray], np.ndarray]) -> Callable[..., np.ndarray]:
    return lambda a: np.where(np.isnan(a), a, operation(a))


# The cases. ---------------------------------------------------------------------------------------

INTEGERS = ("s16", "u16", "s32", "u32", "s64", "u64")
WIDE_INTEGERS = INTEGERS[2:]
ALL_INTEGERS = ("s8", "u8", *INTEGERS)
BITS = ("b16", "b32", "b64")
ROUNDINGS = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}
COMPARISONS: dict[str, Callable[..., np.ndarray]] = {
    "eq": np.equal,
    "ne": lambda a, b: (a < b) | (a > b),
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
UNORDERED: dict[str, Callable[..., np.ndarray]] = {
    "num": lambda a, b: ~(np.isnan(a) | np.isnan(b)),
    "nan": lambda a, b: np.isnan(a) | np.isnan(b),
    "equ": lambda a, b: ~COMPARISONS["ne"](a, b),
    "neu": lambda a, b: ~(a == b),
    "ltu": lambda a, b: ~(a >= b),
    "leu": lambda a, b: ~(a > b),
    "gtu": lambda a, b: ~(a <= b),
    "geu": lambda a, b: ~(a < b),
}
SUMS = {"add": np.add, "sub": np.subtract, "mul": np.multiply}


def arithmetic() -> Iterator[Case]:
    for kind in INTEGERS:
        for name, operation in SUMS.items():
            opcode = "mul.lo" if name == "mul" else name
            yield Case(f"{opcode}.{kind} d, a, b;", (kind, kind), kind, operation)
        yield Case(f"mad.lo.{kind} d, a, b, c;", (kind,) * 3, kind, lambda a, b, c: a * b + c)
    for kind in WIDE_INTEGERS:
        width, two = opcodes.WIDTHS[kind], (kind, kind)
        yield Case(f"mul.hi.{kind} d, a, b;", two, kind,
                   lambda a, b, w=width, k=kind: wrap(wide(a) * wide(b) >> w, k))  # fmt: skip
        yield Case(f"div.{kind} d, a, b;", two, kind, lambda a, b, k=kind: wrap(divide(a, b), k))
        yield Case(f"rem.{kind} d, a, b;", two, kind, lambda a, b, k=kind: wrap(remainder(a, b), k))
        yield Case(f"min.{kind} d, a, b;", two, kind, np.minimum)
        yield Case(f"max.{kind} d, a, b;", two, kind, np.maximum)
    for kind in ("s16", "u16", "s32", "u32"):
        double = kind[0] + str(2 * opcodes.WIDTHS[kind])
        yield Case(f"mul.wide.{kind} d, a, b;", (kind, kind), double,
                   lambda a, b, t=DTYPES[double]: a.astype(t) * b.astype(t))  # fmt: skip
    for kind, double in (("s32", "s64"), ("u32", "u64")):
        yield Case(f"mad.wide.{kind} d, a, b, c;", (kind, kind, double), double,
                   lambda a, b, c: a.astype(c.dtype) * b.astype(c.dtype) + c)  # fmt: skip
    for kind in ("s32", "s64"):
        yield Case(f"neg.{kind} d, a;", (kind,), kind, np.negative)
        yield Case(f"abs.{kind} d, a;", (kind,), kind, np.abs)
    for name, operation in SUMS.items():
        for suffix in ("f32", "rn.f32", "ftz.f32", "rn.ftz.f32", "f64", "rn.f64", "f16", "rn.f16"):
            kind = suffix.split(".")[-1]
            yield Case(f"{name}.{suffix} d, a, b;", (kind, kind), kind, operation)
        yield Case(f"{name}.f16x2 d, a, b;", ("f16x2",) * 2, "f16x2", packed(operation))
    for suffix, fma in (("f32", fma32), ("ftz.f32", fma32), ("f64", fma64)):
        kind = suffix.split(".")[-1]
        yield Case(f"div.rn.{suffix} d, a, b;", (kind, kind), kind, np.divide)
        yield Case(f"fma.rn.{suffix} d, a, b, c;", (kind,) * 3, kind, fma)
        yield Case(f"sqrt.rn.{suffix} d, a;", (kind,), kind, np.sqrt)
        yield Case(f"rcp.rn.{suffix} d, a;", (kind,), kind, lambda a: a.dtype.type(1) / a)
    for suffix in ("f32", "ftz.f32"):
        yield Case(f"neg.{suffix} d, a;", ("f32",), "f32", np.negative)
        yield Case(f"abs.{suffix} d, a;", ("f32",), "f32", np.abs)
        yield Case(f"sqrt.approx.{suffix} d, a;", ("f32",), "f32", np.sqrt)
        yield Case(f"rcp.approx.{suffix} d, a;", ("f32",), "f32", lambda a: np.float32(1) / a)
        yield Case(f"rsqrt.approx.{suffix} d, a;", ("f32",), "f32",
                   lambda a: 1 / np.sqrt(a.astype(np.float64)))  # fmt: skip
    yield Case("neg.f64 d, a;", ("f64",), "f64", pass_nan(np.negative))
    yield Case("abs.f64 d, a;", ("f64",), "f64", pass_nan(np.abs))


def logic() -> Iterator[Case]:
    for name, operation in (
        ("and", np.bitwise_and),
        ("or", np.bitwise_or),
        ("xor", np.bitwise_xor),
    ):
        for kind in ("pred", *BITS):
            yield Case(f"{name}.{kind} d, a, b;", (kind, kind), kind, operation)
    for kind in ("pred", *BITS):
        yield Case(f"not.{kind} d, a;", (kind,), kind, np.invert)
    for kind in BITS:
        yield Case(f"shl.{kind} d, a, b;", (kind, "u32"), kind, shift("l", kind))
    for kind in (*BITS, *INTEGERS):
        yield Case(f"shr.{kind} d, a, b;", (kind, "u32"), kind, shift("r", kind))
    yield Case("prmt.b32 d, a, b, c;", ("b32",) * 3, "b32", permute)
    for name, compare in COMPARISONS.items():
        for kind in (*BITS, *INTEGERS, "f32", "f64"):
            yield Case(f"setp.{name}.{kind} d, a, b;", (kind, kind), "pred", compare)
    for name, compare in UNORDERED.items():
        for kind in ("f32", "f64"):
            yield Case(f"setp.{name}.{kind} d, a, b;", (kind, kind), "pred", compare)
    for name, compare in (COMPARISONS | UNORDERED).items():
        yield Case(f"setp.{name}.ftz.f32 d, a, b;", ("f32", "f32"), "pred", compare)
    for name, combine in (
        ("and", np.logical_and),
        ("or", np.logical_or),
        ("xor", np.logical_xor),
    ):
        three = ("s32", "s32", "pred")
        yield Case(f"setp.lt.{name}.s32 d, a, b, c;", three, "pred",
                   lambda a, b, c, f=combine: f(a < b, c))  # fmt: skip
        yield Case(f"setp.lt.{name}.s32 d, a, b, !c;", three, "pred",
                   lambda a, b, c, f=combine: f(a < b, ~c))  # fmt: skip
        yield Case(f"setp.lt.{name}.s32 p|d, a, b, c;", three, "pred",
                   lambda a, b, c, f=combine: f(a >= b, c))  # fmt: skip
    yield Case("setp.lt.f32 p|d, a, b;", ("f32", "f32"), "pred", lambda a, b: ~(a < b))
    for kind in (*BITS, *INTEGERS, "f32", "f64"):
        yield Case(f"selp.{kind} d, a, b, c;", (kind, kind, "pred"), kind,
                   lambda a, b, c: np.where(c, a, b))  # fmt: skip


def truncated(numbers: np.ndarray) -> np.ndarray:
    """Numbers as f16, rounded towards zero."""
    nearest = numbers.astype(np.float16)
    is_beyond = np.abs(nearest.astype(np.float64)) > np.abs(numbers.astype(np.float64))
    return np.where(is_beyond, np.nextafter(nearest, np.float16(0)), nearest)


def conversions() -> Iterator[Case]:
    for to, source in itertools.product(ALL_INTEGERS, repeat=2):
        # Narrow types are read from, and written to, registers that may be wider.
        yield Case(f"cvt.{to}.{source} d, a;", (source,), to, lambda a, t=to: a.astype(DTYPES[t]))
    for to, source in itertools.product(("f32", "f64"), ALL_INTEGERS):
        yield Case(
            f"cvt.rn.{to}.{source} d, a;", (source,), to, lambda a, t=to: a.astype(DTYPES[t])
        )
    for (name, rounding), to, source in itertools.product(
        ROUNDINGS.items(), ALL_INTEGERS, ("f32", "ftz.f32", "f64")
    ):
        suffix = f"{name}.ftz.{to}.f32" if source == "ftz.f32" else f"{name}.{to}.{source}"
        yield Case(f"cvt.{suffix} d, a;", (source[-3:],), to, to_integer(to, rounding))
    for name, rounding in ROUNDINGS.items():
        for suffix in ("f32.f32", "ftz.f32.f32", "f64.f64"):
            kind = suffix[-3:]
            yield Case(f"cvt.{name}.{suffix} d, a;", (kind,), kind, rounding)
    for to, source in (
        ("f32", "f16"), ("f32", "bf16"), ("f64", "f16"), ("f64", "bf16"), ("f64", "f32"),
        ("rn.f16", "f32"), ("rn.bf16", "f32"), ("rn.f32", "f64"), ("rn.f16", "f64"),
        ("ftz.f64", "f32"), ("ftz.f32", "f16"), ("rn.ftz.f32", "f64"), ("rn.ftz.f16", "f32"),
    ):  # fmt: skip
        kind = to.split(".")[-1]
        yield Case(
            f"cvt.{to}.{source} d, a;", (source,), kind, lambda a, t=kind: a.astype(DTYPES[t])
        )
    yield Case("cvt.rz.f16.f32 d, a;", ("f32",), "f16", truncated)
    for kind in ("f16", "bf16"):
        yield Case(f"cvt.rn.{kind}x2.f32 d, a, b;", ("f32", "f32"), f"{kind}x2", pack(kind))
    for kind in ("b16", "b32", "b64", "u16", "u32", "u64", "s16", "s32", "s64"):
        yield Case(f"mov.{kind} d, a;", (kind,), kind, np.copy)
    yield Case("mov.pred d, a;", ("pred",), "pred", np.copy)
    for kind in ("f32", "f64"):
        bits = f"b{kind[1:]}"
        yield Case(f"mov.{kind} d, a;", (bits,), bits, np.copy)
    join = "mov.b32 d, {a, b};"
    yield Case(join, ("b16", "b16"), "b32", lambda a, b: b.astype(np.uint32) << 16 | a)
    yield Case("mov.b32 d, {0, b};", ("b16", "b16"), "b32", lambda a, b: b.astype(np.uint32) << 16)
    join = "mov.b64 d, {a, b};"
    yield Case(join, ("b32", "b32"), "b64", lambda a, b: b.astype(np.uint64) << 32 | a)
    yield Case("mov.b32 {byte, d}, a;", ("b32",), "b16", lambda a: a >> 16)
    yield Case("mov.b32 {d, byte}, a;", ("b32",), "b16", lambda a: a & 0xFFFF)
    yield Case("mov.b64 {_, d}, a;", ("b64",), "b32", lambda a: a >> 32)
    yield Case("mov.b64 {d, _}, a;", ("b64",), "b32", lambda a: a & 0xFFFFFFFF)
    yield Case("mov.f32 d, 0fC0490FDB;", (), "f32", lambda: np.float32(-np.pi))
    yield Case("mov.f64 d, 0dC00921FB54442D18;", (), "f64", lambda: np.float64(-np.pi))
    yield Case("mov.u32 d, 0x7Fu;".replace("u;", "U;"), (), "u32", lambda: np.uint32(127))
    yield Case("mov.s64 d, -5;", (), "s64", lambda: np.int64(-5))
    # cvta: here and back gives the address again.
    yield Case("cvta.global.u64 d, a; cvta.to.global.u64 d, d;", ("u16",), "u16", np.copy)
    for space in ("param", "shared", "local"):
        text = f"cvt.u64.u16 limit, a; cvta.{space}.u64 limit, limit; "
        text += f"cvta.to.{space}.u64 limit, limit; cvt.u16.u64 d, limit;"
        yield Case(text, ("u16",), "u16", np.copy)


CASES = [*arithmetic(), *logic(), *conversions()]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_instruction_equals_the_host(case: Case, worker) -> None:
    arrays = samples(case.inputs or ("u16",), zlib.crc32(case.instruction.encode()))
    want = expected(case, arrays if case.inputs else [])
    got = worker(opcodes.run, case.instruction, case.inputs, case.output, arrays)
    differs = got != np.broadcast_to(want, got.shape)
    if case.instruction.startswith("cvt.f64"):  # a NaN's payload is its own affair
        differs &= ~(np.isnan(got.view(np.float64)) & np.isnan(want.view(np.float64)))
    different = np.flatnonzero(differs)
    assert different.size == 0, [
        [hex(array[different[0]]) for array in arrays],
        f"{different.size} of {got.size}",
        f"got {got[different[0]]:#x}, expected {np.broadcast_to(want, got.shape)[different[0]]:#x}",
    ]


def test_every_opcode_has_a_case() -> None:
    """The opcodes of the decoder's tables, against the cases here and the kernels beside."""
    folder = pathlib.Path(opcodes.__file__).parent
    accepted = set()
    for name in ("arithmetic", "logic", "conversions", "memory_access", "control"):
        source = folder / "instructions" / f"{name}.cc"
        accepted |= set(re.findall(r'\{"(\w+)", Decode', source.read_text()))
    here = {case.instruction.split(".")[0] for case in CASES}
    tests = set(pathlib.Path(__file__).parent.glob("test_*.py"))
    beside = "".join(path.read_text() for path in tests - {pathlib.Path(__file__)})
    tested_beside = {name for name in accepted if re.search(rf"\b{name}[.;]", beside)}
    assert len(accepted) > 30
    assert accepted - here - tested_beside == set()
