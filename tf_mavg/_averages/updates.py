"""How the averages of one holder are updated: through a binding, wherever one can be used.

A binding hands the runtime one handle a device, however many variables there are. Functions that
XLA compiles must see the variables instead, SavedModels must hold them, and a graph of TensorFlow 1
binds them by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import tensorflow as tf

from tf_mavg import _native, ops
from tf_mavg._averages.replicas import components_at_hand, pairs_at_hand, two_lists
from tf_mavg._compat.distribute import replica_at_hand
from tf_mavg._compat.tensorflow import compiles_with_xla, is_exporting

if TYPE_CHECKING:
    from collections.abc import Callable

    from tf_mavg._averages.averages import Averages
    from tf_mavg._averages.entry import Entry

    Variables = list[Any] | tuple[Any, ...]

# Lists of variables whose bindings are kept for the next step. A program that averages parts of a
# model by turns has a few; one that makes a new list of other variables each time gains nothing.
_BINDINGS_KEPT: Final = 8


class _Bound(NamedTuple):
    """The binding of what a replica touches of some variables; None if that is nothing."""

    variables: list[Any]
    replica: tuple[Any, int] | None
    binding: ops.Binding | None
    devices: list[str]  # Where it counts steps: beside the variables, whoever has their averages.

    def update(self, decay: Any = None, *, rates: Any = None) -> None:
        """Updates."""
        if self.binding is not None:
            self.binding.apply_moving_average(decay, rates=rates)


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
          decay: As of `ops.apply_moving_average`; None if the holder's pace counts steps.
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
        if _can_bind() and not self._averages.late.among(entries):
            with tf.init_scope():
                bound = self._bound(variables)
            with tf.name_scope(name):
                self._step(bound.update, decay, bound.devices)
            return tf.group()
        self._averages.late.start_in_function(entries)
        averages, components, devices = _at_hand(created)

        def update(decay: Any = None, *, rates: Any = None) -> tf.Operation:
            if not components:
                return tf.group()
            return ops.apply_moving_average(averages, components, decay, name, rates=rates)

        return self._step(update, decay, devices, entries[0].graph) or tf.group()

    def eagerly(
        self, variables: Variables, decay: Any, check: Callable[[Variables], Any] | None = None
    ) -> None:
        """What a call does in eager mode; few lines, for after a step no cache holds their code."""
        if self._averages.late:
            self._averages.start_late()
        bound = self._bound(variables, check)
        if decay is None:
            self._step(bound.update, decay, bound.devices)
        elif bound.binding is not None:
            bound.binding.apply_moving_average(decay)

    def _step(
        self,
        update: Callable[..., tf.Operation | None],
        decay: Any,
        devices: list[str],
        graph: tf.Graph | None = None,
    ) -> tf.Operation | None:
        """Updates at a decay; or at the rate of this step, and counts it.

        An update that fails is not counted.
        """
        if decay is not None:
            return update(decay)
        if not devices:
            return None
        averages = self._averages
        rates: Any = averages.pace.rates(averages.steps.next(devices, graph))
        if any(map(tf.is_tensor, rates)):
            rates = tf.stack([tf.cast(rate, tf.float32) for rate in rates])
        updated = update(None, rates=rates)
        with tf.control_dependencies([] if updated is None else [updated]):
            counted = averages.steps.advance(devices, graph)
        return tf.group(*counted) if graph is not None else updated

    def _entries_of(self, variables: Variables) -> list[tuple[Entry, ...]]:
        self._averages.count_for(variables)
        return self._averages.create(variables)

    def _bound(
        self, variables: Variables, check: Callable[[Variables], Any] | None = None
    ) -> _Bound:
        """What is bound to just these variables; a step is cheap because it finds it here."""
        replica = _replica()
        for bound in self._bindings[::-1]:
            if bound.replica == replica and _native.same_objects(bound.variables, variables):
                return bound
        if check is not None:
            check(variables)
        averages, components, devices = _at_hand(self._entries_of(variables))
        binding = ops.Binding(averages, components) if components else None
        made = _Bound(list(variables), replica, binding, devices)
        self._bindings = [*self._bindings, made][-_BINDINGS_KEPT:]
        return made


def _at_hand(
    created: list[tuple[Entry, ...]],
) -> tuple[list[list[Any]], list[tf.Variable], list[str]]:
    """What the code at hand is to touch of the entries of variables.

    Returns:
      A list of averages for each index; the variables; and the devices where steps are counted.
    """
    by_index = [list(entries) for entries in zip(*created, strict=True)]
    pairs = [two_lists(pairs_at_hand(entries)) for entries in by_index]
    devices = [component.device for component in components_at_hand(by_index[0])]
    return [averages for averages, _ in pairs], pairs[0][1], devices


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
