"""A folder of snapshots of power function averages, and the list of them.

Each snapshot is a file of its own, with an average in the place of the weights, so that it opens as
any other. The list, a JSON file, tells step and exponent of each; a snapshot is added to it when
its file is complete.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_LIST: Final = "snapshots.json"


@dataclass(frozen=True)
class Snapshot:
    """One snapshot.

    Attributes:
      step: How many updates the average had.
      exponent: The exponent of its profile.
      file: The name of its file, or the prefix of a checkpoint, in the folder.
    """

    step: int
    exponent: float
    file: str


def read_list(directory: Path) -> list[Snapshot]:
    """The snapshots of a folder by step, then by exponent; none if there is no list.

    Raises:
      ValueError: If the list is none that `write_list` has written.
    """
    path = directory / _LIST
    if not path.exists():
        return []
    text = path.read_bytes()
    try:
        found = [Snapshot(**one) for one in json.loads(text)]
        is_sound = all(map(_is_sound, found))
    except (ValueError, TypeError, RecursionError):
        is_sound = False
    if not is_sound:
        message = (
            f"The list of a folder's snapshots must be as Snapshots has written it. Received: "
            f"{path} with {text[:200]!r}; restore it from a copy, or name another folder."
        )
        raise ValueError(message)
    return sorted(found, key=lambda one: (one.step, one.exponent))


def _is_sound(one: Snapshot) -> bool:
    return (
        type(one.step) is int
        and one.step > 0
        and type(one.exponent) in {int, float}
        and 0 <= one.exponent < math.inf
        and type(one.file) is str
        and bool(one.file)
    )


def write_list(directory: Path, snapshots: Iterable[Snapshot]) -> None:
    """Replaces the list at once."""
    made = directory / f".{_LIST}"
    made.write_text(json.dumps([asdict(one) for one in snapshots], indent=1))
    made.replace(directory / _LIST)
