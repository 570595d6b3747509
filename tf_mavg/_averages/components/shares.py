"""Sharded averages: which replica has the average of which variable.

The replicas of a MirroredStrategy or MultiWorkerMirroredStrategy have equal components of a
variable. So one of them, the owner, can keep the average for all, and updates it from its own
component: memory and time of the averages are divided by the number of replicas, and the update
still needs no communication.

The rule sees sizes only. Processes that make averages of the same variables by the same calls come
to the same shares, and ask each other only when a value has to travel: see parcels.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import tensorflow as tf

from tf_mavg._compat.distribute import (
    components_of,
    is_written_together,
    name_of,
    replicas_here,
    strategy_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tf_mavg._averages.entry import Entry

SHARDED: Final = "sharded"
# What `placement` may be, of every face.
PLACEMENTS: Final = ("replicated", SHARDED)

_MIRRORED: Final = (
    tf.distribute.MirroredStrategy,
    tf.distribute.MultiWorkerMirroredStrategy,
    tf.compat.v1.distribute.MirroredStrategy,
)
_ONE_DEVICE: Final = (
    tf.distribute.OneDeviceStrategy,
    tf.compat.v1.distribute.OneDeviceStrategy,
)


def check_placement(choice: object) -> None:
    """Raises ValueError unless `choice` is a value of `placement`."""
    if choice not in PLACEMENTS:
        message = f"`placement` must be one of {PLACEMENTS}. Received: {choice!r}."
        raise ValueError(message)


@dataclass(frozen=True)
class Owner:
    """The replica that has an average.

    Attributes:
      replica: Its number among the replicas of all workers.
      index: Its number among those of this process; None if it is another worker's.
    """

    replica: int
    index: int | None


def choose_owners(sizes: Sequence[tuple[Any, int]], entries: Iterable[Entry]) -> dict[int, Owner]:
    """Chooses the owners of averages that are about to be made.

    Args:
      sizes: Distinct variables, each with the bytes of its average.
      entries: The averages that there are, whose owners stay and whose bytes count.

    Returns:
      The owners, by the variables' ids. A variable that is not among them has an average beside
      each of its components: it is of no strategy, of one replica, or synchronized when it is read,
      so that its components differ.

    Raises:
      ValueError: If the averages of a variable cannot be sharded.
    """
    shared = [(variable, size, _mirrored_by(variable)) for variable, size in sizes]
    kept = list(entries)
    owners = {}
    for strategy in {id(one): one for *_, one in shared if one is not None}.values():
        loads = [0] * strategy.num_replicas_in_sync
        for entry in kept:
            if entry.owner is not None and entry.strategy is strategy:
                loads[entry.owner.replica] += entry.average_bytes
        new = [(variable, size) for variable, size, one in shared if one is strategy]
        here = replicas_here(strategy)
        for (variable, _), replica in zip(new, balance([s for _, s in new], loads), strict=True):
            owners[id(variable)] = Owner(replica, here.index(replica) if replica in here else None)
    return owners


def balance(sizes: Sequence[int], loads: Sequence[int]) -> list[int]:
    """Divides sizes among replicas: the largest first, each to the replica that has least by then.

    So no replica has more than the mean of all and one size, if it had not before.

    Args:
      sizes: What to divide.
      loads: What each replica has already.

    Returns:
      The replica of each size.
    """
    totals = list(loads)
    replicas = [0] * len(sizes)
    for position in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        replicas[position] = totals.index(min(totals))
        totals[replicas[position]] += sizes[position]
    return replicas


def _mirrored_by(variable: Any) -> Any:
    """The strategy whose replicas share a variable's average; None if it is not shared.

    Raises:
      ValueError: If averages cannot be sharded there.
    """
    strategy = strategy_of(components_of(variable)[0])
    if strategy is None or isinstance(strategy, _ONE_DEVICE):
        return None
    if not isinstance(strategy, _MIRRORED):
        place = type(strategy).__name__
    elif not tf.compat.v1.executing_eagerly_outside_functions():
        place = "a graph of TensorFlow 1"
    else:
        return strategy if is_written_together(variable) else None
    message = (
        "Averages are sharded over the replicas of a MirroredStrategy or "
        "MultiWorkerMirroredStrategy, in eager mode and in tf.functions. Received: "
        f'{name_of(variable)!r} of {place}; make the averages with placement="replicated".'
    )
    raise ValueError(message)
