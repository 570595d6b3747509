"""Under which key of a Saver's file the value of each variable and average stands.

A file that a swapping saver wrote has each average under its variable's key, and the variable's
own value under the average's key. Its mark, a key of its own, lists which keys those are: a
variable that has no average any more still finds its value. A plain Saver leaves the mark alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import tensorflow as tf

from tf_mavg._compat import saver
from tf_mavg._compat.distribute import has_a_component_a_replica, is_sharded, name_of
from tf_mavg._ops.variables import shards

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from tf_mavg._averages.entry import Entry

# The key of the mark: strings of shape [n, 2], in each row the key of an average, then that of its
# variable.
MARK: Final = "tf_mavg/swapped"


class SwappedKeys:
    """Which keys of a file hold each other's values.

    Attributes:
      weight_keys: For the key of each average, the key of its variable.
    """

    def __init__(self, weight_keys: Mapping[str, str]) -> None:
        """Notes the key of each average with that of its variable; none is left out."""
        self.weight_keys = dict(weight_keys)
        self._others = self.weight_keys | {v: a for a, v in self.weight_keys.items()}

    def other(self, key: str) -> str:
        """The key under which the value of what has the key `key` stands."""
        return self._others.get(key, key)

    def mark(self) -> Any:
        """What a file's mark holds."""
        return np.array(list(self.weight_keys.items()), dtype=object).reshape(-1, 2)


def exchange_marked_in(reader: Any) -> SwappedKeys | None:
    """What the mark of a file says; None if it has no mark.

    Raises:
      tf.errors.DataLossError: If the mark cannot be read.
    """
    if not reader.has_tensor(MARK):
        return None
    try:
        pairs = reader.get_tensor(MARK)
    except IndexError as error:  # What a reader makes of a file that is too short.
        message = f"The mark of a swapping checkpoint, {MARK!r}, must be readable: {error}."
        raise tf.errors.DataLossError(None, None, message) from error
    return SwappedKeys({average.decode(): variable.decode() for average, variable in pairs})


@dataclass(frozen=True)
class SwappedVarList:
    """What a swapping saver saves.

    Attributes:
      by_key: What is saved under each key: a variable, a list of shards, or another object that a
        Saver can save.
      exchange: The keys of the averages and of their variables, by default the names of their ops:
        "w/ExponentialMovingAverage" and "w".
      starts: For the key of every average, that of its variable: these averages, and further ones
        of a variable, which are saved under names of their own.
      entries: The averages, with their variables.
    """

    by_key: dict[str, Any]
    exchange: SwappedKeys
    starts: dict[str, str]
    entries: tuple[Entry, ...] = ()

    def saveables(self) -> dict[str, Any]:
        """What a Saver saves under each key, which takes no variable of several replicas."""
        return {
            key: saver.saveable_of(saved, key) if has_a_component_a_replica(saved) else saved
            for key, saved in self.by_key.items()
        }

    def variables(self) -> Iterable[tuple[str, tf.Variable]]:
        """Each variable, or shard, with the key under which it is saved."""
        for key, saved in self.by_key.items():
            for variable in _as_list(saved):
                if isinstance(variable, tf.Variable):
                    yield key, variable

    def exchange_without_mark(
        self, keys: AbstractSet[str], averages_names: Iterable[str]
    ) -> SwappedKeys:
        """What a swapping saver without a mark, contrib's, would have exchanged in a file.

        Args:
          keys: The keys of the file.
          averages_names: The last parts of the names of averages. A variable may have had an
            average when the file was written, and none now.
        """
        likely = {f"{key}/{name}": key for key in self.by_key for name in averages_names}
        likely |= self.exchange.weight_keys
        return SwappedKeys({a: v for a, v in likely.items() if a in keys and v in keys})

    def sources(
        self, exchanged: SwappedKeys, keys: AbstractSet[str]
    ) -> tuple[dict[str, str], list[str]]:
        """Where to read what this saver has under each key, so that each gets its own value.

        Args:
          exchanged: What is exchanged in the file.
          keys: The keys of the file.

        Returns:
          For each key of variables, the key of the file; and the keys of the averages that the
          file lacks. For each of these the former has the key of its variable's value.
        """
        missing = sorted(a for a in self.starts if exchanged.other(a) not in keys)
        starts = {a: self.starts[a] for a in missing}
        sources = {}
        for key, _ in self.variables():
            own = self.exchange.other(key)
            sources[key] = exchanged.other(starts.get(own, own))
        return sources, missing


def swapped_var_list(var_list: Any, entries: Iterable[Entry]) -> SwappedVarList:
    """Assigns to each key of `var_list` the partner of the variable that it stands for.

    Args:
      var_list: Variables as `tf.compat.v1.train.Saver` takes them, a list or a dictionary.
      entries: Variables with their averages.

    Raises:
      ValueError: If `var_list` has a variable but not its average, or the other way, or a key of
        ours; or if a variable is a sharded one.
    """
    if not isinstance(var_list, dict):
        var_list = saver.by_key(shards(var_list))
    if MARK in var_list:
        message = f"`var_list` must not have the key {MARK!r}, which marks a swapping checkpoint."
        raise ValueError(message)
    keys = {id(v): key for key, saved in var_list.items() for v in shards(_as_list(saved))}
    partners: dict[int, tf.Variable] = {}
    weight_keys: dict[str, str] = {}
    starts: dict[str, str] = {}
    averaged = tuple(entries)
    for entry in averaged:
        variable, average = entry.variable, entry.average
        if is_sharded(variable):
            message = (
                f"Variable to swap {name_of(variable)} is made of shards, which a saver by name "
                "cannot save as one; save with a SwappingCheckpointManager."
            )
            raise ValueError(message)
        present = [id(v) in keys for v in (variable, *entry.wholes)]
        if any(present) and not all(present):
            missing = (variable, *entry.wholes)[present.index(False)]
            message = (
                f"Variable to swap {missing.op.name} is not part of variables to save. "
                "This breaks MovingAverageOptimizer."
            )
            raise ValueError(message)
        if all(present):
            starts[keys[id(average)]] = keys[id(variable)]
        if all(present) and entry.index == 0:
            partners[id(variable)] = average
            partners[id(average)] = variable
            weight_keys[keys[id(average)]] = keys[id(variable)]

    def partner(saved: Any) -> Any:
        if isinstance(saved, tf.Variable):
            return partners.get(id(saved), saved)
        members = [partners.get(id(v), v) for v in shards(_as_list(saved))]
        return members if isinstance(saved, list | tuple) or len(members) > 1 else members[0]

    by_key = {key: partner(saved) for key, saved in var_list.items()}
    return SwappedVarList(by_key, SwappedKeys(weight_keys), starts, averaged)


def _as_list(saved: Any) -> list[Any]:
    return list(saved) if isinstance(saved, list | tuple) else [saved]
