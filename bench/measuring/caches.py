"""Empties the processor's caches before a step, as a step of training does; and shows that it does.

A thread on each processor reads its way through memory of its own size class: several times the
largest cache. Whatever a cache held before, values, Python's objects and code alike, has then made
room, on every processor and also where a cache of one keeps nothing that another one has read.

Then the contestant's own framework adds up as much memory: what is averaged after a step of
training comes right after that framework's other work, and not after another program's.
"""

from __future__ import annotations

import os
import timeit
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Callable

    # Of so many bytes: what adds them up.
    MakePass = Callable[[int], Callable[[], object]]

# Caches replace lines in an order that only resembles the oldest first.
LARGEST_CACHES: Final = 4
# Where Linux does not tell: more than most processors have.
UNKNOWN_CACHE_BYTES: Final = 2**26
SYSTEM: Final = Path("/sys/devices/system/cpu")
LINE_BYTES: Final = 64
# What is read to see whether caches are empty: 256 KiB, which the caches of one processor hold.
PROBE_LINES: Final = 4096
PROBE_ROUNDS: Final = 15


class Flush:
    """A call that empties the caches of the processors that this process may run on.

    Attributes:
      memory_bytes: What each of them reads.
    """

    def __init__(self, memory_bytes: int, make_pass: MakePass | None = None) -> None:
        """Takes the memory, and a thread a processor; `make_pass` makes the framework's pass."""
        self.memory_bytes = memory_bytes
        self._make_pass = make_pass
        self._pass = make_pass(memory_bytes) if make_pass else None
        # Written: all pages of np.zeros are one page of zeros, which every cache holds.
        self._memory = np.ones(memory_bytes // 8, np.float64)
        self._processors = sorted(os.sched_getaffinity(0))
        self._threads = ThreadPoolExecutor(len(self._processors))

    def __call__(self) -> None:
        """Returns when the caches hold nothing but such memory, and what reads it."""
        list(self._threads.map(self._read, self._processors))
        if self._pass:
            self._pass()

    def of_twice_as_much(self) -> Flush:
        """Another one, with twice the memory."""
        return Flush(2 * self.memory_bytes, self._make_pass)

    def _read(self, processor: int) -> None:
        os.sched_setaffinity(0, {processor})  # Of this thread alone.
        self._memory.sum()


def tensorflow_pass(memory_bytes: int) -> Callable[[], object]:
    """What adds up memory in TensorFlow."""
    with tf.device("/cpu:0"):
        memory = tf.ones([memory_bytes // 4])
    return lambda: tf.reduce_sum(memory)


def torch_pass(memory_bytes: int) -> Callable[[], object]:
    """What adds up memory in PyTorch."""
    import torch  # noqa: PLC0415 - an optional peer.

    return torch.ones(memory_bytes // 4).sum


# By runner; all that are not named run in TensorFlow.
PASSES: Final[dict[str, MakePass | None]] = {"torch": torch_pass, "C++": None}


def new_flush(runner: str) -> Flush:
    """A flush of this machine's caches, before the step of a contestant of that runner."""
    return Flush(LARGEST_CACHES * largest_cache_bytes(), PASSES.get(runner, tensorflow_pass))


def largest_cache_bytes(system: Path = SYSTEM) -> int:
    """The size of the largest cache of any processor, as Linux tells it."""
    sizes = [path.read_text(encoding="ascii") for path in system.glob("cpu*/cache/index*/size")]
    return max((1024 * int(size.strip("K\n")) for size in sizes), default=UNKNOWN_CACHE_BYTES)


def evidence(flush: Flush) -> dict[str, Any]:
    """How long the lines of a probe take to read: warm, after a flush, and after twice as much.

    If a flush left lines in a cache, more of it would make them slower. Ready for JSON: sizes, and
    the median seconds a line.
    """
    probe = np.ones(PROBE_LINES * LINE_BYTES, np.uint8)
    # Drawn anew, so that no processor can tell which line is next.
    order = LINE_BYTES * np.random.default_rng(seed=0).permutation(PROBE_LINES)
    found = np.empty(PROBE_LINES, np.uint8)

    def read() -> None:
        probe.take(order, out=found, mode="clip")  # Other modes read into a buffer first.

    def seconds_a_line(before: Any) -> float:
        turns = [timeit.Timer(read, setup=before).timeit(1) for _ in range(PROBE_ROUNDS)]
        return float(np.median(turns)) / PROBE_LINES

    return {
        "largest_cache_bytes": largest_cache_bytes(),
        "memory_bytes": flush.memory_bytes,
        "warm_s": seconds_a_line(read),
        "flushed_s": seconds_a_line(flush),
        "flushed_twice_s": seconds_a_line(flush.of_twice_as_much()),
    }
