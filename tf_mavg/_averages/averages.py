"""The holder of averages: which variable has which average, and all that happens to both.

Every face stands on it: the drop-in for TensorFlow's class, the optimizer of TensorFlow 1, and the
optimizers of both Kerases. It alone owns averages, and finds each by its variable. It keeps the
variables alive. One holder may serve several graphs of TensorFlow 1: what it does there concerns
the averages of the default graph.
"""

from __future__ import annotations

import contextlib
import copy
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tf_mavg._averages.dtypes import average_dtype
from tf_mavg._averages.entry import Entry, assign_all, size_of
from tf_mavg._averages.exchange import Exchange, check_can_save
from tf_mavg._averages.late import LateStarts
from tf_mavg._averages.owned import array_of, check_can_spread, spread
from tf_mavg._averages.replicas import (
    average_beside,
    check_can_average,
    check_can_compile,
    components_at_hand,
    pairs_at_hand,
)
from tf_mavg._averages.shares import SHARDED, Owner, choose_owners
from tf_mavg._averages.steps import Steps
from tf_mavg._averages.swap import SwapState
from tf_mavg._averages.tracking import TrackedAverages
from tf_mavg._averages.updates import Updates
from tf_mavg._compat.distribute import name_of
from tf_mavg._compat.tensorflow import (
    next_restore,
    was_restored,
)
from tf_mavg._ops.variables import distinct, shards, tensorflow_variable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from tf_mavg._averages.pace import Pace


class Averages:
    """Averages of variables.

    Attributes:
      name: The last part of the averages' names.
      pace: How far they move at each step.
      steps: How many steps they have seen; counted if the pace asks for it.
      state: Whether they have changed places with their variables.
      tracked: What checkpoints see of them.
      update: Updates averages; see `Updates.__call__`.
      late: Those that are still to start.
    """

    def __init__(
        self,
        name: str,
        average_dtype: str | None = "same",
        *,
        pace: Pace,
        placement: str = "replicated",
        way_out: str = "while averages and variables are swapped; swap back first.",
    ) -> None:
        """Makes a holder without averages.

        Args:
          name: The last part of the averages' names.
          average_dtype: "same" for averages of their variables' dtypes, else float32 for those of
            half precision.
          pace: How far they move at each step.
          placement: "replicated" for averages beside each component of their variables; "sharded"
            for one average for all replicas, see shares.py.
          way_out: The end of every refusal while swapped.
        """
        self.name = name
        self.average_dtype = average_dtype
        self.pace = pace
        self.steps = Steps(name)
        self.placement = placement
        self.state = SwapState(way_out)
        self._entries: dict[int, Entry] = {}  # By the variable's id, in the order of making.
        self._entries_of: dict[tf.Graph | None, list[Entry]] = {}  # Made by `entries` when asked.
        self.update = Updates(self)
        self._exchange = Exchange(self)
        self.late = LateStarts()
        self._later_since = 0  # The number of the last restore before some were to start later.
        self.tracked = TrackedAverages(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Averages:
        """A holder of its own, for the copies of the variables."""
        pace = copy.deepcopy(self.pace, memo)
        copied = memo[id(self)] = Averages(
            self.name, self.average_dtype, pace=pace, placement=self.placement
        )
        copied.state = copy.deepcopy(self.state, memo)
        copied.tracked.offers_slots = self.tracked.offers_slots
        for entry in self._entries.values():
            parts = copy.deepcopy((entry.variable, entry.average, entry.pairs, entry.shown), memo)
            added = Entry(*parts[:3], entry.name, entry.owner, parts[3])
            copied._add(added)
            if self.late.among([entry]):
                copied.late.add(added)
        if self.steps.first is not None:
            copied.steps.set(int(self.steps.first.read_value()))
        copied._exchange.take_over(self._exchange, memo)
        return copied

    def average(self, variable: Any) -> Any:
        """The average of a variable, which may be a Keras 3 one; None if it has none."""
        entry = self.entry_of(variable)
        if entry is None:
            return None
        return entry.average if entry.shown is None else entry.shown

    def array(self, variable: Any) -> NDArray[Any]:
        """The value of a variable's average, to be saved; all workers ask for it at once."""
        entry = self._entries[id(tensorflow_variable(variable))]
        return array_of(entry.average)

    def entry_of(self, variable: Any) -> Entry | None:
        """The entry of a variable, which may be a Keras 3 one; None if it has none."""
        return self._entries.get(id(tensorflow_variable(variable)))

    def entries(self) -> list[Entry]:
        """The variables and averages of the default graph, in the order of making."""
        graph = _graph_at_hand()
        if graph not in self._entries_of:
            chosen = [entry for entry in self._entries.values() if entry.graph is graph]
            self._entries_of = {graph: chosen}  # Of one graph: it does not keep others alive.
        return self._entries_of[graph]

    def create(self, variables: Iterable[Any], names: Sequence[str] | None = None) -> list[Entry]:
        """Makes the averages that do not exist yet, each at the value of its variable.

        Args:
          variables: Variables, each of one device; a partitioned one stands for its shards.
          names: What to call them in checkpoints that do not track them, if not by their names.

        Returns:
          The entries of all of them, in their order.

        Raises:
          TypeError: If a variable is of a kind that has no average; none is made then.
          ValueError: If averages are to be sharded, and those of a variable cannot be.
        """
        elements = shards(variables)
        called = [name_of(variable) for variable in elements] if names is None else names
        missing = [
            (variable, name)
            for variable, name in zip(elements, called, strict=True)
            if id(variable) not in self._entries
        ]
        for variable, _ in missing:
            check_can_average(variable)
        # No device scope of the caller's: an average lies where its variable does, and init_scope
        # would bring the scope back within colocation.
        if missing:
            with tf.compat.v1.device(None), tf.init_scope():
                owners = self._choose_owners(variable for variable, _ in missing)
                for variable, name in missing:
                    self._create(variable, name, owners.get(id(variable)))
        return [self._entries[id(variable)] for variable in elements]

    def _choose_owners(self, variables: Iterable[Any]) -> dict[int, Owner]:
        if self.placement != SHARDED:
            return {}
        sizes = [(v, size_of(v, average_dtype(v, self.average_dtype))) for v in distinct(variables)]
        return choose_owners(sizes, self._entries.values())

    def _create(self, variable: tf.Variable, name: str, owner: Owner | None) -> None:
        if id(variable) in self._entries:  # Named twice in one list.
            return
        dtype = average_dtype(variable, self.average_dtype)
        made = average_beside(variable, self.name, dtype, owner)
        entry = Entry(variable, *made, name, owner)
        if owner is not None and entry.pairs:
            ((entry.shown, _),) = entry.pairs  # Its owner can read it.
        self._add(entry)
        if tf.executing_eagerly() and not entry.is_initialized():
            self.late.add(entry)
        for device in entry.devices:
            self.state.add_device(device)
        # In eager mode nobody asks, and the collection would keep the variable alive for good.
        if not tf.compat.v1.executing_eagerly_outside_functions():
            collection = tf.compat.v1.GraphKeys.MOVING_AVERAGE_VARIABLES
            tf.compat.v1.add_to_collection(collection, variable)

    def guard(self, what: str, variables: Iterable[Any] = ()) -> list[tf.Operation]:
        """Refuses to go on while swapped: see `SwapState.guard`; asked beside the variables.

        Raises:
          RuntimeError: As `SwapState.guard`; or if XLA could not compile what is to go on.
        """
        entries = [self._entries[id(v)] for v in shards(variables) if id(v) in self._entries]
        components = components_at_hand(entries)
        check_can_compile(components)
        return self.state.guard(what, components[0].device if components else None)

    def restart(self, variables: Iterable[Any] | None = None) -> tf.Operation | None:
        """Gives each average the value that its variable has now.

        Args:
          variables: Variables with averages; by default all of the default graph.

        Returns:
          The operation that does it; None when executing eagerly.
        """
        with tf.control_dependencies(self.state.guard("Averages cannot be restarted")):
            return self.start(self._chosen(variables))

    def start(self, entries: Sequence[Entry]) -> tf.Operation | None:
        """Gives averages the values that their variables have now."""
        self.late.discard(entries)
        return assign_all(pairs_at_hand(list(entries)))

    def start_later(self, entries: Sequence[Entry]) -> None:
        """Starts averages before they are next used, at the values that their variables have then.

        What runs a function that was traced before does not know of it.
        """
        self.late.discard(entries)
        self._later_since = next_restore()
        for entry in entries:
            self.late.add(entry)

    def start_late(self) -> None:
        """Starts the averages that are to start later, if their variables have values by now."""
        if not self.late:
            return
        by_name = [e for e in self.late if self.tracked.was_restored_by_name(e, self._later_since)]
        self.late.discard(by_name)
        self.late.start()

    def set_values(self, values: dict[Entry, Any]) -> None:
        """Gives averages values of arrays or tensors."""
        self.late.discard(values)
        for entry, value in values.items():
            entry.average.assign(tf.cast(value, entry.average.dtype))

    def overwrite(self, variables: Iterable[Any] | None = None) -> tf.Operation | None:
        """Gives each variable the value of its average, for good; arguments as of `restart`."""
        with tf.control_dependencies(self.state.guard("Variables cannot be overwritten")):
            chosen = self._chosen(variables)
            check_can_spread(chosen, "overwrite variables")
            pairs = pairs_at_hand(chosen)
            overwritten = assign_all([(component, average) for average, component in pairs])
            spread(chosen)
            return overwritten

    def swap(self) -> tf.Operation | None:
        """Exchanges the values of all variables and their averages.

        Returns:
          The operation that swaps; None when executing eagerly.

        Raises:
          RuntimeError: If there are no averages.
          TypeError: In a graph, if an average has another dtype than its variable.
        """
        self.start_late()
        if not tf.executing_eagerly():
            return self._exchange()
        self.state.swap(self._exchange)
        return None

    def swapped(
        self, session: tf.compat.v1.Session | None = None
    ) -> contextlib.AbstractContextManager[None]:
        """A context in which the variables hold the averages; it always swaps back.

        Args:
          session: In a graph, the Session to run in; by default the default Session.

        Raises:
          RuntimeError: If there are no averages, the graph is finalized, or a function is being
            traced; on entry, if already swapped, or if there is no Session to run in.
        """
        self.start_late()
        if tf.executing_eagerly():
            return self.state.swapped_by(self._exchange)
        if tf.inside_function():
            message = "swapped() must be entered in eager mode, not while a function is traced."
            raise RuntimeError(message)
        return self._exchange.in_session(self._exchange.there_and_back(), session)

    @contextlib.contextmanager
    def swapped_for_saving(self, session: tf.compat.v1.Session | None = None) -> Iterator[None]:
        """As `swapped`, but checkpoints may be saved: with averages in the place of variables.

        Raises:
          TypeError: If an average has another dtype than its variable, which it cannot hold then.
        """
        check_can_save(self.entries())
        with self.swapped(session), self.state.saving():
            yield

    def _add(self, entry: Entry) -> None:
        self._entries[id(entry.variable)] = entry
        self._entries_of.clear()
        self.tracked.add(entry)
        if self.pace.counts:
            for device in entry.devices:
                if self.steps.add_device(device, entry.graph):
                    self.tracked.add_steps()

    def forget(self, since: int) -> None:
        """Takes back averages: all but the first `since` that were made.

        Their variables must not have been averaged yet.
        """
        self._drop(list(self._entries)[since:])

    def keep(self, variables: Iterable[Any]) -> None:
        """Takes back the averages of all other variables, which a restore has made."""
        kept = {id(variable) for variable in shards(variables)}
        self._drop([key for key in self._entries if key not in kept])

    def was_restored(self, entry: Entry, since: int = 0) -> bool:
        """Whether a restore after number `since` has given an average its value."""
        average = tensorflow_variable(entry.average)
        return was_restored(average, since) or self.tracked.was_restored_by_name(entry, since)

    def _drop(self, keys: Iterable[int]) -> None:
        for key in keys:
            entry = self._entries.pop(key)
            self.tracked.remove(entry)
            self.late.discard([entry])
        self._entries_of.clear()
        self.update.forget_bindings()

    def count_for(self, variables: Iterable[Any]) -> None:
        """Notes whose steps are counted, if the pace asks for it; see `Steps.count_for`."""
        if self.pace.counts:
            self.steps.count_for(shards(variables), _graph_at_hand())

    def steps_at_hand(self) -> list[tf.Variable]:
        """The counts of steps of the default graph, or of eager mode."""
        return self.steps.variables(_graph_at_hand())

    @property
    def count(self) -> int:
        """How many averages there are, in all graphs."""
        return len(self._entries)

    def _chosen(self, variables: Iterable[Any] | None) -> list[Entry]:
        if variables is None:
            chosen = self.entries()
        else:
            elements = shards(variables)
            chosen = [self._entries[id(v)] for v in elements if id(v) in self._entries]
            without = [name_of(v) for v in elements if id(v) not in self._entries]
            if without:
                message = (
                    f"Each variable must have an average. Received: {without[0]!r}, which has none;"
                    " make it with create_averages()."
                )
                raise ValueError(message)
        return chosen


def _graph_at_hand() -> tf.Graph | None:
    """The default graph, outside of functions; None in eager mode."""
    if tf.compat.v1.executing_eagerly_outside_functions():
        return None
    graph = tf.compat.v1.get_default_graph()
    while getattr(graph, "outer_graph", None) is not None:
        graph = graph.outer_graph
    return graph
