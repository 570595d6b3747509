"""Averages in the files of a Keras: each is found by the path of its weight.

A file numbers the averages, as Keras numbers an optimizer's variables, and says in one entry more
which weights they belong to. Keras itself numbers layers through a process: the first layer of a
model may be "dense" in a file and "dense_3" now. Paths that differ by such numbers alone are
matched by order, which is how Keras loads the weights; where that leaves a choice, nothing is.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import tensorflow as tf

from tf_mavg._averages.checkpoints.identity import called, remainder_of
from tf_mavg._ops.split import join, split

if TYPE_CHECKING:
    from collections.abc import Sequence

# The entry that tells whose averages a file has: JSON as bytes, since a file holds arrays.
DESCRIPTION: Final = "averages_of"

# What Keras puts behind names that occur again.
_NUMBER: Final = r"_\d+(?=/|$)"


@dataclass(frozen=True)
class SavedAverages:
    """The averages of a file.

    Attributes:
      built: The paths of all weights that the optimizer was built with, in order.
      trained: How many of them are trained: the first ones.
      values: For each average of a weight, those averages by the weight's position in `built`. A
        split one is a float32 here, and two entries of a file: a bfloat16 and its remainder.
      in_place: The index of the averages that are the weights of the file, whose `values` are the
        weights; None if all stand in their own places.
      steps: How many steps the averages have seen; None if nobody counted.
      split: The positions of the weights whose averages are to be split.
    """

    built: list[str]
    trained: int
    values: list[dict[int, Any]]
    in_place: int | None
    steps: int | None
    split: frozenset[int] = frozenset()

    @property
    def count(self) -> int:
        """How many averages there are."""
        return sum(map(len, self.values))

    def value(self, index: int, position: int | None) -> Any:
        """An average of the weight at a position; None if the file has none."""
        if position is None or index >= len(self.values):
            return None
        return self.values[index].get(position)


def write_averages(store: Any, saved: SavedAverages) -> None:
    """Writes averages beside an optimizer's own variables."""
    for index, values in enumerate(saved.values):
        for i, (position, value) in enumerate(values.items()):
            key = _key(index, i)
            if position in saved.split:
                high, remainder = split(value)
                store[key], store[remainder_of(key)] = high.numpy(), remainder.numpy()
            else:
                store[key] = value
    description = {
        "built": saved.built,
        "trained": saved.trained,
        "averages": [*saved.values[0]],
        "of_each": len(saved.values),
        "in_place": saved.in_place,
        "steps": saved.steps,
    }
    store[DESCRIPTION] = np.frombuffer(json.dumps(description).encode(), np.uint8)


def parse_description(value: Any) -> dict[str, Any]:
    """What a file says of its averages.

    Args:
      value: The text as a uint8 array.

    Raises:
      ValueError: If it does not fit together, as in a file that was damaged or changed by hand.
    """
    text = bytes(np.asarray(value).tobytes())
    try:
        description = json.loads(text)
        is_sound = _is_sound(**description)
    except (ValueError, TypeError, RecursionError):
        is_sound = False
    if not is_sound:
        message = (
            f"A file must describe its averages under {DESCRIPTION!r}, as this package does. "
            f"Received: {text[:200]!r}; load the weights alone, and call optimizer.restart()."
        )
        raise ValueError(message)
    return description  # type: ignore[no-any-return]


def _is_sound(  # noqa: PLR0913 - one for each key.
    *, built: Any, trained: Any, averages: Any, of_each: Any, in_place: Any, steps: Any
) -> bool:
    """Whether a description fits together, so that none of its numbers leads astray."""
    if not isinstance(built, list) or not all(isinstance(path, str) for path in built):
        return False
    numbers = averages if isinstance(averages, list) else [None]
    return (
        all(_is_below(len(built), one) for one in numbers)
        and len(set(numbers)) == len(numbers)
        and _is_below(len(built) + 1, trained)
        and type(of_each) is int
        and of_each > 0
        and (in_place is None or _is_below(of_each, in_place))
        and (steps is None or _is_below(1 << 63, steps))
    )


def _is_below(end: int, number: Any) -> bool:
    return type(number) is int and 0 <= number < end


def read_averages(store: Any) -> SavedAverages | None:
    """The averages of a file; None if it has none.

    Raises:
      ValueError: If the file does not say what it has, or lacks what it says.
    """
    if DESCRIPTION not in store.keys():  # noqa: SIM118 - no dict.
        return None
    description = parse_description(store[DESCRIPTION])
    values = [
        {at: _read(store, _key(index, i)) for i, at in enumerate(description["averages"])}
        for index in range(description["of_each"])
    ]
    return SavedAverages(
        description["built"],
        description["trained"],
        values,
        description["in_place"],
        description["steps"],
    )


def _read(store: Any, key: str) -> Any:
    """An average of a file; a split one with all of its bits."""
    if key not in store.keys():  # noqa: SIM118 - no dict.
        message = (
            f"A file must have all averages that it describes. Received: one without {key!r}; load "
            "the weights alone, and call optimizer.restart()."
        )
        raise ValueError(message)
    value = np.asarray(store[key])
    if value.dtype == np.dtype("V2"):  # HDF5 does not know bfloat16.
        value = value.view(tf.bfloat16.as_numpy_dtype)
    if remainder_of(key) not in store.keys():  # noqa: SIM118 - no dict.
        return value
    return join(value, np.asarray(store[remainder_of(key)])).numpy()


def _key(index: int, number: int) -> str:
    """The key of the average of an index, of the weight of a number: "average_3", "average_1_3"."""
    return f"{called('average', index)}_{number}"


def without_averages(store: Any) -> dict[str, Any]:
    """What the wrapped optimizer has written."""
    own = [
        key
        for key in store.keys()  # noqa: SIM118 - no dict.
        if key != DESCRIPTION and not key.startswith("average_")
    ]
    return {key: store[key] for key in own}


def match_paths(saved: Sequence[str], now: Sequence[str]) -> dict[int, int]:
    """Which weight of a file is which weight now.

    Args:
      saved: Paths in the file.
      now: Paths now.

    Returns:
      For positions in `now` those in `saved`; without weights that the file does not have.

    Raises:
      ValueError: If paths differ by Keras's numbers, but not all of them: which is which, is open.
    """
    # A model that is loaded is built in other scopes than it was made in: with its name or without.
    ways = [(saved, now), (_without_model(saved), now), (saved, _without_model(now))]
    if _bases(_models(saved)) == _bases(_models(now)):
        ways.append((_without_model(saved), _without_model(now)))
    found = [_match_groups(*way) for way in ways]
    matched = max((one for one in found if isinstance(one, dict)), key=len, default={})
    refusals = [one for one in found if isinstance(one, str)]
    if refusals and not matched:
        raise ValueError(refusals[0])
    return matched


def _match_groups(saved: Sequence[str], now: Sequence[str]) -> dict[int, int] | str:
    """Matches paths among those that differ by numbers only: in order, as Keras loads weights.

    Returns:
      What is matched, or why nothing is.
    """
    matched: dict[int, int] = {}
    groups_saved, groups_now = _groups(saved), _groups(now)
    for base, wanted in groups_now.items():
        known = groups_saved.get(base, [])
        if known and len(wanted) != len(known):
            return (
                "Weights whose paths differ by Keras's numbers alone must be as many as when the "
                f"file was saved. Received: {saved[known[0]]!r} and its like, {len(known)} in the "
                f"file, and {now[wanted[0]]!r} and its like, {len(wanted)} in the model; give "
                "layers names without numbers."
            )
        matched |= dict(zip(wanted, known, strict=False))
    return matched


def _groups(paths: Sequence[str]) -> dict[str, list[int]]:
    """Positions by path without numbers, in order."""
    groups: dict[str, list[int]] = {}
    for position, path in enumerate(paths):
        groups.setdefault(re.sub(_NUMBER, "", path), []).append(position)
    return groups


def _models(paths: Sequence[str]) -> set[str]:
    """The names that paths of three parts or more begin with: "model/dense/kernel"."""
    parts = [path.split("/") for path in paths]
    return {part[0] for part in parts} if all(len(part) > 2 for part in parts) else set()  # noqa: PLR2004 - parts.


def _bases(names: set[str]) -> set[str]:
    return {re.sub(_NUMBER, "", name) for name in names}


def _without_model(paths: Sequence[str]) -> Sequence[str]:
    """Paths without the name of the model, if all may begin with one."""
    return [p.partition("/")[2] for p in paths] if len(_models(paths)) == 1 else paths
