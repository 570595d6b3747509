"""Has the averages of one holder change places with their variables: an index at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tf_mavg._averages.swap.exchange import Exchange, check_can_save
from tf_mavg._ops.split import split
from tf_mavg._ops.variables import shards

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Iterable

    from tf_mavg._averages.averages import Averages


class Swaps:
    """The swaps of a holder's averages, those of one index at a time."""

    def __init__(self, averages: Averages) -> None:
        """Swaps the averages of a holder."""
        self._averages = averages
        self._exchanges = [Exchange(averages, index) for index in range(averages.of_each)]

    def take_over(self, other: Swaps, memo: dict[int, Any]) -> None:
        """Holds what the swaps of another holder hold, for copies of its variables."""
        for exchange, its in zip(self._exchanges, other._exchanges, strict=True):
            exchange.take_over(its, memo)

    def swap(self, index: int | None = None) -> tf.Operation | None:
        """Exchanges the values of all variables and their averages of an index.

        Args:
          index: By default that of the averages that are swapped now, else of the first.

        Returns:
          The operation that swaps; None when executing eagerly.

        Raises:
          RuntimeError: If there are no averages; when executing eagerly, if those of another index
            are swapped now.
          TypeError: In a graph, if an average has another dtype than its variable.
          ValueError: If there are no averages of that index.
        """
        if index is None:
            index = self._averages.state.swapped_index or 0
            self.check_has(index)
        exchange = self._exchange_of(index)
        if not tf.executing_eagerly():
            return exchange()
        self._averages.state.swap(exchange, index)
        return None

    def swapped(
        self,
        session: tf.compat.v1.Session | None = None,
        index: int = 0,
        *,
        may_save: bool = False,
    ) -> contextlib.AbstractContextManager[None]:
        """A context in which the variables hold the averages of an index; it always swaps back.

        Args:
          session: In a graph, the Session to run in; by default the default Session.
          index: Which averages.
          may_save: Whether checkpoints may be saved meanwhile.

        Raises:
          RuntimeError: If there are no averages, the graph is finalized, or a function is being
            traced; on entry, if already swapped, or if there is no Session to run in.
          ValueError: If there are no averages of that index.
        """
        exchange = self._exchange_of(index)
        if tf.executing_eagerly():
            return self._averages.state.swapped_by(exchange, index, may_save=may_save)
        if tf.inside_function():
            message = "swapped() must be entered in eager mode, not while a function is traced."
            raise RuntimeError(message)
        return exchange.in_session(exchange.there_and_back(), session, may_save=may_save)

    def swapped_for_saving(
        self, session: tf.compat.v1.Session | None = None, index: int = 0
    ) -> contextlib.AbstractContextManager[None]:
        """As `swapped`, but checkpoints may be saved: with averages in the place of variables.

        Raises:
          TypeError: If an average has another dtype than its variable, which it cannot hold then.
        """
        self._averages.check_index(index)
        check_can_save(self._averages.entries(index))
        return self.swapped(session, index, may_save=True)

    def hold_until_swapped_back(self, variables: Iterable[Any]) -> None:
        """While swapped: has variables without averages get their values back with the others."""
        exchange = self._exchanges[self._averages.state.swapped_index or 0]
        exchange.hold(one for one in shards(variables) if self._averages.entry_of(one) is None)

    def set_copied_average(self, variable: Any, value: tf.Tensor) -> None:
        """While swapped: sets an average of which its variable holds a copy, for the other dtype.

        Any other average is where its variable was: setting the variable sets it. Of a split one
        it sets both halves.
        """
        entry = self._averages.entry_of(variable, self._averages.state.swapped_index or 0)
        if entry is None:
            return
        if entry.is_split:
            high, remainder = split(value)
            variable.assign(high)
            entry.remainder.assign(remainder)
        elif not entry.is_alike:
            entry.average.assign(tf.cast(value, entry.average.dtype))

    def check_has(self, index: int) -> None:
        """Raises ValueError if a checkpoint has averages in place that are not of this holder."""
        if index >= self._averages.of_each:
            message = (
                "A checkpoint must have averages in the place of variables that this program has, "
                f"below index {self._averages.of_each}. Received: one with those of index {index}; "
                f"make the averages with a list of at least {index + 1} decays."
            )
            raise ValueError(message)

    def _exchange_of(self, index: int) -> Exchange:
        self._averages.check_index(index)
        self._averages.start_late()
        return self._exchanges[index]
