"""How the averages of one holder, those of one index, change places with their variables.

An average changes places with a variable of its dtype, and no byte moves. Else the variable gets a
copy: a rounded one where its dtype is lower; the owner's on replicas that do not own the average.
Its own value is held meanwhile and comes back from there, to the last bit, without waiting for
another worker.
"""

from __future__ import annotations

import contextlib
import copy
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tf_mavg import ops
from tf_mavg._averages.held import HeldValues
from tf_mavg._averages.owned import check_can_spread, others_of, spread
from tf_mavg._averages.replicas import (
    check_all_workers_swap,
    check_can_compile,
    check_can_swap,
    two_lists,
)
from tf_mavg._compat.distribute import components_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tf_mavg._averages.averages import Averages
    from tf_mavg._averages.entry import Entry


class Exchange:
    """The exchange, eagerly or as an op; it notes nothing: see swap.py."""

    def __init__(self, averages: Averages, index: int) -> None:
        """Exchanges the averages of a holder that have an index."""
        self._averages = averages
        self._index = index
        self._held = HeldValues()
        # The entries that were divided last, into those of one dtype, which are bound, and others.
        self._divided_for: list[Entry] | None = None
        self._alike: ops.Binding | None = None
        self._unlike: list[tuple[Any, tf.Variable]] = []
        self._ops: dict[tuple[tf.Graph, int], tuple[tf.Operation, tf.Operation]] = {}

    def __call__(self) -> tf.Operation | None:
        """Exchanges all, or none if it fails.

        Returns:
          The operation that exchanges; None when executing eagerly.

        Raises:
          RuntimeError: If there are no averages.
          TypeError: In a graph, if an average has another dtype than its variable.
        """
        entries = self._averages.entries(self._index)
        if not entries:
            message = (
                "There are no averages yet: apply() must be called before averages can change "
                "places with variables, or create_averages(variables)."
            )
            raise RuntimeError(message)
        check_can_swap(entries)
        check_can_spread(entries, "are swapped")
        self._averages.lazy.catch_up_all()
        if not tf.executing_eagerly():
            averages, variables = two_lists([pair for entry in entries for pair in entry.pairs])
            check_can_compile(variables)
            return ops.swap_variables(averages, variables)
        if self._divided_for is not entries:
            self._divided_for = entries
            alike = [pair for entry in entries if entry.is_alike for pair in entry.pairs]
            self._alike = ops.Binding(*two_lists(alike)) if alike else None
            self._unlike = [pair for e in entries if not e.is_alike for pair in e.pairs]
        if self._averages.state.is_swapped:
            self._check_can_swap_back(entries)
            self._swap_back(entries)
        else:
            check_all_workers_swap(entries)
            self._swap(entries)
        return None

    def _swap(self, entries: Sequence[Entry]) -> None:
        """Gives the variables their averages; if something fails, none of them."""
        self._exchange_alike()
        try:
            others = [one for entry in entries for _, one in others_of(entry)]
            self._held.hold([*(variable for _, variable in self._unlike), *others])
            for average, variable in self._unlike:
                variable.assign(tf.cast(average, variable.dtype))
            spread(entries)
        except BaseException:
            self._swap_back_held()
            raise

    def _check_can_swap_back(self, entries: Sequence[Entry]) -> None:
        """Raises TypeError if a file had averages in places that these could not have come from."""
        unlike = [entry for entry in entries if not entry.is_alike]
        if self._averages.state.is_restored and unlike:
            message = (
                "A file with averages in the place of variables must be restored into averages of "
                f"the variables' dtypes. Received: {unlike[0].average.name!r} of "
                f"{unlike[0].average.dtype.name}; make the averages with "
                'average_dtype="same" or "split", as those of the file.'
            )
            raise TypeError(message)

    def _swap_back(self, entries: Sequence[Entry]) -> None:
        """Gives the variables their own values."""
        is_restored = self._averages.state.is_restored
        self._swap_back_held()
        if is_restored:  # Then nothing was held: a file gave the variables their averages.
            spread(entries)

    def _swap_back_held(self) -> None:
        self._exchange_alike()
        self._held.put_back()

    def hold(self, variables: Iterable[Any]) -> None:
        """Holds the values of further variables, which get them back when this swaps back."""
        self._held.hold_more(one for variable in variables for one in components_of(variable))

    def take_over(self, other: Exchange, memo: dict[int, Any]) -> None:
        """Holds what another one holds while swapped, for copies of its variables."""
        self._held = copy.deepcopy(other._held, memo)

    def _exchange_alike(self) -> None:
        if self._alike is not None:
            self._alike.swap_variables()

    def there_and_back(self) -> tuple[tf.Operation, tf.Operation]:
        """Two operations in the default graph: each exchanges, and tells the graph's own steps.

        Made once for as many averages as there are.
        """
        graph = tf.compat.v1.get_default_graph()
        key = (graph, len(self._averages.entries(self._index)))
        if key not in self._ops:
            if graph.finalized:
                message = (
                    "swapped() must be called before the graph is finalized, since it makes the "
                    "swap op: call it once, and enter the context that it returns when needed."
                )
                raise RuntimeError(message)
            exchange, flags = self(), self._averages.state.graph_flags
            self._ops[key] = flags.raise_after(exchange), flags.lower_after(exchange)
        return self._ops[key]

    @contextlib.contextmanager
    def in_session(
        self,
        there_and_back: tuple[tf.Operation, tf.Operation],
        session: tf.compat.v1.Session | None,
    ) -> Iterator[None]:
        """A context in which averages and variables have changed places in a Session.

        Args:
          there_and_back: What runs on entry, and on exit.
          session: The Session; by default the default Session.

        Raises:
          RuntimeError: If there is no Session to run in.
        """
        session = session or tf.compat.v1.get_default_session()
        if session is None:
            message = "swapped() needs a Session in graph mode: pass it or enter `with session:`."
            raise RuntimeError(message)
        there, back = there_and_back
        state = self._averages.state

        def exchange() -> None:
            _run_without_hooks(session, back if state.is_swapped else there)

        with state.swapped_by(exchange, self._index):
            yield


def check_can_save(entries: Sequence[Entry]) -> None:
    """Raises TypeError if an average has another dtype than its variable, in whose place it is."""
    for entry in entries:
        if not entry.is_alike:
            message = (
                "An average must have the dtype of its weight to be saved in its place. Received: "
                f"{entry.average.name!r} of {entry.average.dtype.name} for "
                f"{entry.variable.dtype.name}; make the averages with "
                'average_dtype="same".'
            )
            raise TypeError(message)


def _run_without_hooks(session: Any, operation: tf.Operation) -> None:
    """Runs in a Session; in a MonitoredSession past its hooks, one of which may save just then."""
    if hasattr(session, "run_step_fn"):
        session.run_step_fn(lambda step_context: step_context.session.run(operation))
    else:
        session.run(operation)
