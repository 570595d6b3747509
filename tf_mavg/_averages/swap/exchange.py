"""How the averages of one holder, those of one index, change places with their variables.

An average changes places with a variable of its dtype, and no byte moves. Else the variable gets a
copy: a rounded one where its dtype is lower; the owner's on replicas that do not own the average.
Its own value is held meanwhile and comes back from there, to the last bit, without waiting for
another worker.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tf_mavg import ops
from tf_mavg._averages.components.owned import check_can_spread, others_of, spread
from tf_mavg._averages.components.replicas import (
    check_all_workers_swap,
    check_can_compile,
    check_can_swap,
    two_lists,
)
from tf_mavg._averages.swap.held import HeldValues
from tf_mavg._compat.distribute import components_of, strategy_of

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Iterable, Sequence

    from tf_mavg._averages.averages import Averages
    from tf_mavg._averages.entry import Entry


class _Divided:
    """Entries by how their values are exchanged: found once for a list, since it takes a while."""

    def __init__(self, entries: list[Entry]) -> None:
        """Divides the entries."""
        self.entries = entries
        # Of a sharded variable, which has no strategy of its own, that of its shards.
        firsts = [one for entry in entries for one in components_of(entry.variable)[:1]]
        made_in = [*(entry.strategy for entry in entries), *map(strategy_of, firsts)]
        self.strategies = list({id(strategy): strategy for strategy in made_in}.values())
        self.unlike = [entry for entry in entries if not entry.is_alike]
        self.others = [one for entry in entries for _, one in others_of(entry)]
        self._alike: ops.Binding | None = None

    @property
    def unlike_pairs(self) -> list[tuple[Any, tf.Variable]]:
        """Averages of another dtype than their variables."""
        return [pair for entry in self.unlike for pair in entry.pairs]

    def exchange_alike(self) -> None:
        """Exchanges the averages of their variables' dtypes, in eager mode."""
        if self._alike is None and len(self.unlike) < len(self.entries):
            alike = [pair for e in self.entries if e.is_alike for pair in e.pairs]
            self._alike = ops.Binding(*two_lists(alike))
        if self._alike is not None:
            self._alike.swap_variables()


class Exchange:
    """The exchange, eagerly or as an op; it notes nothing: see state.py."""

    def __init__(self, averages: Averages, index: int) -> None:
        """Exchanges the averages of a holder that have an index."""
        self._averages = averages
        self._index = index
        self._held = HeldValues()
        self._divided = _Divided([])
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
        if self._divided.entries is not entries:
            self._divided = _Divided(entries)
        check_can_swap(self._divided.strategies)
        check_can_spread(entries, "are swapped")
        caught_up = self._averages.lazy.catch_up_all()
        if not tf.executing_eagerly():
            averages, variables = two_lists([pair for entry in entries for pair in entry.pairs])
            check_can_compile(variables)
            with tf.control_dependencies(caught_up):
                return ops.swap_variables(averages, variables)
        if self._averages.state.is_swapped:
            self._check_can_swap_back()
            self._swap_back()
        else:
            check_all_workers_swap(self._divided.strategies)
            self._swap()
        return None

    def _swap(self) -> None:
        """Gives the variables their averages; if something fails, none of them."""
        self._divided.exchange_alike()
        try:
            unlike = self._divided.unlike_pairs
            self._held.hold([*(variable for _, variable in unlike), *self._divided.others])
            for average, variable in unlike:
                variable.assign(tf.cast(average, variable.dtype))
            spread(self._divided.entries)
        except BaseException:
            self._swap_back_held()
            raise

    def _check_can_swap_back(self) -> None:
        """Raises TypeError if a file had averages in places that these could not have come from."""
        unlike = self._divided.unlike
        if self._averages.state.is_restored and unlike:
            message = (
                "A file with averages in the place of variables must be restored into averages of "
                f"the variables' dtypes. Received: {unlike[0].average.name!r} of "
                f"{unlike[0].average.dtype.name}; make the averages with "
                'average_dtype="same" or "split", as those of the file.'
            )
            raise TypeError(message)

    def _swap_back(self) -> None:
        """Gives the variables their own values."""
        is_restored = self._averages.state.is_restored
        self._swap_back_held()
        if is_restored:  # Then nothing was held: a file gave the variables their averages.
            spread(self._divided.entries)

    def _swap_back_held(self) -> None:
        self._divided.exchange_alike()
        self._held.put_back()

    def hold(self, variables: Iterable[Any]) -> None:
        """Holds the values of further variables, which get them back when this swaps back."""
        self._held.hold_more(one for variable in variables for one in components_of(variable))

    def take_over(self, other: Exchange, memo: dict[int, Any]) -> None:
        """Holds what another one holds while swapped, for copies of its variables."""
        self._held = copy.deepcopy(other._held, memo)

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

    def in_session(
        self,
        there_and_back: tuple[tf.Operation, tf.Operation],
        session: tf.compat.v1.Session | None,
        *,
        may_save: bool,
    ) -> contextlib.AbstractContextManager[None]:
        """A context in which averages and variables have changed places in a Session.

        Args:
          there_and_back: What runs on entry, and on exit.
          session: The Session; by default the default Session, on entry.
          may_save: Whether checkpoints may be saved meanwhile.

        Raises:
          RuntimeError: On entry, if there is no Session to run in.
        """
        there, back = there_and_back
        state = self._averages.state
        used: list[Any] = [] if session is None else [session]

        def exchange() -> None:
            if state.is_swapped:
                _run_without_hooks(used[-1], back)
                return
            if session is None:
                used.append(tf.compat.v1.get_default_session())
            if used[-1] is None:
                message = (
                    "swapped() needs a Session in graph mode: pass it or enter `with session:`."
                )
                raise RuntimeError(message)
            _run_without_hooks(used[-1], there)

        return state.swapped_by(exchange, self._index, may_save=may_save)


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
