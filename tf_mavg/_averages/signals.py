"""Signals wait while averages and variables change places.

A handler of Python may raise: KeyboardInterrupt by Ctrl-C, SystemExit by the SIGTERM of a job
scheduler. Between a swap and its note that would leave averages in the place of weights unseen.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """A context in which signals wait; at its end the handler of each that came is called.

    Python handles signals in the main thread only: elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers: dict[int, Any] = {
        number: handler
        for number in signal.valid_signals()
        if callable(handler := signal.getsignal(number))  # Those that are Python's own.
    }
    received: dict[int, Any] = {}

    def note(number: int, frame: Any) -> None:
        received[number] = frame

    for number in handlers:
        signal.signal(number, note)
    try:
        yield
    finally:
        with contextlib.ExitStack() as stack:  # Each is called, if another one raises.
            for number, handler in handlers.items():
                signal.signal(number, handler)
            for arrived, frame in received.items():
                stack.callback(handlers[arrived], arrived, frame)
