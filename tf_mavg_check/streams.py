"""Checks of what only a GPU has: the order of streams, full tables, elements beyond 2^32."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

import numpy as np

from tf_mavg_check import reference
from tf_mavg_check.comparing import Numbers, compare
from tf_mavg_check.native import native
from tf_mavg_check.results import Check, LeftOut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tf_mavg_check.reference import Array
    from tf_mavg_check.results import Checks
    from tf_mavg_check.runners import Gpu

DECAY: Final = 0.9
# Of positions, around what one table of two sides can hold in either form.
COUNTS: Final = (168, 169, 170, 1362, 1363, 1364, 3000)
# Elements that signed and unsigned numbers of 32 bits cannot count, and some more.
BOUNDARIES: Final = (2**31, 2**32)
LONGEST_HOLD: Final = 60.0  # Seconds, after which a check fails that waits for the wrong stream.
WINDOW: Final = 8192  # Elements.


def checks_of(runner: Gpu, form: str) -> Checks:
    """The checks, by tables of one form."""
    yield Check(f"{runner.name}: full tables", functools.partial(check_full_tables, runner))
    yield Check(f"{runner.name}: order of two streams", functools.partial(check_order, form))
    yield Check(
        f"{runner.name}: elements beyond 2^32", functools.partial(check_beyond_32_bits, form)
    )


def check_full_tables(runner: Gpu) -> str:
    """Lists around the capacity of tables, and of several tables."""
    numbers, compared = Numbers(), 0
    for count in COUNTS:
        sizes = [1 + position % 19 for position in range(count)]
        sizes[50] = 3 * runner.chunk_bytes  # One position of many chunks among those of one.
        sizes[100] = 0
        averages = numbers.normal(sizes, reference.FLOAT32)
        variables = numbers.normal(sizes, reference.FLOAT32)
        expected = [
            reference.updated(average, variable, DECAY)
            for average, variable in zip(averages, variables, strict=True)
        ]
        runner.run("apply_moving_average", [averages], variables, [reference.rate_of(DECAY)])
        compared += compare(averages, expected, what=f"{count} variables")
        runner.run("swap", averages, variables)
        compare(variables, expected, what=f"{count} variables, swapped")
    return f"{compared:,} elements"


def check_order(form: str) -> str:
    """Work waits for what its own stream was given before it, and for no other stream."""
    numbers = Numbers()
    sizes = [1000, 70_000]
    averages, variables = (numbers.normal(sizes, reference.FLOAT32) for _ in range(2))
    expected = [
        reference.updated(average, variable, DECAY)
        for average, variable in zip(averages, variables, strict=True)
    ]
    busy, free = (_Lists([averages, variables]) for _ in range(2))
    held, other = native().GpuStream(), native().GpuStream()
    loading = _Lists([[np.ones(1, np.float32)]] * 2)
    loading.update(form, other)  # Loads the kernels: nothing below may wait for that.
    other.synchronize()
    held.hold(LONGEST_HOLD)
    try:
        busy.update(form, held)
        busy.buffers.copy(1, 0, held)  # The variables become the averages.
        free.update(form, other)
        other.synchronize()  # Would never return if it waited for the held stream.
        compare(busy.read(0), averages, what="an update ran ahead of its stream")
        compare(busy.read(1), variables, what="a copy ran ahead of its stream")
    finally:
        held.release()
    held.synchronize()
    compare(free.read(0), expected, what="the free stream")
    compare(busy.read(0), expected, what="the held stream")
    compare(busy.read(1), expected, what="the copy behind an update")
    return "2 streams"


class _Lists:
    """Lists of float32 arrays in device memory: averages, variables."""

    def __init__(self, sides: list[list[Array]]) -> None:
        """Copies the arrays there."""
        self._sizes = [array.size for array in sides[0]]
        rates = [float(reference.rate_of(DECAY))]
        self.buffers = native().GpuBuffers([4] * len(sides), self._sizes, rates)
        for side, arrays in enumerate(sides):
            for position, array in enumerate(arrays):
                self.buffers.write(side, position, 0, array)

    def update(self, form: str, stream: object) -> None:
        """Enqueues an update."""
        self.buffers.apply_moving_average("float32", "float32", form, stream)

    def read(self, side: int) -> list[Array]:
        """What a side holds now."""
        found = [np.empty(size, np.float32) for size in self._sizes]
        for position, array in enumerate(found):
            self.buffers.read(side, position, 0, array)
        return found


def check_beyond_32_bits(form: str, boundaries: Sequence[int] = BOUNDARIES) -> str:
    """An update and a swap of one variable that reaches beyond each boundary, in bfloat16.

    Its elements are compared in windows: at the beginning, around the boundaries, in between, at
    the end, which is in the middle of a chunk.
    """
    elements = boundaries[-1] + 5 * WINDOW + 5
    free_bytes, _ = native().gpu_memory()
    needed = 2 * elements * reference.BFLOAT16.itemsize
    if free_bytes < 1.05 * needed:
        message = (
            f"needs {needed / 1e9:.1f} GB of device memory, {free_bytes / 1e9:.1f} GB are free"
        )
        raise LeftOut(message)
    begins = [0, *(boundary - WINDOW // 2 for boundary in boundaries), elements - WINDOW]
    between = [begin + 2 * WINDOW for begin in begins[:-1]]
    buffers = native().GpuBuffers([2, 2], [elements], [float(reference.rate_of(DECAY))])
    numbers = Numbers()
    sides = []
    for side, byte in enumerate((0x3F, 0x40)):
        buffers.fill(side, byte)
        filled = np.full(2 * WINDOW, byte, np.uint8).view(reference.BFLOAT16)
        windows = [*numbers.normal([WINDOW] * len(begins), reference.BFLOAT16)]
        for begin, window in zip(begins, windows, strict=True):
            buffers.write(side, 0, begin, window.view(np.uint16))
        sides.append(windows + [filled] * len(between))
    stream = native().GpuStream()
    buffers.apply_moving_average("bfloat16", "bfloat16", form, stream)
    buffers.swap(form, stream)
    stream.synchronize()
    averages, variables = sides
    moved = [
        reference.updated(average, variable, DECAY)
        for average, variable in zip(averages, variables, strict=True)
    ]
    compared = 0
    for side, expected in enumerate((variables, moved)):
        received = [np.empty(WINDOW, reference.BFLOAT16) for _ in expected]
        for begin, window in zip(begins + between, received, strict=True):
            buffers.read(side, 0, begin, window.view(np.uint16))
        compared += compare(received, expected, what=f"{WINDOW} from each of {begins + between}")
    return f"{elements:,} elements, {compared:,} of them compared"
