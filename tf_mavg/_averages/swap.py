"""Whether averages and variables have changed places, and what is refused meanwhile."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any, Final

import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# The name of the op at which a compiled step stops: all of our words that XLA's message can hold.
_SEEN_BY_XLA: Final = "weights_hold_averages_until_swapped_back"


class SwapState:
    """Base of what swaps variables with their averages; it knows when they are swapped.

    A function that was traced before a swap must know of it when it runs. Two variables tell it: a
    flag to assert, and one whose shape changes, because XLA drops assertions but compiles anew for
    another shape.
    """

    # How messages call the two, and the way out.
    _swapped_text = "while averages and variables are swapped; swap back first."
    _is_swapped = False
    _saves_swapped = False
    _flags: tuple[tf.Variable, tf.Variable] | None = None

    def _make_flags(self) -> None:
        """Makes what functions must know; not while they are traced, who would trace again."""
        # A graph of TensorFlow 1 would have to initialize them, and has no functions to tell.
        if tf.compat.v1.executing_eagerly_outside_functions():
            with tf.init_scope():
                flag = tf.Variable(initial_value=False, trainable=False)
                # Of shape [0], and [1] while swapped.
                shape = tf.Variable(tf.zeros([0]), shape=[None], trainable=False)
            self._flags = flag, shape

    @property
    def is_swapped(self) -> bool:
        """Whether averages and variables have changed places and not yet changed back.

        It tells of swaps that ran in eager mode or by `swapped`, not of a swap op that a Session
        or a tf.function ran.
        """
        return self._is_swapped

    def swapped(self) -> contextlib.AbstractContextManager[None]:
        """A context in which the variables hold the averages; it always swaps back."""
        raise NotImplementedError

    def swapped_for_saving(self) -> contextlib.AbstractContextManager[None]:
        """As `swapped`, but checkpoints may be saved: with averages in the place of variables."""
        return self._swapped_for_saving()

    @contextlib.contextmanager
    def _swapped_for_saving(self) -> Iterator[None]:
        with self.swapped():
            self._saves_swapped = True
            try:
                yield
            finally:
                self._saves_swapped = False

    def check_can_save(self) -> None:
        """Raises RuntimeError if a checkpoint would hold values in the wrong places."""
        if self._is_swapped and not self._saves_swapped:
            message = f"A checkpoint cannot be saved or restored {self._swapped_text}"
            raise RuntimeError(message)

    def check_not_swapped(self, what: str, *, for_xla: bool = True) -> list[tf.Operation]:
        """Refuses to go on if averages and variables are swapped, now or when a function is run.

        Args:
          what: What is refused, as the subject and verb of a sentence.
          for_xla: Whether XLA may compile the function.

        Returns:
          In a function, the operations that what is refused must wait for.

        Raises:
          RuntimeError: If they are swapped now.
        """
        message = f"{what} {self._swapped_text}"
        if self._is_swapped:
            raise RuntimeError(message)
        in_function = not tf.executing_eagerly() and tf.inside_function()
        if self._flags is None or not in_function:
            return []
        flag, shape = self._flags
        # The op itself: tf.debugging.Assert would add a conditional, a function call a step.
        holds = tf.logical_not(flag.read_value())
        asserted = tf.raw_ops.Assert(condition=holds, data=[tf.constant(message)])
        if not for_xla:
            return [asserted]
        with tf.control_dependencies([asserted]):  # It has the better words.
            compiled = tf.ensure_shape(shape.read_value(), [0], name=_SEEN_BY_XLA)
        return [compiled.op]

    def children_of_functions(self, save_type: str) -> dict[str, tf.Variable]:
        """What a SavedModel must hold for the functions in it that refuse to run while swapped."""
        if self._flags is None or save_type == "checkpoint":
            return {}
        return dict(zip(("swapped_flag", "swapped_shape"), self._flags, strict=True))

    @contextlib.contextmanager
    def _swapped_by(
        self, swap: Callable[[], Any], swap_back: Callable[[], Any] | None = None
    ) -> Iterator[None]:
        """A context between two swaps; each changes nothing when it fails.

        Where XLA refused a step within it, in words of its own, it says so in ours.

        `is_swapped` is true to the values at every moment: Ctrl-C takes effect before a swap, or
        after it is noted and will be undone.
        """
        self.check_not_swapped("swapped() cannot be entered")
        try:
            with uninterrupted():
                swap()
                self._note_swapped(value=True)
            yield
        except tf.errors.InvalidArgumentError as error:
            if _SEEN_BY_XLA not in str(error):
                raise
            message = f"No compiled step can be taken {self._swapped_text}"
            raise tf.errors.InvalidArgumentError(None, None, message) from error
        finally:
            with uninterrupted():
                if self._is_swapped:
                    (swap_back or swap)()
                    self._note_swapped(value=False)

    def _note_swapped(self, *, value: bool) -> None:
        self._is_swapped = value
        if self._flags is not None and tf.executing_eagerly():
            flag, shape = self._flags
            flag.assign(value)
            shape.assign(tf.zeros([int(value)]))


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """A context in which Ctrl-C waits; at its end it raises KeyboardInterrupt as ever.

    Python handles signals in the main thread only, and cannot put back a handler that is not its
    own: elsewhere, and then, this does nothing.
    """
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    if not is_main or not callable(handler):
        yield
        return
    received: list[Any] = []
    signal.signal(signal.SIGINT, lambda *arguments: received.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if received:
            handler(*received[-1])
