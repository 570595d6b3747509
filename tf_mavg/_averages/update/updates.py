"""How the averages of one holder are updated: through a binding, wherever one can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import tensorflow as tf

from tf_mavg import _native
from tf_mavg._averages.update.finite import RAISE, UPDATE, check_finite
from tf_mavg._averages.update.steps import host_of
from tf_mavg._averages.update.work import AtHand, BoundWork, ListedWork
from tf_mavg._compat.distribute import replica_at_hand
from tf_mavg._compat.tensorflow import compiles_with_xla, is_exporting
from tf_mavg._ops.rates import rates_of
from tf_mavg._ops.rounding import Rounding

if TYPE_CHECKING:
    from collections.abc import Callable

    from tf_mavg._averages.averages import Averages
    from tf_mavg._averages.entry import Entry

    Variables = list[Any] | tuple[Any, ...]

# Lists of variables whose bindings are kept for the next step. A program that averages parts of a
# model by turns has a few; one that makes a new list of other variables each time gains nothing.
_BINDINGS_KEPT: Final = 8


class _Bound(NamedTuple):
    """The binding of what a replica touches of some variables."""

    variables: list[Any]
    replica: tuple[Any, int] | None
    work: BoundWork


class Updates:
    """The updates of a holder's averages."""

    def __init__(self, averages: Averages) -> None:
        """Binds nothing yet."""
        self._averages = averages
        self._bindings: list[_Bound] = []  # The last made is the last.

    def forget_bindings(self) -> None:
        """Looks variables up anew: averages have been taken back."""
        self._bindings = []

    def __call__(
        self,
        variables: Variables,
        decay: Any,
        name: str,
        check: Callable[[Variables], Any] | None = None,
    ) -> tf.Operation | None:
        """Moves the averages of variables towards them, in one op a device and dtype.

        Args:
          variables: Variables of any kind.
          decay: As of `ops.apply_moving_average`; None if the holder counts steps.
          name: Name of the returned operation.
          check: In eager mode, called with `variables` where they were not checked before.

        Returns:
          The operation that updates; None when executing eagerly.
        """
        if tf.executing_eagerly():
            self.eagerly(variables, decay, check)
            return None
        self._averages.start_late()
        created = self._entries_of(variables)
        entries = [entry for entries in created for entry in entries]
        self._averages.lazy.note_traced(entries)
        if _can_bind() and not self._averages.late.among(entries):
            with tf.init_scope():
                work = self._bound(variables)
            with tf.name_scope(name):
                self._step(work, decay)
            return tf.group()
        self._averages.late.start_in_function(entries)
        listed = ListedWork(AtHand(created, self._averages.lazy), name)
        return self._step(listed, decay, entries[0].graph) or tf.group()

    def eagerly(
        self, variables: Variables, decay: Any, check: Callable[[Variables], Any] | None = None
    ) -> None:
        """What a call does in eager mode; few lines, for after a step no cache holds their code."""
        if self._averages.late:
            self._averages.start_late()
        self._step(self._bound(variables, check), decay)

    def _step(
        self, work: BoundWork | ListedWork, decay: Any, graph: tf.Graph | None = None
    ) -> tf.Operation | None:
        """Updates at a decay, or at the rate of this step; looks before at what must be finite."""
        choice = self._averages.if_not_finite
        if choice == UPDATE and decay is not None:
            return work.update(decay)
        components, finite, checks = work.at_hand.components, None, []
        if choice != UPDATE and components:
            finite = work.all_finite()
            if choice == RAISE:
                finite, checks = None, check_finite(finite, components)
            elif tf.executing_eagerly():
                if not finite:
                    return None
                finite = None
        with tf.control_dependencies(checks):
            if decay is None:
                return self._count(work, graph, finite)
            if finite is None:
                return work.update(decay)
            with tf.device(host_of(components[0].device)):
                rates = _if(finite, rates_of(decay))
            return work.update(rates=rates)

    def _count(
        self,
        work: BoundWork | ListedWork,
        graph: tf.Graph | None,
        finite: tf.Tensor | None = None,
    ) -> tf.Operation | None:
        """Updates at the rate of this step, and counts it.

        An update that fails is not counted, nor one that is skipped.

        Args:
          work: What to update.
          graph: The graph of TensorFlow 1 that it is of.
          finite: Whether to do it; by default yes.
        """
        devices = work.at_hand.devices
        if not devices:
            return None
        steps, pace = self._averages.steps, self._averages.pace
        with tf.device(host_of(devices[0])):  # Not as so many kernels of a GPU.
            n = steps.next(devices, graph)
            rates = _if(finite, _told(pace.rates(n)))
            overwriting = _if(finite, _told(pace.overwriting_rates(n)))
            key = self._rounding_key(n)
        done = [work.update(rates=rates, rounding_key=key)]
        if pace.overwrite_every is not None:
            with tf.control_dependencies(_operations(done)):
                done.append(work.overwrite(overwriting))
        with tf.control_dependencies(_operations(done)):
            counted = steps.advance(
                devices, graph, 1 if finite is None else tf.cast(finite, tf.int64)
            )
        return tf.group(*counted) if graph is not None else done[-1]

    def _rounding_key(self, n: Any) -> Rounding | None:
        """What the random bits of the n-th step depend on; None if it needs none."""
        seed = self._averages.seed
        return None if seed is None else Rounding(self._averages.of_each, (seed, n))

    def _entries_of(self, variables: Variables) -> list[tuple[Entry, ...]]:
        self._averages.count_for(variables)
        return self._averages.create(variables)

    def _bound(
        self, variables: Variables, check: Callable[[Variables], Any] | None = None
    ) -> BoundWork:
        """What is bound to just these variables; a step is cheap because it finds it here."""
        replica = _replica()
        for bound in self._bindings[::-1]:
            if bound.replica == replica and _native.same_objects(bound.variables, variables):
                return bound.work
        if check is not None:
            check(variables)
        work = BoundWork(AtHand(self._entries_of(variables), self._averages.lazy))
        made = _Bound(list(variables), replica, work)
        self._bindings = [*self._bindings, made][-_BINDINGS_KEPT:]
        return work


def _operations(done: list[tf.Operation | None]) -> list[tf.Operation]:
    """What the next operation waits for; nothing, where control dependencies are automatic."""
    return [one for one in done if one is not None]


def _if(finite: tf.Tensor | None, rates: Any) -> Any:
    """Rates, or in a function zeros if not all is finite: a rate of 0 writes nothing."""
    return rates if finite is None else tf.where(finite, rates, tf.zeros_like(rates))


def _told(rates: list[Any]) -> Any:
    """Rates as ops take them: numbers, or one float32 tensor."""
    if not any(map(tf.is_tensor, rates)):
        return rates
    return tf.stack([tf.cast(rate, tf.float32) for rate in rates])


def _replica() -> tuple[Any, int] | None:
    """The strategy and replica whose code runs; None outside of replica context."""
    replica = replica_at_hand()
    return None if replica is None else (tf.distribute.get_strategy(), replica)


def _can_bind() -> bool:
    """Whether the function that is being traced, if one is, can hold a binding."""
    return (
        tf.compat.v1.executing_eagerly_outside_functions()
        and tf.inside_function()
        and not compiles_with_xla()
        and not is_exporting()
    )
