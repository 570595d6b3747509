"""What the compiled GPU kernels are made of, and what that lets one expect. Computed, not measured.

    python -m tf_mavg bench machine-code

Reads the machine code inside the installed package with NVIDIA's disassembler from PyPI (packages
nvidia-cuda-cuobjdump and nvidia-cuda-nvdisasm); neither a GPU nor a CUDA toolkit is needed.
"""

from __future__ import annotations

import importlib.util
import math
import pathlib
import re
import subprocess
import tempfile
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tf_mavg import _native

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Version 13 of the disassembler reads compute capability 7.5 and above. The code of 7.0 is encoded
# alike, with fewer instructions, so it is read under the name of 7.5: the two bytes of the ELF
# header's flags that name the architecture.
OLDEST_DISASSEMBLED: Final = 75
ARCHITECTURE_BYTES: Final = (48, 50)


class Kernel(NamedTuple):
    """One kernel of one image."""

    registers: int  # a thread
    local_bytes: int  # a thread: stack and spilled registers
    parameter_bytes: int
    code: str  # disassembled


class Loop(NamedTuple):
    """The accesses to global memory in a loop that moves data, in bits."""

    loads: list[int]
    stores: list[int]


def _tool(name: str) -> str:
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec and spec.submodule_search_locations) or []:
        for path in pathlib.Path(folder).glob(f"*/bin/{name}"):
            return str(path)
    message = f"{name} is missing: pip install nvidia-cuda-{name}"
    raise SystemExit(message)


def _run(tool: str, option: str, path: pathlib.Path) -> str:
    command = [_tool(tool), option, str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - see _tool.


def _disassembled(image: dict[str, Any], folder: str) -> str:
    cubin = bytearray(image["data"])
    if image["architecture"] < OLDEST_DISASSEMBLED:
        for position in ARCHITECTURE_BYTES:
            cubin[position] = OLDEST_DISASSEMBLED
    path = pathlib.Path(folder, "readable.cubin")
    path.write_bytes(cubin)
    return _run("nvdisasm", "-c", path)


def read_kernels(image: dict[str, Any]) -> dict[str, Kernel]:
    """The kernels of one cubin of _native.gpu_images(), by name."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "image.cubin")
        path.write_bytes(image["data"])
        usage = _run("cuobjdump", "-res-usage", path)
        elf = _run("cuobjdump", "-elf", path)
        code = _disassembled(image, folder)
    parts = re.split(r"\n\.text\.(\w+):\n", code)
    codes = dict(zip(parts[1::2], parts[2::2], strict=True))
    kernels = {}
    for match in re.finditer(r"Function (\w+):\n\s*REG:(\d+) STACK:(\d+) .*?LOCAL:(\d+)", usage):
        name, registers, stack, local = match[1], *map(int, match.groups()[1:])
        sizes = re.search(
            rf"\n\.nv\.info\.{name}\n.*?EIATTR_CBANK_PARAM_SIZE\s.*?Value:\s*(0x[0-9a-f]+)",
            elf,
            re.DOTALL,
        )
        size = int(sizes[1], 16) if sizes else 0
        kernels[name] = Kernel(registers, stack + local, size, codes[name])
    return kernels


def _bits(instruction: str) -> int:
    width = re.search(r"\.(?:[US])?(8|16|64|128|256)\b", instruction)
    return int(width[1]) if width else 32


def data_loops(code: str) -> list[Loop]:
    """The innermost loops that read global memory, in the order of the code.

    A loop reaches from a label to the last branch back to it; branches within it may go ahead.
    """
    labels = {found[0][:-1]: found.end() for found in re.finditer(r"(?m)^\.L_x_\d+:", code)}
    ends: dict[int, int] = {}
    for branch in re.finditer(r"\bBRA\S* [^`\n]*`\((\.L_x_\d+)\)", code):
        start = labels.get(branch[1], branch.start())
        if start < branch.start():
            ends[start] = branch.start()
    loops = {}
    for start, end in ends.items():
        body = code[start:end]
        if loads := re.findall(r"\bLDG?\.E\S*", body):
            stores = re.findall(r"\bSTG?\.E\S*", body)
            loops[start, end] = Loop([*map(_bits, loads)], [*map(_bits, stores)])
    return [
        loops[start, end]
        for start, end in sorted(loops)
        if not any(start <= s and e <= end and (s, e) != (start, end) for s, e in loops)
    ]


def _loop_text(loop: Loop) -> str:
    return f"{'+'.join(map(str, loop.loads))} -> {'+'.join(map(str, loop.stores))}"


def cubins() -> Iterator[tuple[str, dict[str, Any]]]:
    """The cubins inside the package: "sm_90 small", and what _native.gpu_images() says of it."""
    for image in _native.gpu_images():
        if image["kind"] == "cubin":
            yield f"sm_{image['architecture']} {image['form']}", image


def machine_code_report(kernels: Mapping[str, Mapping[str, Kernel]]) -> str:
    """A table of all kernels, by the name of their cubin and their own."""
    lines = ["| image | kernel | registers | local | parameters | bits loaded -> stored, a loop |"]
    lines += ["|---|---|---|---|---|---|"]
    for image, found in kernels.items():
        for name, kernel in sorted(found.items()):
            loops = ", ".join(sorted(set(map(_loop_text, data_loops(kernel.code)))))
            lines.append(
                f"| {image} | {name} | {kernel.registers} "
                f"| {kernel.local_bytes} | {kernel.parameter_bytes} | {loops} |"
            )
    return "\n".join(lines)


class Model(NamedTuple):
    """A model's trainable weights: tensors and elements, as published."""

    name: str
    tensors: int
    elements: int


MODELS: Final = (
    Model("ResNet-50", 161, 25_557_032),
    Model("BERT-large", 391, 335_141_888),
    Model("GPT-2 XL", 580, 1_557_611_200),
    Model("7 billion (Llama 2)", 291, 6_738_415_616),
)
# Bytes a second of the memory, from NVIDIA's data sheets: A100 80 GB SXM, H100 SXM, B200.
BANDWIDTHS: Final = {"A100": 2.039e12, "H100": 3.35e12, "B200": 8.0e12}

# float32: the fused update reads two numbers and writes one. TensorFlow's subtraction, product and
# assign_sub read two and write one, read one and write one, read two and write one.
FUSED_BYTES: Final = 12
TENSORFLOW_BYTES: Final = 32
TENSORFLOW_LAUNCHES: Final = 3  # a variable

# apex's multi_tensor_apply with three lists of tensors: at most 48 tensors and 320 chunks of 65,536
# elements a launch.
APEX_TENSORS, APEX_CHUNKS, APEX_CHUNK_ELEMENTS = 48, 320, 65_536


def apex_launches(model: Model) -> int:
    """The fewest launches with apex's limits; the sizes of the tensors may ask for more."""
    chunks = math.ceil(model.elements / APEX_CHUNK_ELEMENTS)
    return max(math.ceil(model.tensors / APEX_TENSORS), math.ceil(chunks / APEX_CHUNKS))


def expectation_report() -> str:
    """A table of what an update of float32 averages costs where only memory limits it."""
    head = ["model", "launches: ours", "TensorFlow", "apex, at least"]
    head += [f"{gpu}: ours, TensorFlow (ms)" for gpu in BANDWIDTHS]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for model in MODELS:
        mean = model.elements // model.tensors
        launches = len(_native.gpu_tables([mean] * model.tensors, 2, 4, "large"))
        cells = [model.name, launches, TENSORFLOW_LAUNCHES * model.tensors, apex_launches(model)]
        for bandwidth in BANDWIDTHS.values():
            times = [1e3 * model.elements * b / bandwidth for b in (FUSED_BYTES, TENSORFLOW_BYTES)]
            cells.append(f"{times[0]:.3g}, {times[1]:.3g}")
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def report() -> str:
    """Both tables, and what they are."""
    return "\n".join(
        [
            machine_code_report({name: read_kernels(image) for name, image in cubins()}),
            "\nComputed from bytes and data sheets, not measured: an update of float32 averages,",
            f"{FUSED_BYTES} bytes an element fused, {TENSORFLOW_BYTES} in TensorFlow's kernels.\n",
            expectation_report(),
        ]
    )
