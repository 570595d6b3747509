"""Averages that start later than they are made: when their variables have the values to start at.

A tf.function that makes variables gives them their values when it runs, not while it is traced; a
model of Keras may load its weights after its optimizer has been built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tf_mavg._averages.components.remainders import clear
from tf_mavg._averages.components.replicas import Pair, pairs_at_hand, remainders_at_hand
from tf_mavg._averages.entry import Entry, assign_all
from tf_mavg._compat.tensorflow import make_variable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class LateStarts:
    """The entries of one holder whose averages are still to start."""

    def __init__(self) -> None:
        """None."""
        self._entries: list[Entry] = []
        # By id of an entry, for those of a function: whether it has started them.
        self._started: dict[int, tf.Variable] = {}

    def __iter__(self) -> Iterator[Entry]:
        """The entries."""
        return iter(self._entries)

    def __bool__(self) -> bool:
        """Whether there is one."""
        return bool(self._entries)

    def add(self, entry: Entry) -> None:
        """Notes that an average is to start."""
        self._entries.append(entry)

    def discard(self, entries: Iterable[Entry]) -> None:
        """Notes that averages have a value, or are gone."""
        done = {id(entry) for entry in entries}
        self._entries = [entry for entry in self._entries if id(entry) not in done]
        self._started = {key: flag for key, flag in self._started.items() if key not in done}

    def among(self, entries: Iterable[Entry]) -> bool:
        """Whether one of the entries is to start."""
        late = {id(entry) for entry in self._entries}
        return bool(late) and any(id(entry) in late for entry in entries)

    def start(self) -> None:
        """Starts those whose variables have values by now."""
        if not self._entries:
            return
        with tf.init_scope():
            if not tf.executing_eagerly():
                return
            ready = [entry for entry in self._entries if entry.is_initialized()]
            for entry in ready:
                started = self._started.get(id(entry))
                if started is None or not started.numpy():
                    assign_all(entry.pairs)
                    clear(entry.remainders)
            self.discard(ready)

    def start_in_function(self, entries: Iterable[Entry]) -> None:
        """Starts those of a function that is being traced, when it runs.

        TensorFlow traces a function that makes variables once more, and drops the first trace,
        unless the variables' initial values depend on the function's arguments.
        """
        known = {id(entry) for entry in self._entries}
        by_flag: dict[int, tuple[tf.Variable, list[Entry]]] = {}
        new = None
        for entry in entries:
            if id(entry) not in known:
                continue
            if id(entry) not in self._started:
                if new is None:
                    with tf.init_scope():
                        new = make_variable(tf.constant(value=False))
                self._started[id(entry)] = new
            flag = self._started[id(entry)]
            by_flag.setdefault(id(flag), (flag, []))[1].append(entry)
        for flag, late in by_flag.values():
            _start_once(flag, pairs_at_hand(late), remainders_at_hand(late))


def _start_once(started: tf.Variable, pairs: list[Pair], remainders: list[Any]) -> None:
    """Starts averages when a function is run, unless it has been run before."""
    if not pairs:
        return

    def start() -> None:
        assign_all(pairs)
        clear(remainders)
        started.assign(value=True)

    tf.cond(started, lambda: None, start)
