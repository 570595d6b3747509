"""A folder of snapshots of power function averages, and the list of them.

Each snapshot is a file of its own, with an average in the place of the weights, so that it opens as
any other. The list, a JSON file, tells step and exponent of each; a snapshot is added to it when
its file is complete.
"""

from __future__ import annotations

import json
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
    """The snapshots of a folder by step, then by exponent; none if there is no list."""
    path = directory / _LIST
    found = json.loads(path.read_text()) if path.exists() else []
    return sorted((Snapshot(**one) for one in found), key=lambda one: (one.step, one.exponent))


def write_list(directory: Path, snapshots: Iterable[Snapshot]) -> None:
    """Replaces the list at once."""
    made = directory / f".{_LIST}"
    made.write_text(json.dumps([asdict(one) for one in snapshots], indent=1))
    made.replace(directory / _LIST)
