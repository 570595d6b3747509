"""Exceptions of signal handlers, raised at a chosen point of our code."""

import contextlib
import linecache
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import tf_mavg

# What a signal may interrupt: our code, and that which manages its contexts.
OURS = str(Path(tf_mavg.__file__).parent)
CONTEXTS = contextlib.__file__


class Interruption(BaseException):
    """What the handler of a signal raises: no Exception, and none of Python's own."""


@contextlib.contextmanager
def handled(number: int = signal.SIGTERM) -> Iterator[None]:
    """A context in which a signal raises Interruption."""

    def stop(*_: object) -> None:
        raise Interruption

    before = signal.signal(number, stop)
    try:
        yield
    finally:
        signal.signal(number, before)


def _ends_a_block(frame: FrameType, lines: dict[FrameType, int]) -> bool:
    """Whether a frame is about to leave a `with` block, of which Python tells by its first line.

    No signal is handled there: Python looks for one after each call, which is within the block
    still, and then calls `__exit__`.
    """
    before, lines[frame] = lines.get(frame, 0), frame.f_lineno
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip()
    return frame.f_lineno < before and not line.startswith(("for ", "while "))


def _is_ours(frame: FrameType) -> bool:
    """Whether a frame is of our code, or manages one of our contexts for it.

    Not one of TensorFlow's, which cannot bear a signal: its stack of graphs is out of order then.
    """
    if frame.f_code.co_filename != CONTEXTS or frame.f_back is None:
        return frame.f_code.co_filename.startswith(OURS)
    generator = getattr(frame.f_locals.get("self"), "gen", None)
    managed = generator.gi_code if generator else frame.f_back.f_code
    return managed.co_filename.startswith(OURS) and frame.f_back.f_code.co_filename.startswith(OURS)


def run_interrupted(
    function: Callable[[], Any], at: int, *, times: int = 1, number: int = signal.SIGTERM
) -> bool:
    """Runs a function, to which a signal comes at some line of our code.

    Args:
      function: What to run; it may raise Interruption, in a context of `handled`.
      at: Before how many further lines the signal comes.
      times: How many signals come, at so many lines one after the other.
      number: The signal.

    Returns:
      Whether the function went so far that all signals came.
    """
    left = [at, times]
    lines: dict[FrameType, int] = {}  # The last one of each frame.

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if not _is_ours(frame):
            return None
        if event == "line" and left[1] and not _ends_a_block(frame, lines):
            if left[0] > 0:
                left[0] -= 1
            else:
                left[1] -= 1
                signal.raise_signal(number)
        return trace

    # A handler that raises within a trace function ends the tracing: further signals come to what
    # made the first one wait.
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return not left[1]
