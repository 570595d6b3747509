"""The average that one replica has for all, and how its value reaches the others; see shares.py.

In one process it is a plain variable beside its owner's component, which all code there can read.
Of several workers one has that variable; the others have an `AverageOfWorkers` in its place, which
checkpoints of all workers see.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final, NoReturn

import tensorflow as tf

from tf_mavg._averages.components.parcels import Parcel, deliver
from tf_mavg._compat.distribute import (
    FetchedSaveable,
    components_of,
    has_several_workers,
    name_of,
    replica_at_hand,
    strategy_of,
)
from tf_mavg._compat.tensorflow import make_variable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from tf_mavg._averages.components.replicas import Create, Pair
    from tf_mavg._averages.components.shares import Owner
    from tf_mavg._averages.entry import Entry

_KEY: Final = "VARIABLE_VALUE"  # As TensorFlow calls the value of a variable in checkpoints.


class AverageOfWorkers(tf.__internal__.tracking.Trackable):  # type: ignore[misc]
    """The average of a variable that one of several workers has, on each of them.

    To be read it is fetched from its owner, by all workers at once. What one worker alone would
    wait for is refused.

    Attributes:
      name: The average's name, the same on all workers.
      dtype: Its dtype.
      shape: Its shape.
      device: Where this process has its first component of the variable.
      here: The average itself; None on the workers that do not have it.
    """

    def __init__(
        self, variable: Any, owner: Owner, here: tf.Variable | None, name: str, dtype: tf.DType
    ) -> None:
        """Stands for the average of a variable of several workers."""
        self.name, self.dtype, self.shape = f"{name}:0", dtype, variable.shape
        self.device = components_of(variable)[0].device
        self.here = here
        self._variable, self._owner = variable, owner

    def __deepcopy__(self, memo: dict[int, Any]) -> NoReturn:
        """Refuses: all workers would have to copy at once."""
        message = (
            "Averages that several workers share cannot be copied. Received: a copy of "
            f"{self.name!r}; save a checkpoint, and restore it into the copy of the model."
        )
        raise RuntimeError(message)

    def fetch(self) -> tf.Tensor:
        """Its value, for which all workers must call this at the same point of the program."""
        parcel = Parcel(self._variable, self.dtype, self._owner.index, self.here)
        ((_, values),) = deliver(strategy_of(self._variable), [parcel])
        return values[0]

    def assign(self, value: Any) -> None:
        """Sets its value, which all workers do alike: its owner keeps it."""
        self.shape.assert_is_compatible_with(tf.convert_to_tensor(value).shape)
        if self.here is not None:
            self.here.assign(value)

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        message = (
            "Averages with placement='sharded' are read by the worker that has them. Received: a "
            f"read of {self.name!r}, which replica {self._owner.replica} has, in another worker; "
            "have all workers enter swapped(), and read the variable itself there."
        )
        raise RuntimeError(message)

    # All ways to read a variable.
    numpy = read_value = value = __array__ = __tf_tensor__ = _refuse

    def _gather_saveables_for_checkpoint(self) -> dict[str, Callable[[str], Any]]:
        return {_KEY: functools.partial(FetchedSaveable, self)}

    def _copy_trackable_to_cpu(self, object_map: Any) -> None:
        """Copies for an asynchronous save, whose writer must not wait for other workers."""
        value = self.fetch()
        with tf.device("/cpu:0"):
            copied = object_map.setdefault(self, make_variable(tf.zeros_like(value)))
            copied.assign(value)


def make_owned(
    variable: Any, owner: Owner, name: str, dtype: tf.DType, create: Create
) -> tuple[Any, list[Pair]]:
    """Makes the average of a variable on its owner; arguments as of `average_beside`.

    Returns:
      The average as checkpoints see it; and its pair of components, if it is in this process.
    """
    components = components_of(variable)
    pairs = []
    if owner.index is not None:
        component = components[owner.index]
        pairs.append((create(component, name, dtype, components[0]), component))
    if not has_several_workers(strategy_of(variable)):
        return pairs[0][0], pairs
    here = pairs[0][0] if pairs else None
    whole = f"{name_of(variable).partition(':')[0]}/{name}"
    return AverageOfWorkers(variable, owner, here, whole, dtype), pairs


def array_of(average: Any) -> NDArray[Any]:
    """The value of an average; all workers call it if several share it."""
    is_shared = isinstance(average, AverageOfWorkers)
    return average.fetch().numpy() if is_shared else average.numpy()  # type: ignore[no-any-return]


def check_can_spread(entries: Iterable[Entry], what: str) -> None:
    """Raises RuntimeError where values could not travel from owners to others.

    Args:
      entries: Some of them may be sharded.
      what: What is refused, as the verb of a sentence about averages.
    """
    is_ready = tf.executing_eagerly() and replica_at_hand() is None
    if not is_ready and any(entry.owner is not None for entry in entries):
        message = (
            f"Averages with placement='sharded' {what} in eager mode, outside of strategy.run(), "
            "since values travel between replicas. Received: a call in a function or a replica; "
            "call it outside."
        )
        raise RuntimeError(message)


def others_of(entry: Entry) -> list[tuple[int, tf.Variable]]:
    """The components of a variable in this process that are not the owner's, and their replicas."""
    if entry.owner is None:
        return []
    components = enumerate(components_of(entry.variable))
    return [(index, one) for index, one in components if index != entry.owner.index]


def spread(entries: Iterable[Entry]) -> None:
    """Gives all components of variables the value of their average's owner, bit for bit.

    All workers call it at the same point of the program.
    """
    shared = [entry for entry in entries if entry.owner is not None]
    for strategy in {id(entry.strategy): entry.strategy for entry in shared}.values():
        of_strategy = [entry for entry in shared if entry.strategy is strategy]
        for entry, values in _values_of_owners(strategy, of_strategy):
            for index, component in others_of(entry):
                component.assign(values[index])


def _values_of_owners(
    strategy: Any, entries: list[Entry]
) -> Iterator[tuple[Entry, list[tf.Tensor]]]:
    """What the owners' components of variables hold, for each replica of this process."""
    if not has_several_workers(strategy):
        for entry in entries:
            ((_, component),) = entry.pairs
            yield entry, [component.read_value()] * strategy.num_replicas_in_sync
        return
    parcels = [
        Parcel(e.variable, e.variable.dtype, e.owner.index, e.pairs[0][1] if e.pairs else None)
        for e in entries
        if e.owner is not None
    ]
    for entry, (_, values) in zip(entries, deliver(strategy, parcels), strict=True):
        yield entry, values
