"""Whether PTX leaves the driver any choice in how the kernels round."""

import re


def says_how(ptx: str) -> bool:
    """Whether every floating-point operation names its rounding, and none is fused.

    An operation that names none may be contracted when the driver compiles it, which no emulator
    shows.
    """
    operations = set(re.findall(r"\s((?:add|sub|mul|mad|fma)\.[a-z.]*f(?:16|32|64))\s", ptx))
    return operations == {"sub.rn.f32", "mul.rn.f32", "add.rn.f64", "sub.rn.f64", "mul.rn.f64"}
