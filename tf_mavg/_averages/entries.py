"""The entries of one holder: which variable has which averages, in which graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tf_mavg._ops.variables import tensorflow_variable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tf_mavg._averages.entry import Entry


class Entries:
    """Finds entries by their variable, which it keeps alive, and by the graph they belong to."""

    def __init__(self, averages: int) -> None:
        """Has none yet; each variable will have `averages` of them."""
        self._averages = averages
        # By the variable's id, in the order of making: its entries in the order of their index.
        self._of: dict[int, tuple[Entry, ...]] = {}
        # Those of one graph, for it does not keep others alive: by index, made when asked for.
        self._in: dict[tf.Graph | None, list[list[Entry]]] = {}

    def __contains__(self, variable: Any) -> bool:
        """Whether a variable has averages; it may be a Keras 3 one."""
        return id(tensorflow_variable(variable)) in self._of

    def __len__(self) -> int:
        """How many variables have averages."""
        return len(self._of)

    def __iter__(self) -> Iterator[tuple[Entry, ...]]:
        """The entries of each variable, of all graphs."""
        return iter(self._of.values())

    def of(self, variable: Any) -> tuple[Entry, ...]:
        """The entries of a variable, which may be a Keras 3 one; empty if it has none."""
        return self._of.get(id(tensorflow_variable(variable)), ())

    def position_of(self, variable: Any) -> int:
        """How many variables had averages, in all graphs, when those of this one were made."""
        return list(self._of).index(id(tensorflow_variable(variable)))

    def at_hand(self, index: int) -> list[Entry]:
        """Those of an index in the default graph; the same list until entries come or go."""
        graph = graph_at_hand()
        if graph not in self._in:
            chosen = [entries for entries in self if entries[0].graph is graph]
            self._in = {graph: [[es[i] for es in chosen] for i in range(self._averages)]}
        return self._in[graph][index]

    def add(self, entries: Sequence[Entry]) -> None:
        """Adds the entries of a variable."""
        self._of[id(entries[0].variable)] = tuple(entries)
        self._in.clear()

    def remove(self, entries: Sequence[Entry]) -> None:
        """Removes the entries of a variable."""
        del self._of[id(entries[0].variable)]
        self._in.clear()


def graph_at_hand() -> tf.Graph | None:
    """The default graph, outside of functions; None in eager mode."""
    if tf.compat.v1.executing_eagerly_outside_functions():
        return None
    graph = tf.compat.v1.get_default_graph()
    while getattr(graph, "outer_graph", None) is not None:
        graph = graph.outer_graph
    return graph
