"""The holder of averages: which variable has which averages, and all that happens to both.

Every face stands on it: the drop-in for TensorFlow's class, the optimizer of TensorFlow 1, and the
optimizers of both Kerases. It alone owns averages, and finds each by its variable. It keeps the
variables alive. One holder may serve several graphs of TensorFlow 1: what it does there concerns
the averages of the default graph.

Each variable has as many averages as the pace has decays. They are made, updated and started
together; one of them changes places with its variable at a time.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tf_mavg._averages.checkpoints.identity import called, remainder_of
from tf_mavg._averages.checkpoints.tracking import TrackedAverages
from tf_mavg._averages.choices import check_can_decide, check_can_overwrite
from tf_mavg._averages.components.owned import array_of, check_can_spread, spread
from tf_mavg._averages.components.remainders import (
    array_with_remainder,
    clear,
    set_value,
    value_of,
)
from tf_mavg._averages.components.replicas import (
    average_beside,
    check_can_average,
    check_can_compile,
    components_at_hand,
    pairs_at_hand,
    remainder_beside,
    remainders_at_hand,
)
from tf_mavg._averages.components.shares import SHARDED, Owner, choose_owners
from tf_mavg._averages.distance import squared_distances
from tf_mavg._averages.dtypes import average_dtype, check_can_split, choice_for, is_split
from tf_mavg._averages.entries import Entries, graph_at_hand
from tf_mavg._averages.entry import Entry, assign_all, size_of
from tf_mavg._averages.late import LateStarts
from tf_mavg._averages.swap.holders import note_holder
from tf_mavg._averages.swap.state import SwapState
from tf_mavg._averages.swap.swaps import Swaps
from tf_mavg._averages.update.finite import UPDATE
from tf_mavg._averages.update.lazy_rows import DENSE, LazyRows
from tf_mavg._averages.update.steps import Steps
from tf_mavg._averages.update.updates import Updates
from tf_mavg._compat.distribute import name_of
from tf_mavg._compat.tensorflow import (
    next_restore,
    was_restored,
)
from tf_mavg._ops.variables import distinct, shards, tensorflow_variable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from tf_mavg._averages.update.pace import Pace


class Averages:
    """Averages of variables.

    Attributes:
      name: The last part of the averages' names, of the first of each variable.
      of_each: How many averages each variable has.
      pace: How far they move at each step.
      steps: How many steps they have seen, if they are counted.
      seed: That of stochastic rounding; None with the nearest.
      state: Whether they have changed places with their variables.
      tracked: What checkpoints see of them.
      update: Updates averages; see `Updates.__call__`.
      swaps: Has averages and variables change places.
      late: Those that are still to start.
      sparse: Whether averages may be lazy; see update/lazy_rows.py.
      lazy: Those that are.
    """

    def __init__(  # noqa: PLR0913 - one for each thing to choose.
        self,
        name: str,
        average_dtype: str | None = "same",
        *,
        pace: Pace,
        placement: str = "replicated",
        if_not_finite: str = UPDATE,
        sparse: str = DENSE,
        seed: int | None = None,
        way_out: str = "while averages and variables are swapped; swap back first.",
    ) -> None:
        """Makes a holder without averages.

        Args:
          name: The last part of the averages' names.
          average_dtype: "same" for averages of their variables' dtypes, "split" for float32 ones
            of bfloat16 variables that are split, "float32" for float32 ones of half precision;
            None for split ones where they can be, else float32 ones.
          pace: How far they move at each step.
          placement: "replicated" for averages beside each component of their variables; "sharded"
            for one average for all replicas, see components/shares.py.
          if_not_finite: What a step does where a variable is not finite; see update/finite.py.
          sparse: "lazy" for averages of which a step touches only the rows that are named.
          seed: That of stochastic rounding, if averages are rounded so. See update/rounding.py.
          way_out: The end of every refusal while swapped.
        """
        self.name = name
        self.average_dtype = average_dtype
        self.pace = pace
        self.of_each = len(pace.decays)
        self.steps = Steps(name)
        self.placement = placement
        self.if_not_finite = if_not_finite
        self.seed = seed
        self.state = SwapState(way_out)
        self._entries = Entries(self.of_each)
        self.update = Updates(self)
        self.swaps = Swaps(self)
        self.late = LateStarts()
        self.sparse = sparse
        self.lazy = LazyRows(self)
        self._later_since = 0  # The number of the last restore before some were to start later.
        self.tracked = TrackedAverages(self)
        note_holder(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Averages:
        """A holder of its own, for the copies of the variables."""
        self.lazy.catch_up_all()
        pace = copy.deepcopy(self.pace, memo)
        copied = memo[id(self)] = Averages(
            self.name,
            self.average_dtype,
            pace=pace,
            placement=self.placement,
            if_not_finite=self.if_not_finite,
            sparse=self.sparse,
            seed=self.seed,
        )
        copied.state = copy.deepcopy(self.state, memo)
        copied.tracked.offers_slots = self.tracked.offers_slots
        for entries in self._entries:
            made = []
            for entry in entries:
                whose = (entry.variable, entry.average, entry.pairs)
                variable, average, pairs = copy.deepcopy(whose, memo)
                halves = (entry.shown, entry.remainder, entry.remainders, entry.shown_remainder)
                shown, remainder, remainders, shown_remainder = copy.deepcopy(halves, memo)
                added = Entry(
                    *(variable, average, pairs, entry.name, entry.index, entry.owner),
                    shown=shown,
                    remainder=remainder,
                    remainders=remainders,
                    shown_remainder=shown_remainder,
                )
                made.append(added)
                if self.late.among([entry]):
                    copied.late.add(added)
            copied._add(made)
        if self.steps.first is not None:
            copied.steps.set(int(self.steps.first.read_value()))
        copied.swaps.take_over(self.swaps, memo)
        return copied

    def average(self, variable: Any, index: int = 0) -> Any:
        """One of a variable's averages; None if it has none. It may be a Keras 3 variable.

        Raises:
          ValueError: If there is no average of that index.
        """
        self.check_index(index)
        entry = self.entry_of(variable, index)
        if entry is None:
            return None
        self._have_up_to_date(entry)
        return entry.average if entry.shown is None else entry.shown

    def _have_up_to_date(self, entry: Entry) -> None:
        """Before an average is handed out; in a graph of TensorFlow 1 each read sees to it."""
        if entry.graph is None:
            self.lazy.catch_up_all([entry])

    def remainder(self, variable: Any, index: int = 0) -> Any:
        """What holds the remainder of a variable's average; None if that is not split."""
        entry = self._entries.of(variable)[index]
        return entry.remainder if entry.shown_remainder is None else entry.shown_remainder

    def array(self, variable: Any, index: int = 0) -> NDArray[Any]:
        """The value of a variable's average, to be saved; all workers ask for it at once.

        While swapped it is the variable's value, which its place holds.
        """
        entry = self._entries.of(variable)[index]
        self._have_up_to_date(entry)
        if self.state.swapped_index == index:
            return array_of(entry.average)
        return array_with_remainder(entry)

    def value(self, variable: Any, index: int = 0) -> tf.Tensor | None:
        """The value of one of a variable's averages with all of its bits; None if it has none.

        Swapped or not, it is the average's.

        Raises:
          ValueError: If there is no average of that index.
        """
        self.check_index(index)
        self.start_late()
        entry = self.entry_of(variable, index)
        if entry is None:
            return None
        self._have_up_to_date(entry)
        return value_of(entry, swapped=self.state.swapped_index == index)

    def position_of(self, entry: Entry) -> int:
        """How many variables had averages, in all graphs, when those of this one were made."""
        return self._entries.position_of(entry.variable)

    def entry_of(self, variable: Any, index: int = 0) -> Entry | None:
        """One of a variable's entries; None if it has none. It may be a Keras 3 variable."""
        entries = self._entries.of(variable)
        return entries[index] if entries else None

    def entries(self, index: int | None = None) -> list[Entry]:
        """The entries of the default graph in the order of making.

        Args:
          index: Of which averages: by default all, those of the first index first.
        """
        if index is not None:
            return self._entries.at_hand(index)
        return [entry for i in range(self.of_each) for entry in self._entries.at_hand(i)]

    def variables(self) -> list[Any]:
        """The variables of the default graph that have averages, in the order of making."""
        return [entry.variable for entry in self._entries.at_hand(0)]

    def create(
        self, variables: Iterable[Any], names: Sequence[str] | None = None
    ) -> list[tuple[Entry, ...]]:
        """Makes the averages that do not exist yet, each at the value of its variable.

        Args:
          variables: Variables, each of one device; a partitioned one stands for its shards.
          names: What to call them in checkpoints that do not track them, if not by their names.

        Returns:
          The entries of each of them, in their order.

        Raises:
          TypeError: If a variable is of a kind or dtype that has no average; none is made then.
          ValueError: If averages are to be sharded, and those of a variable cannot be.
        """
        elements = shards(variables)
        keys = [name_of(variable) for variable in elements] if names is None else names
        missing = [
            (variable, name)
            for variable, name in zip(elements, keys, strict=True)
            if variable not in self._entries
        ]
        for variable, _ in missing:
            check_can_average(variable)
            choice = self._choice_for(variable)
            check_can_split(variable, choice)
            dtype = average_dtype(variable, choice)
            check_can_overwrite(self.pace, variable, dtype)
            check_can_decide(self.if_not_finite, variable)
        # No device scope of the caller's: an average lies where its variable does, and init_scope
        # would bring the scope back within colocation.
        if missing:
            with tf.compat.v1.device(None), tf.init_scope():
                owners = self._choose_owners(variable for variable, _ in missing)
                for variable, name in missing:
                    self._create(variable, name, owners.get(id(variable)))
        return [self._entries.of(variable) for variable in elements]

    def _choose_owners(self, variables: Iterable[Any]) -> dict[int, Owner]:
        if self.placement != SHARDED:
            return {}
        sizes = [(v, self._size_of(v)) for v in distinct(variables)]
        return choose_owners(sizes, [entries[0] for entries in self._entries])

    def _choice_for(self, variable: Any) -> str:
        return choice_for(variable, self.average_dtype, lazy=self.sparse != DENSE)

    def _size_of(self, variable: Any) -> int:
        choice = self._choice_for(variable)
        return size_of(
            variable,
            tf.float32 if is_split(variable, choice) else average_dtype(variable, choice),
        )

    def _create(self, variable: tf.Variable, name: str, owner: Owner | None) -> None:
        if variable in self._entries:  # Named twice in one list.
            return
        choice = self._choice_for(variable)
        dtype = average_dtype(variable, choice)
        entries = []
        for index in range(self.of_each):
            average = called(self.name, index)
            made = average_beside(variable, average, dtype, owner)
            entry = Entry(variable, *made, name, index, owner)
            if is_split(variable, choice):
                halves = remainder_beside(variable, remainder_of(average), owner)
                entry.remainder, entry.remainders = halves
            if owner is not None and entry.pairs:  # Its owner can read it.
                ((entry.shown, _),) = entry.pairs
                (entry.shown_remainder,) = entry.remainders or [None]
            entries.append(entry)
        self._add(entries)
        if tf.executing_eagerly() and not entries[0].is_initialized():
            for entry in entries:
                self.late.add(entry)
        for device in entries[0].devices:
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
        components = components_at_hand(
            [entries[0] for entries in map(self._entries.of, shards(variables)) if entries]
        )
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
            chosen = [self._chosen(variables, index) for index in range(self.of_each)]
            return self.start([entry for entries in chosen for entry in entries])

    def start(self, entries: Sequence[Entry]) -> tf.Operation | None:
        """Gives averages the values that their variables have now."""
        self.late.discard(entries)
        restarted = self.lazy.restart(entries)
        started = assign_all(pairs_at_hand(list(entries)))
        cleared = clear(remainders_at_hand(entries))
        return None if started is None else tf.group(started, *cleared, *restarted)

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
        self.lazy.restart(values)
        for entry, value in values.items():
            set_value(entry, value)

    def overwrite(
        self, variables: Iterable[Any] | None = None, index: int = 0
    ) -> tf.Operation | None:
        """Gives each variable the value of one of its averages, for good; else as `restart`."""
        self.check_index(index)
        with tf.control_dependencies(self.state.guard("Variables cannot be overwritten")):
            chosen = self._chosen(variables, index)
            check_can_spread(chosen, "overwrite variables")
            pairs = pairs_at_hand(chosen)
            with tf.control_dependencies(self.lazy.catch_up_all()):
                overwritten = assign_all([(component, average) for average, component in pairs])
            spread(chosen)
            return overwritten

    def distance(
        self, variables: Iterable[Any] | None, index: int, *, per_variable: bool
    ) -> tf.Tensor:
        """The Euclidean norm of averages minus variables; see distance.py.

        Args:
          variables: As of `restart`.
          index: Which of their averages.
          per_variable: Whether to give one norm for each variable, in their order.

        Raises:
          RuntimeError: If there are no averages, or another worker has one; while swapped, if an
            average has another dtype than its variable.
          ValueError: If a variable has no average, or there is no average of that index.
        """
        self.check_index(index)
        self.start_late()
        chosen = self._chosen(variables, index)
        if not chosen:
            message = (
                "There are no averages yet: apply() must be called before their distance from the "
                "variables is asked for, or create_averages(variables)."
            )
            raise RuntimeError(message)
        if any(not entry.is_alike for entry in chosen):  # A variable then holds a rounded copy.
            self.state.check_not_swapped("Averages of another dtype have no distance")
        with tf.control_dependencies(self.lazy.catch_up_all()):
            squares = squared_distances(chosen, swapped=self.state.swapped_index == index)
        return tf.sqrt(squares if per_variable else tf.reduce_sum(squares))

    def check_index(self, index: int) -> None:
        """Raises ValueError if there are no averages of an index."""
        if not 0 <= index < self.of_each:
            message = (
                "`index` must be that of one of the averages of each variable, below "
                f"{self.of_each}. Received: index={index}."
            )
            raise ValueError(message)

    def _add(self, entries: Sequence[Entry]) -> None:
        self._entries.add(entries)
        for entry in entries:
            self.tracked.add(entry)
        if self.counts:
            for device in entries[0].devices:
                if self.steps.add_device(device, entries[0].graph):
                    self.tracked.add_steps()

    def forget(self, since: int) -> None:
        """Takes back averages: those of all but the first `since` variables.

        These must not have been averaged yet. If none are left, nor are steps that were counted.
        """
        self._drop(list(self._entries)[since:])
        if not self._entries:
            self.steps.set(0)

    def keep(self, variables: Iterable[Any]) -> None:
        """Takes back the averages of all other variables, which a restore has made."""
        kept = {id(variable) for variable in shards(variables)}
        self._drop([es for es in self._entries if id(es[0].variable) not in kept])

    def was_restored(self, entry: Entry, since: int = 0) -> bool:
        """Whether a restore after number `since` has given an average its value."""
        average = tensorflow_variable(entry.average)
        return was_restored(average, since) or self.tracked.was_restored_by_name(entry, since)

    def _drop(self, dropped: Iterable[tuple[Entry, ...]]) -> None:
        for entries in dropped:
            self._entries.remove(entries)
            self.late.discard(entries)
            self.lazy.discard(entries)
            for entry in entries:
                self.tracked.remove(entry)
        self.update.forget_bindings()

    def count_for(self, variables: Iterable[Any]) -> None:
        """Notes whose steps are counted, if they are; see `Steps.count_for`."""
        if self.counts:
            self.steps.count_for(shards(variables), graph_at_hand())

    def steps_at_hand(self) -> list[tf.Variable]:
        """The counts of steps of the default graph, or of eager mode."""
        return self.steps.variables(graph_at_hand())

    @property
    def counts(self) -> bool:
        """Whether steps are counted: a step's decay or its random bits depend on its number."""
        return self.pace.counts or self.seed is not None

    @property
    def count(self) -> int:
        """How many variables have averages, in all graphs."""
        return len(self._entries)

    def _chosen(self, variables: Iterable[Any] | None, index: int) -> list[Entry]:
        if variables is None:
            return self.entries(index)
        elements = shards(variables)
        without = [name_of(v) for v in elements if v not in self._entries]
        if without:
            message = (
                f"Each variable must have an average. Received: {without[0]!r}, which has none;"
                " make it with create_averages()."
            )
            raise ValueError(message)
        return [self._entries.of(variable)[index] for variable in elements]
