"""Averages in object checkpoints: each is found by its variable, never by a position.

An average is a slot variable of what holds it, as the momentum of a variable is one of its
optimizer: TensorFlow keys it by the variable's own place in the checkpoint, restores it whatever
else has changed, and asks for it when the variable is made later. Where the variable is not part of
the checkpoint, the key is made of the variable's name.
"""

from __future__ import annotations

from typing import Any, Final

import tensorflow as tf

SLOT: Final = "average"  # The name of the slot of the first average of each variable.
# Under which attribute what is found by name has the remainder of a split average.
REMAINDER: Final = "REMAINDER"


def called(name: str, index: int) -> str:
    """What the first of several averages is called, for the one of an index: "average_1"."""
    return name if index == 0 else f"{name}_{index}"


def slots_of(averages: int) -> list[str]:
    """The names of the slots of so many averages of each variable."""
    return [called(SLOT, index) for index in range(averages)]


def index_of_slot(name: str) -> int | None:
    """The index of the averages whose slots have a name; None if it is no name of ours."""
    number = name.removeprefix(SLOT).removeprefix("_") or "0"
    is_ours = number.isdecimal() and called(SLOT, int(number)) == name
    return int(number) if is_ours else None


def remainder_of(name: str) -> str:
    """What the remainder of a split average is called that has a name, or of a slot."""
    return f"{name}_remainder"


def key_of(name: str, index: int) -> str:
    """The name of a variable as the key of one of its averages."""
    return f"{called(SLOT, index)}_of_{name.partition(':')[0]}"


class NamedAverage(tf.__internal__.tracking.Trackable):  # type: ignore[misc]
    """What a checkpoint tracks of averages that it does not reach as slot variables, by one name.

    Attributes:
      averages: The average of each variable of that name, by the variable's id.
      remainders: Those of split ones.
    """

    def __init__(self, name: str, slots: set[int]) -> None:
        """Tracks nothing yet.

        Args:
          name: The name that the variables have.
          slots: The ids of the variables whose slot TensorFlow has seen, as it sees them.
        """
        self._name = name
        self._slots = slots
        self.averages: dict[int, tf.Variable] = {}
        self.remainders: dict[int, tf.Variable] = {}

    def _gather_saveables_for_checkpoint(self) -> dict[str, Any]:
        # Not by _serialize_to_tensors: this way a checkpoint without the value is one, too.
        if self._slots.issuperset(self.averages):
            return {}
        if len(self.averages) > 1:
            message = (
                f"Averages of variables that a checkpoint does not track are saved by name. "
                f"Received: {len(self.averages)} variables called {self._name!r}; track the "
                "variables, as in tf.train.Checkpoint(model=model, averages=ema)."
            )
            raise ValueError(message)
        (average,) = self.averages.values()
        saved: dict[str, Any] = average._gather_saveables_for_checkpoint()  # noqa: SLF001
        for remainder in self.remainders.values():
            (value,) = remainder._gather_saveables_for_checkpoint().values()  # noqa: SLF001
            saved = {**saved, REMAINDER: value}
        return saved

    def _copy_trackable_to_cpu(self, object_map: Any) -> None:
        """Copies for an asynchronous save."""
        copied = object_map.setdefault(self, NamedAverage(self._name, self._slots))
        for theirs, its in (
            (self.averages, copied.averages),
            (self.remainders, copied.remainders),
        ):
            for key, one in theirs.items():
                one._copy_trackable_to_cpu(object_map)  # noqa: SLF001
                its[key] = object_map[one]
