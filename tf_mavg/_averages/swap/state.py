"""Whether averages and variables have changed places, and what is refused meanwhile.

A swap is noted in three places, which change together: in Python, for eager code; in a flag beside
the averages of each device, for functions that were traced before; and in a mark that checkpoints
hold, so that a restore knows where the values of its file belong. Graphs of TensorFlow 1 have flags
of their own.

A signal takes effect before a swap, or after it is noted and will be undone: see signals.py.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

import tensorflow as tf

from tf_mavg._averages.swap.graph_flags import GraphFlags, MarkInGraph
from tf_mavg._averages.swap.signals import uninterrupted
from tf_mavg._compat.tensorflow import (
    NotingVariable,
    compiles_with_xla,
    in_asynchronous_save,
    make_variable,
)
from tf_mavg._native import SureContext

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable

# The name of the op at which a compiled step stops: all of our words that XLA's message can hold.
_SEEN_BY_XLA: Final = "weights_hold_averages_until_swapped_back"


class SwapState(tf.__internal__.tracking.AutoTrackable):  # type: ignore[misc]
    """The state of one holder of averages: swapped, or not.

    A checkpoint that tracks it holds `averages_in_place` and `index_in_place`, and sets both when
    it is restored. The index may then be one of averages that this program does not have.
    """

    def __init__(self, way_out: str) -> None:
        """Not swapped.

        Args:
          way_out: The end of every refusal: when it holds, and what to do.
        """
        self._way_out = way_out
        self._swapped: int | None = None  # The index of the averages that are swapped.
        self._is_restored = False
        self._is_unread = False  # Whether only what checkpoints hold knows.
        self._restore: int | None = None  # The last restore of values in each other's places.
        self._index_restore: int | None = None  # The last that had an index.
        self._may_save = False
        self._entry = threading.RLock()  # Held from the look at the state to the end of a swap.
        self._flags = self._no_dependency({})  # By device: a flag, and a shape for XLA.
        self.graph_flags = self._no_dependency(GraphFlags())
        self._mark_in_graph = self._no_dependency(MarkInGraph())
        if tf.compat.v1.executing_eagerly_outside_functions():
            self._make_mark()

    def _make_mark(self) -> None:
        """Makes what checkpoints hold; a graph of TensorFlow 1 has Savers, with marks of theirs."""
        with tf.init_scope(), tf.device("/cpu:0"):
            self.averages_in_place = NotingVariable(
                initial_value=False, note=self._note_restored, name="averages_in_place"
            )
            self.index_in_place = NotingVariable(
                initial_value=tf.constant(0, tf.int64),
                note=self._note_restored_index,
                name="index_in_place",
            )

    def _lookup_dependency(self, name: str, *args: Any, **kwargs: Any) -> Any:
        found = super()._lookup_dependency(name, *args, **kwargs)
        in_graph = not tf.compat.v1.executing_eagerly_outside_functions()
        return self._mark_in_graph if in_graph and name == "averages_in_place" else found

    @property
    def is_swapped(self) -> bool:
        """Whether averages and variables have changed places and not yet changed back."""
        return self.swapped_index is not None

    @property
    def swapped_index(self) -> int | None:
        """The index of the averages that have changed places with variables; None if none have."""
        if self._is_unread:
            self._read_mark()
        return self._swapped

    @property
    def is_restored(self) -> bool:
        """Whether they did because a checkpoint that holds them so was restored."""
        if self._is_unread:
            self._read_mark()
        return self._is_restored

    def __deepcopy__(self, memo: dict[int, Any]) -> SwapState:
        """A state of its own, alike."""
        state = memo[id(self)] = SwapState(self._way_out)
        for device in self._flags:
            state.add_device(device)
        if self.is_swapped:
            state.put_back(self.swapped_index, restored=self.is_restored)
        return state

    def add_device(self, device: str) -> None:
        """Makes what functions need to know of swaps on a device, unless it is there.

        A graph of TensorFlow 1 would have to initialize it, and has no functions to tell.
        """
        if device in self._flags or not tf.compat.v1.executing_eagerly_outside_functions():
            return
        if not hasattr(self, "averages_in_place"):  # This was made in a graph.
            self._make_mark()
        with tf.init_scope(), tf.device(device):
            value = tf.constant(self.is_swapped)
            flag = make_variable(value, name="swapped")
            shape = make_variable(_shown_to_xla(value), shape=[None], name="swapped_shape")
        self._flags[device] = flag, shape

    def check_can_save(self) -> None:
        """Raises RuntimeError if a checkpoint would hold values in the wrong places."""
        # The writer of an asynchronous save reads copies, made when saving was allowed.
        if self.is_swapped and not self._may_save and not self.is_restored:
            if in_asynchronous_save():
                return
            message = (
                f"A checkpoint cannot be saved or restored {self._way_out} To save averages in the "
                "place of the variables, enter swapped_for_saving() instead of swapped()."
            )
            raise RuntimeError(message)

    def check_late_restore(self, restore: int, variable: Any) -> None:
        """Raises RuntimeError if a variable receives the value that its average has now.

        Args:
          restore: The number of the restore that gives a late variable its value.
          variable: That variable.
        """
        if restore == self._restore and not self.is_swapped:
            message = (
                f"{variable.name!r} was made after the restore of a checkpoint that holds averages "
                "in the place of variables, and would be given its average as its value; make all "
                "variables before the restore."
            )
            raise RuntimeError(message)

    def check_not_swapped(self, what: str) -> None:
        """Raises RuntimeError if averages and variables are swapped now; `what` as of `guard`."""
        if self.is_swapped:
            message = f"{what} {self._way_out}"
            raise RuntimeError(message)

    def guard(self, what: str, device: str | None = None) -> list[tf.Operation]:
        """Refuses to go on if averages and variables are swapped, now or when a function is run.

        Args:
          what: What is refused, as the subject and verb of a sentence.
          device: Where the function at hand works; by default where the first averages lie.

        Returns:
          In a function or a graph, the operations that what is refused must wait for.

        Raises:
          RuntimeError: If they are swapped now.
        """
        self.check_not_swapped(what)
        if tf.executing_eagerly():
            return []
        if not tf.compat.v1.executing_eagerly_outside_functions():
            with tf.device("/cpu:0"):  # Words lie on no GPU, and nothing moves them from a scope's.
                return [self._assert(self.graph_flags.is_lowered(), what)]
        if not tf.inside_function():
            return []
        if not self._flags:  # The function may make the first averages further on.
            self.add_device(device or "")
        flag, shape = self._flags.get(device) or next(iter(self._flags.values()))
        asserted = self._assert(tf.logical_not(flag.read_value()), what)
        if not compiles_with_xla():
            return [asserted]
        with tf.control_dependencies([asserted]):  # It has the better words.
            compiled = tf.ensure_shape(shape.read_value(), [1], name=_SEEN_BY_XLA)
        return [compiled.op]

    def _assert(self, is_not_swapped: tf.Tensor, what: str) -> tf.Operation:
        # The op itself: tf.debugging.Assert would add a conditional, a function call a step.
        message = tf.constant(f"{what} {self._way_out}")
        return tf.raw_ops.Assert(condition=is_not_swapped, data=[message])

    def flags(self) -> dict[str, tf.Variable]:
        """The variables that functions read: a SavedModel that holds such functions needs them."""
        return {
            f"{name}_{i}": variable
            for i, pair in enumerate(self._flags.values())
            for name, variable in zip(("swapped", "swapped_shape"), pair, strict=True)
        }

    def swapped_by(
        self, swap: Callable[[], Any], index: int, *, may_save: bool = False
    ) -> contextlib.AbstractContextManager[None]:
        """A context between two swaps; each changes nothing when it fails.

        It swaps back whatever signals come. Where XLA refused a step within it, in words of its
        own, it says so in ours.

        Args:
          swap: Swaps the averages of an index and the variables, there or back.
          index: That index.
          may_save: Whether checkpoints may meanwhile hold averages in the place of variables.
        """
        swapped: list[int] = []

        def enter() -> None:
            with self._entry:
                self.check_not_swapped("swapped() cannot be entered")
                with uninterrupted():
                    self.swap(swap, index)
                    self._may_save = may_save
                    swapped.append(index)

        def leave(error: BaseException | None) -> None:
            with uninterrupted():
                if swapped and self.is_swapped:
                    self.swap(swap, index)
                if swapped:
                    self._may_save = False
                    swapped.clear()
            if isinstance(error, tf.errors.InvalidArgumentError) and _SEEN_BY_XLA in str(error):
                message = f"No compiled step can be taken {self._way_out}"
                raise tf.errors.InvalidArgumentError(None, None, message) from error

        return SureContext(enter, leave)

    def swap(self, swap: Callable[[], Any], index: int) -> None:
        """Swaps and notes it, as one act for signals; arguments as of `swapped_by`.

        Raises:
          RuntimeError: If averages of another index are swapped now.
        """
        if self.swapped_index not in {None, index}:
            message = f"Averages of index {index} cannot be swapped {self._way_out}"
            raise RuntimeError(message)
        with uninterrupted():
            swap()
            self._note(None if self.is_swapped else index)

    def put_back(self, swapped: int | None, *, restored: bool = False) -> None:
        """Notes that values are where they were in the state that is given."""
        self._note(swapped)
        self._is_restored = restored

    def _note(self, swapped: int | None) -> None:
        """Notes which averages are in the place of variables now."""
        self._swapped = swapped
        self._is_restored = self._is_unread = False
        # One that was made in a graph has no marks, though the caller may have left the graph.
        if tf.executing_eagerly() and hasattr(self, "averages_in_place"):
            self.averages_in_place.assign(swapped is not None)
            self.index_in_place.assign(swapped or 0)
            self._tell_functions(tf.constant(swapped is not None))

    def _tell_functions(self, value: tf.Tensor) -> None:
        for flag, shape in self._flags.values():
            flag.assign(value)
            shape.assign(_shown_to_xla(value))

    def _note_restored(self, value: tf.Tensor, restore: int) -> None:
        """Notes that a checkpoint gave variables and averages the values of this state."""
        if self._index_restore != restore:  # If there is an index in the checkpoint, it comes yet.
            self.index_in_place.assign(0)
        self._restore = restore
        self._tell_functions(value)
        self._read_or_wait(value)

    def _note_restored_index(self, value: tf.Tensor, restore: int) -> None:
        """Notes which averages a checkpoint has in the place of variables, if it has any there."""
        self._index_restore = restore
        self._read_or_wait(value)

    def _read_or_wait(self, value: tf.Tensor) -> None:
        """Reads the state that is restored, unless TensorFlow traces the restore."""
        self._is_unread = True  # It does so with objects on several devices.
        if not tf.is_symbolic_tensor(value):
            self._read_mark()

    def _read_mark(self) -> None:
        if tf.inside_function():
            return
        self._is_unread = False
        self._is_restored = bool(self.averages_in_place.read_value())
        if self._is_restored:
            self._swapped = int(self.index_in_place.read_value())
        else:
            self._swapped = self._restore = None


def _shown_to_xla(value: tf.Tensor) -> tf.Tensor:
    """Of one element, and of two while swapped: XLA drops assertions, but not shapes."""
    return tf.zeros([1 + tf.cast(value, tf.int32)])
