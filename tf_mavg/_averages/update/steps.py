"""How many steps the averages of a holder have seen, for rates that depend on it.

The count lies beside the averages, one a device, as a replica counts for itself: the counts of all
replicas agree without a word between them. It lies in the memory of the device's host, where rates
are computed. Checkpoints hold one of the counts, and give it to all.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tf_mavg._compat.distribute import name_of
from tf_mavg._compat.tensorflow import NotingVariable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Steps:
    """The counts of one holder.

    Attributes:
      first: The count that checkpoints hold; None before averages are made.
    """

    def __init__(self, name: str) -> None:
        """Counts nothing yet; `name` is that of the holder."""
        self._name = name
        self._counts: dict[tuple[tf.Graph | None, str], tf.Variable] = {}
        # By graph, the ids of the variables whose steps are counted.
        self._counted: dict[tf.Graph | None, set[int]] = {}
        self.first: tf.Variable | None = None

    def add_device(self, device: str, graph: tf.Graph | None) -> bool:
        """Makes the count of a device in a graph of TensorFlow 1, or in eager mode (None).

        Returns:
          Whether it is the one that checkpoints hold.
        """
        if (graph, device) in self._counts:
            return False
        with tf.init_scope(), tf.device(host_of(device)):
            start = 0 if graph or self.first is None else self.first.read_value()
            made = NotingVariable(
                initial_value=tf.cast(start, tf.int64),
                note=self._note_restored,
                name=f"{self._name}/steps",
            )
        self._counts[graph, device] = made
        if graph is not None or self.first is not None:
            return False
        self.first = made
        return True

    def count_for(self, variables: Sequence[Any], graph: tf.Graph | None) -> None:
        """Notes whose steps are counted from now on.

        Raises:
          ValueError: If steps of others were counted before, without one of these: two lists that
            take turns would each count the other's steps.
        """
        now, before = {id(one) for one in variables}, self._counted.get(graph, set())
        if before and not (now <= before or now >= before):
            new = next(one for one in variables if id(one) not in before)
            message = (
                "With a schedule, `start`, `every` or `rounding`, each apply() counts a step, so "
                f"all must name the same variables. Received: {name_of(new)!r}, after calls "
                "without it; average it by an object of its own, or name all variables in one call."
            )
            raise ValueError(message)
        self._counted[graph] = now

    def next(self, devices: Iterable[str], graph: tf.Graph | None = None) -> Any:
        """The number of the step that begins, from 1: in eager mode a number, else a tensor."""
        value = self._at(devices, graph)[0].read_value() + 1
        return int(value) if tf.executing_eagerly() else value

    def advance(
        self, devices: Iterable[str], graph: tf.Graph | None = None, by: Any = 1
    ) -> list[tf.Operation]:
        """Counts a step that has been taken, 0 or 1; returns the operations that do, in a graph."""
        made = [count.assign_add(by, read_value=False) for count in self._at(devices, graph)]
        return [] if tf.executing_eagerly() else made

    def set(self, value: int) -> None:
        """Gives the counts of eager mode a value."""
        for count in self.variables():
            count.assign(value)

    def agree(self) -> None:
        """Gives all counts of eager mode the value of the first, after that was put back."""
        if self.first is not None:
            self.set(self.first.read_value())

    def variables(self, of: tf.Graph | None = None) -> list[tf.Variable]:
        """The counts of a graph of TensorFlow 1, or of eager mode."""
        return [count for (graph, _), count in self._counts.items() if graph is of]

    def _at(self, devices: Iterable[str], graph: tf.Graph | None) -> list[tf.Variable]:
        return [self._counts[graph, device] for device in dict.fromkeys(devices)]

    def _note_restored(self, value: tf.Tensor, restore: int) -> None:
        del restore
        for count in self.variables():
            if count is not self.first:
                count.assign(value)


@functools.cache
def host_of(device: str) -> str:
    """The processor that feeds a device; a processor feeds itself."""
    spec = tf.DeviceSpec.from_string(device or "/cpu:0")
    if spec.device_type in {None, "CPU"}:
        return device or "/cpu:0"
    return str(spec.replace(device_type="CPU", device_index=0).to_string())
