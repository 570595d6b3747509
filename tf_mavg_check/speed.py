"""How fast the kernels of device 0 are, against its own copy of memory.

A kernel's time is that of many launches in a row, which wait on a held stream until all are there:
so the device never waits for the host. A figure is the median of several such rows.
"""

from __future__ import annotations

import functools
import math
import statistics
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tf_mavg_check import reference, shapes
from tf_mavg_check.native import native

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROWS: Final = 7
SECONDS_A_ROW: Final = 0.01
ENQUEUED: Final = 5  # Launches, for what one costs the host.
# Of a row: a queue of more, with 32 KB of parameters each, was full on an H200.
MOST_LAUNCHES: Final = 100
LONGEST_HOLD: Final = 0.1  # Seconds, in which the host enqueues a row.
RATE: Final = float(reference.rate_of(0.999))
LARGE: Final = 2**28  # Elements of the one large variable: a gigabyte in float32.


class Figure(NamedTuple):
    """A measured kernel.

    Attributes:
      workload: What the variables are, as in "BERT-large".
      kernel: What ran.
      seconds: Of one pass over the workload.
      bytes_moved: That a pass reads and writes, at least.
      of_copy: Its bytes a second, over those of the device's copy; None for the copy itself.
    """

    workload: str
    kernel: str
    seconds: float
    bytes_moved: int
    of_copy: float | None


class Overhead(NamedTuple):
    """What the host pays to enqueue an update, in seconds."""

    variables: int
    seconds: float


def workloads(most_elements: int) -> dict[str, list[int]]:
    """Elements of each variable, by what the variables are; at most so many in a workload."""
    found = {
        "1,000 x 64": [64] * 1000,
        "ResNet-50": [math.prod(shape) for shape in shapes.resnet_50()],
        "BERT-large": [math.prod(shape) for shape in shapes.bert_large()],
        "one variable": [LARGE],
    }
    return {name: _shrunk(elements, most_elements) for name, elements in found.items()}


def _shrunk(elements: list[int], most: int) -> list[int]:
    factor = min(1.0, most / sum(elements))
    return [max(1, int(count * factor)) for count in elements]


def figures(form: str, most_elements: int = LARGE) -> Iterator[Figure]:
    """Figures of each kernel on each workload, as soon as they are there."""
    large = workloads(most_elements)["one variable"]
    copy, copied = _seconds_of_copy(large), 2 * 4 * sum(large)
    yield Figure("one variable", "copy by the driver", copy, copied, None)
    for workload, elements in workloads(most_elements).items():
        for kernel, bytes_an_element, launch_on in kernels(elements, form):
            seconds = _median_seconds(launch_on)
            moved = bytes_an_element * sum(elements)
            yield Figure(workload, kernel, seconds, moved, (moved / seconds) / (copied / copy))


def kernels(elements: list[int], form: str) -> Iterator[tuple[str, int, Callable[[Any], None]]]:
    """Kernels, the bytes that each moves an element, and what enqueues one pass."""
    for average, variable in reference.AVERAGE_DTYPES:
        name = reference.dtypes_text(average, variable)
        buffers = _buffers([average.itemsize, variable.itemsize], elements)
        moved = 2 * average.itemsize + variable.itemsize
        yield (
            f"update, {name}",
            moved,
            functools.partial(buffers.apply_moving_average, average.name, variable.name, form),
        )
        if average == variable == reference.FLOAT32:
            yield "swap, float32", 16, functools.partial(buffers.swap, form)
        del buffers  # Before the next ones are made.
    split = _buffers([2, 2, 2], elements)
    yield "update, split", 10, functools.partial(split.apply_split_moving_average, form)


def _buffers(sides: list[int], elements: list[int]) -> Any:
    buffers = native().GpuBuffers(sides, elements, [RATE])
    for side in range(len(sides)):
        buffers.fill(side, 0x3C + side)  # A number near 1 in every dtype, another on each side.
    return buffers


def _seconds_of_copy(elements: list[int]) -> float:
    buffers = _buffers([4, 4], elements)
    return _median_seconds(lambda stream: buffers.copy(0, 1, stream))


def _median_seconds(launch_on: Callable[[Any], None]) -> float:
    """Seconds of one launch, among many in a row."""
    stream = new_stream()
    launch_on(stream)  # Loads the kernel.
    stream.synchronize()
    launches = launches_a_row(seconds_a_launch(launch_on, stream, launches=1))
    return statistics.median(
        seconds_a_launch(launch_on, stream, launches=launches) for _ in range(ROWS)
    )


def launches_a_row(seconds: float) -> int:
    """How many launches of so many seconds make a row."""
    return int(min(MOST_LAUNCHES, max(1, SECONDS_A_ROW / max(seconds, 1e-9))))


def new_stream() -> Any:
    """A stream of device 0."""
    return native().GpuStream()


def seconds_a_launch(launch_on: Callable[[Any], None], stream: Any, *, launches: int) -> float:
    """Seconds of one of so many launches, which the device begins when all are there."""
    begin, end = native().GpuEvent(), native().GpuEvent()
    stream.hold(LONGEST_HOLD)
    begin.record(stream)
    for _ in range(launches):
        launch_on(stream)
    end.record(stream)
    stream.release()
    return float(end.seconds_since(begin)) / launches


def overheads(form: str, most_elements: int = LARGE) -> Iterator[Overhead]:
    """What an enqueued update of 1 and of 1,000 variables costs the host."""
    for variables in (1, 1000):
        buffers = _buffers([4, 4], _shrunk([64] * variables, most_elements))
        stream = new_stream()
        seconds = []
        for _ in range(ROWS):
            stream.hold(LONGEST_HOLD)
            began = time.perf_counter()
            for _ in range(ENQUEUED):
                buffers.apply_moving_average("float32", "float32", form, stream)
            seconds.append((time.perf_counter() - began) / ENQUEUED)
            stream.release()
            stream.synchronize()
        yield Overhead(variables, statistics.median(seconds))
