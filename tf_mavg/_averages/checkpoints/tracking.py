"""What TensorFlow's checkpoints see of a holder of averages; see identity.py for the keys.

TensorFlow goes over the objects of a checkpoint in passes. When it saves, it asks for children,
then for slots, then for the values of what it found; when it restores, it asks for children one by
one. What it has seen of the slots in a pass decides which averages need a key made of a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import tensorflow as tf

from tf_mavg._averages.checkpoints.identity import NamedAverage, key_of, remainder_of, slots_of
from tf_mavg._averages.checkpoints.restored_halves import RestoredHalves
from tf_mavg._compat.tensorflow import add_restored, was_restored
from tf_mavg._ops.variables import tensorflow_variable

if TYPE_CHECKING:
    from tf_mavg._averages.averages import Averages
    from tf_mavg._averages.entry import Entry

STEPS: Final = "steps"  # The key of the count.


class TrackedAverages(tf.__internal__.tracking.Trackable):  # type: ignore[misc]
    """A holder's averages as an object of checkpoints: slot variables, names, and the mark.

    Attributes:
      offers_slots: Whether checkpoints find the averages here; else an owner of the holder offers
        them, an optimizer with slots of its own.
    """

    def __init__(self, averages: Averages) -> None:
        """Tracks the averages of a holder."""
        self.offers_slots = True
        self._averages = averages
        self._named: dict[str, NamedAverage] = {}
        # The variables, by id, whose slots TensorFlow has seen in the pass that it makes now.
        self._slots: set[int] = set()
        self._halves = RestoredHalves()
        self._exports = False  # Whether the last pass was for a SavedModel.

    def add(self, entry: Entry) -> None:
        """Tracks an average that was made; a checkpoint restored before may hold its value."""
        key = key_of(entry.name, entry.index)
        named = self._named.setdefault(key, NamedAverage(entry.name, self._slots))
        named.averages[id(entry.variable)] = entry.average
        if entry.is_split:
            named.remainders[id(entry.variable)] = entry.remainder
        self._handle_deferred_dependencies(key, named)

    def add_steps(self) -> None:
        """Tracks the count of steps, which was made; as `add`."""
        self._handle_deferred_dependencies(STEPS, self._averages.steps.first)

    def remove(self, entry: Entry) -> None:
        """Tracks an average no longer."""
        named = self._named[key_of(entry.name, entry.index)]
        del named.averages[id(entry.variable)]
        named.remainders.pop(id(entry.variable), None)

    def was_restored_by_name(self, entry: Entry, since: int) -> bool:
        """Whether a restore after number `since` has found an average by its variable's name."""
        return was_restored(self._named[key_of(entry.name, entry.index)], since)

    def get_slot_names(self) -> list[str]:
        """The names under which checkpoints hold averages."""
        return self.names_of_slots() if self.offers_slots else []

    @property
    def slots(self) -> list[str]:
        """The names of the slots of a variable's averages."""
        return slots_of(self._averages.of_each)

    @property
    def slots_of_remainders(self) -> list[str]:
        """The names of those of their remainders, where averages are split."""
        return [remainder_of(slot) for slot in self.slots]

    def has_slot(self, name: str) -> bool:
        """Whether a slot is one of averages, or of their remainders."""
        return name in self.slots or name in self.slots_of_remainders

    def names_of_slots(self) -> list[str]:
        """Begins a pass of TensorFlow over the slots: `get_slot_names` of this or of its owner."""
        self._slots.clear()
        # What loads a SavedModel again takes no slots of an object that is no optimizer of Keras.
        if self._exports:
            return []
        is_split = any(entry.is_split for entry in self._averages.entries())
        return [*self.slots, *(self.slots_of_remainders if is_split else ())]

    def get_slot(self, variable: Any, name: str) -> Any:
        """An average of a variable, or its remainder, as a slot variable; None if it has none."""
        if not self.has_slot(name):
            return None
        is_average = name in self.slots
        index = (self.slots if is_average else self.slots_of_remainders).index(name)
        entry = self._averages.entry_of(variable, index)
        if entry is None:
            return None
        self._averages.start_late()
        self._slots.add(id(entry.variable))
        return entry.average if is_average else entry.remainder

    def _trackable_children(self, save_type: str = "checkpoint", **kwargs: Any) -> dict[str, Any]:
        """What a checkpoint or SavedModel tracks beside the slots.

        Raises:
          RuntimeError: If a checkpoint would hold values in the wrong places.
        """
        children = super()._trackable_children(save_type, **kwargs)
        state = self._averages.state
        self._exports = save_type != "checkpoint"
        if self._exports:
            wholes = [whole for entry in self._averages.entries() for whole in entry.wholes]
            steps = {
                f"steps_{i}": count for i, count in enumerate(self._averages.steps.variables())
            }
            averages = {f"average_{i}": whole for i, whole in enumerate(wholes)}
            rows = {f"rows_{i}": one for i, one in enumerate(self._averages.lazy.variables())}
            return {**children, **state.flags(), **steps, **averages, **rows}
        state.check_can_save()
        first = self._averages.steps.first
        steps = {} if first is None else {STEPS: first}
        return {**children, **self._named, **steps, "swap_state": state}

    def _copy_trackable_to_cpu(self, object_map: Any) -> None:
        """Copies for an asynchronous save: nothing of its own."""
        del object_map

    def _lookup_dependency(self, *args: Any, **kwargs: Any) -> Any:
        self._slots.clear()  # A restore begins, for which TensorFlow looks at none.
        return super()._lookup_dependency(*args, **kwargs)

    def _create_or_restore_slot_variable(
        self, slot_variable_position: Any, slot_name: str, variable: Any, **_: Any
    ) -> None:
        """Restores an average, and makes it if it does not exist yet."""
        if not self.has_slot(slot_name):
            return
        self._averages.state.check_late_restore(slot_variable_position.restore_uid, variable)
        (entries,) = self._averages.create([tensorflow_variable(variable)])
        is_average = slot_name in self.slots
        slots = self.slots if is_average else self.slots_of_remainders
        entry = entries[slots.index(slot_name)]
        self._averages.late.discard([entry])
        add_restored(slot_variable_position, self._averages.lazy.restart([entry]))
        self._halves.restore(slot_variable_position, entry, is_remainder=not is_average)
