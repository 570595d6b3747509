"""Averages of which a step touches only some rows: which those are, and how each is kept right.

A variable is averaged lazily from the first step on that names its rows. Before a step writes rows,
they are caught up with the old values; after it, a clock notes the step. So rows are behind between
steps. Whoever reads an average or sets it, a Saver too, catches it up first: the variable itself
sees to that. Our own ops pass that by, and so do eager ops that take the variable as an input. So
whatever hands out averages, swaps them or changes their variables asks for `catch_up_all` before.
After that all is as with averages that are updated as a whole.

A graph of TensorFlow 1 is told when it is built: an average that others may already read as it was
cannot become lazy there. A plain Saver saves counters and clock with it, a swapping saver does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import tensorflow as tf

from tf_mavg._compat.access import before_each_access, before_fetches
from tf_mavg._compat.distribute import (
    components_of,
    has_a_component_a_replica,
    is_sharded,
    name_of,
    strategy_of,
)
from tf_mavg._compat.tensorflow import compiles_with_xla
from tf_mavg._ops.rates import Rates
from tf_mavg._ops.rows import (
    RowTable,
    advance_row_clocks,
    catch_up_all_rows,
    catch_up_rows,
    check_caught_up,
    make_row_table,
)
from tf_mavg._ops.variables import is_resource, tensorflow_variable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tf_mavg._averages.averages import Averages
    from tf_mavg._averages.entry import Entry

DENSE: Final = "dense"
LAZY: Final = "lazy"
CHOICES: Final = (DENSE, LAZY)
# In the place of indices: whoever has written the rows has caught them up, so nobody need look.
CAUGHT_UP: Final[Any] = object()


def check_sparse(choice: object) -> None:
    """Raises ValueError unless `choice` is a value of `sparse`."""
    if choice not in CHOICES:
        message = f"`sparse` must be one of {CHOICES}. Received: {choice!r}."
        raise ValueError(message)


class LazyRows:
    """Which averages of a holder are lazy, and up to which step their rows are."""

    def __init__(self, averages: Averages) -> None:
        """None is."""
        self._averages = averages
        # A table a component, by id of the entry, which the holder keeps.
        self._tables: dict[int, list[RowTable]] = {}
        self._traced_whole: set[int] = set()  # Ids of entries, too.

    def __bool__(self) -> bool:
        """Whether there is one."""
        return bool(self._tables)

    def __contains__(self, entry: Entry | None) -> bool:
        """Whether an average is lazy."""
        return id(entry) in self._tables

    def tables(self, entries: Iterable[Entry]) -> list[RowTable]:
        """The tables of those entries that are lazy."""
        return [table for entry in entries for table in self._tables.get(id(entry), ())]

    def catch_up(
        self, variables: Sequence[Any], indices: Sequence[Any], since: int | None = None
    ) -> list[tf.Operation]:
        """Has averages see all steps, before rows of their variables are written.

        Those that are not lazy are from now on.

        Args:
          variables: Variables with averages, or shards of such.
          indices: For each the rows, as of `_ops.rows.catch_up_rows`; None for all of them.
          since: How many variables had averages when the step began; by default as many as now.

        Returns:
          In a function or a graph, the operations that the writing waits for.

        Raises:
          ValueError: If a variable cannot be averaged lazily.
          RuntimeError: In a function that XLA compiles; if another function was traced that updates
            the average as a whole; or in a graph of TensorFlow 1, if it was made before the step.
        """
        _check_not_compiled()
        since = self._averages.count if since is None else since
        some: list[tuple[RowTable, Any]] = []
        whole: list[RowTable] = []
        for variable, rows in zip(map(tensorflow_variable, variables), indices, strict=True):
            tables = self._tables_of(variable, since)
            if rows is None:
                whole += tables
                continue
            if is_sharded(variable):
                message = (
                    "Rows are named of each shard. Received: indices of the whole "
                    f"{name_of(variable)!r}; name its `variables`, with the rows of each."
                )
                raise ValueError(message)
            some += [(table, rows) for table in tables]
        done = catch_up_all_rows(whole)
        return done + catch_up_rows([table for table, _ in some], [rows for _, rows in some])

    def note_traced(self, entries: Iterable[Entry]) -> None:
        """Notes that a function is traced which updates averages as a whole, but for lazy ones."""
        if self._averages.sparse == LAZY:
            self._traced_whole |= {id(entry) for entry in entries if entry not in self}

    def _tables_of(self, variable: Any, since: int) -> list[RowTable]:
        """The tables of a variable or shard, which are made if its averages are not lazy yet."""
        whole = self._whole_of(variable)
        (entries,) = self._averages.create([whole])
        if entries[0] not in self:
            check_can_be_lazy(entries[0])
            if entries[0].is_split:
                message = (
                    "Rows are caught up in averages that are whole. Received: "
                    f'{name_of(variable)!r}, whose average is split; with sparse="lazy", take '
                    'average_dtype="float32".'
                )
                raise ValueError(message)
            if id(entries[0]) in self._traced_whole:  # It would go on, over rows that are behind.
                message = (
                    "Rows of a variable must be named before a function is traced that updates its "
                    f"average as a whole. Received: {name_of(variable)!r}, of which there is such "
                    "a function; call catch_up for it before, or take averages of their own."
                )
                raise RuntimeError(message)
            if entries[0].graph is not None and self._averages.position_of(entries[0]) < since:
                message = (
                    "In a graph of TensorFlow 1, rows of a variable must be named before its "
                    f"average is made. Received: {name_of(variable)!r}, which has one; call "
                    "catch_up for it before apply or create_averages."
                )
                raise RuntimeError(message)
            with tf.init_scope():
                for entry in entries:
                    self._tables[id(entry)] = [_make_table(*pair) for pair in entry.pairs]
            self._averages.update.forget_bindings()
        tables = self.tables(entries)
        parts = {id(component) for component in components_of(variable)}
        return [table for table in tables if id(table.variable) in parts]

    def _whole_of(self, variable: Any) -> Any:
        """What has averages: a variable, or that of which it is a shard."""
        if self._averages.entry_of(variable) is None:
            parts = {id(component) for component in components_of(variable)}
            for entry in self._averages.entries(0):
                if parts.issubset(id(component) for _, component in entry.pairs):
                    return entry.variable
        return variable

    def catch_up_all(self, entries: Iterable[Entry] | None = None) -> list[tf.Operation]:
        """Has all rows of averages see all steps: before anything but a step touches them.

        Args:
          entries: Entries; by default all.

        Returns:
          In a graph, the operations that do it.

        Raises:
          RuntimeError: In a function that XLA compiles, if one is lazy.
        """
        if not self._tables:
            return []
        return _catch_up_all(self.tables(self._averages.entries() if entries is None else entries))

    def variables(self) -> list[tf.Variable]:
        """What lies beside the averages: a SavedModel that holds steps needs it."""
        tables = self.tables(self._averages.entries())
        return [one for table in tables for one in (table.seen, table.clock)]

    def advance(
        self, tables: Sequence[Sequence[RowTable]], decay: Any, rates: Any
    ) -> list[tf.Operation]:
        """Notes a step, after the variables are written.

        Args:
          tables: For each index of averages the tables.
          decay: As of `ops.apply_moving_average`.
          rates: As there.

        Returns:
          In a function or graph, the operations that do it.

        Raises:
          RuntimeError: In a function that XLA compiles, if one is lazy.
        """
        if any(tables):
            _check_not_compiled()
        wanted = Rates(self._averages.of_each, decay, rates)
        made = []
        for index, of_index in enumerate(tables):
            if of_index:
                made += advance_row_clocks(of_index, tf.reshape(wanted.of((index,)), []))
        return made

    def checks(self, variables: Sequence[Any], indices: Sequence[Any] | None) -> list[tf.Operation]:
        """Refuses a step that has written rows which were not caught up before.

        Not with parameter servers, where steps of workers overlap: what one has caught up, another
        may be one step past.

        Args:
          variables: What the step has written.
          indices: For each the rows that it wrote; None for all. Or CAUGHT_UP.

        Returns:
          In a function, the operations that the noting of the step waits for.

        Raises:
          RuntimeError: If it has; in a function tf.errors.InvalidArgumentError, when it runs.
          ValueError: If there are not as many `indices` as variables, or such of a variable that
            is not averaged lazily.
        """
        if indices is CAUGHT_UP:
            return []
        if indices is not None and len(indices) != len(variables):
            message = (
                "`indices` must be as many as `var_list`, with None for a variable that the step "
                f"wrote as a whole. Received: {len(indices)} for {len(variables)} variables."
            )
            raise ValueError(message)
        tables: list[RowTable] = []
        written: list[Any] = []
        refusals: list[str] = []
        for i, variable in enumerate(variables):
            rows = None if indices is None else indices[i]
            entry = self._averages.entry_of(variable)
            if entry is None or entry not in self:
                if rows is None:
                    continue
                raise RuntimeError(_not_caught_up(variable))
            strategy = strategy_of(components_of(entry.variable)[0])
            if isinstance(strategy, tf.distribute.ParameterServerStrategy):
                continue
            tables += self._tables[id(entry)]  # One, of the first average: the others are alike.
            written.append(rows)
            refusals.append(_not_caught_up(variable))
        return check_caught_up(tables, written, refusals)

    def restart(self, entries: Iterable[Entry]) -> list[tf.Operation]:
        """Notes that averages have been given values: their rows are up to date.

        Returns:
          In a graph, the operations that do it.
        """
        return [operation for table in self.tables(entries) for operation in table.restart()]

    def discard(self, entries: Iterable[Entry]) -> None:
        """Forgets averages that are gone."""
        for entry in entries:
            self._tables.pop(id(entry), None)
            self._traced_whole.discard(id(entry))


def _make_table(average: tf.Variable, variable: tf.Variable) -> RowTable:
    """Makes what an average needs beside it; from now on it is up to date for whoever reads it."""
    table = make_row_table(average, variable)

    def catch_up() -> list[tf.Operation]:
        return _catch_up_all([table])

    before_each_access(average, catch_up)
    for one in (table.seen, table.clock):  # A Saver that has all variables saves them as of then.
        before_fetches(one, catch_up)
    return table


def _catch_up_all(tables: list[RowTable]) -> list[tf.Operation]:
    if tables:
        _check_not_compiled()
    return catch_up_all_rows(tables)


def _check_not_compiled() -> None:
    """Raises RuntimeError in a function that XLA compiles."""
    if compiles_with_xla():
        message = (
            'XLA compiles no step with sparse="lazy". Received: a function with jit_compile=True; '
            'compile with jit_compile=False, or take sparse="dense".'
        )
        raise RuntimeError(message)


def _not_caught_up(variable: Any) -> str:
    return (
        "Rows must be caught up before a step writes them. Received: "
        f"{name_of(tensorflow_variable(variable))!r}, with rows that were not; call "
        "catch_up([variable], [indices]) with all of them before the optimizer, and pass "
        "`indices` to apply()."
    )


def check_can_be_lazy(entry: Entry) -> None:
    """Raises ValueError unless rows of a variable can be averaged lazily."""
    variable, kind = entry.variable, None
    components = components_of(variable)
    if has_a_component_a_replica(variable) and len(components) > 1:
        kind = "one with a component a replica"
    elif not all(map(is_resource, components)):
        kind = "a reference variable"
    elif not variable.shape.rank or variable.shape[0] is None:
        kind = f"one of shape {variable.shape}, without rows"
    if kind is not None:
        message = (
            'With sparse="lazy", a variable whose rows are named must have each row once. '
            f'Received: {name_of(variable)!r}, {kind}, or take sparse="dense".'
        )
        raise ValueError(message)
