"""Signals wait while averages and variables change places, and no signal prevents the way back.

A handler of Python may raise: KeyboardInterrupt by Ctrl-C, SystemExit by the SIGTERM of a job
scheduler. Between a swap and its note that would leave averages in the place of weights unseen.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any

from tf_mavg._native import SureContext

if TYPE_CHECKING:
    from collections.abc import Sequence


def uninterrupted() -> contextlib.AbstractContextManager[None]:
    """A context in which signals wait; at its end the handler of each that came is called.

    Python handles signals in the main thread only: elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        return contextlib.nullcontext()
    handlers: dict[int, Any] = {}
    received: dict[int, Any] = {}

    def note(number: int, frame: Any) -> None:
        received[number] = frame

    def enter() -> None:
        for number in signal.valid_signals():
            handler = signal.getsignal(number)
            if callable(handler):  # Those that are Python's own.
                handlers[number] = handler
                signal.signal(number, note)

    def leave(_: BaseException | None) -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        while received:  # Each is called, if another one raises.
            number, frame = received.popitem()
            handlers[number](number, frame)

    return SureContext(enter, leave)


def together(
    contexts: Sequence[contextlib.AbstractContextManager[None]],
) -> contextlib.AbstractContextManager[None]:
    """A context in which all of some contexts are; it leaves them in the reverse order.

    Args:
      contexts: Contexts whose ends do nothing where they did not begin or have ended: those of this
        module, and swaps.
    """

    def enter() -> None:
        for context in contexts:
            context.__enter__()

    def leave(error: BaseException | None) -> None:
        with contextlib.ExitStack() as stack:  # Each is left, if another one fails.
            for context in contexts:
                stack.callback(context.__exit__, None, error, None)

    return SureContext(enter, leave)
