"""Keys of our own in files: marks and notes.

A mark tells where averages stand, and must not be mixed up. A note tells what a file was made of,
as JSON, and means nothing to who restores it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tf_mavg._keras.files.matching import DESCRIPTION, parse_description
from tf_mavg._tensorflow.swapped_names import MARK

if TYPE_CHECKING:
    from tf_mavg._files.checkpoints import CheckpointFile

# How the key of a swap state in object checkpoints ends.
IN_PLACE: Final = "/averages_in_place/.ATTRIBUTES/VARIABLE_VALUE"
# Beside it: which of several averages of a weight the mark is about.
INDEX_IN_PLACE: Final = "/index_in_place/.ATTRIBUTES/VARIABLE_VALUE"

MERGED: Final = "tf_mavg/merged"
CONVERTED: Final = "tf_mavg/converted"
NOTES: Final = frozenset({MERGED, CONVERTED})


def is_description(key: str) -> bool:
    """Whether a value is JSON that describes the averages of a Keras file; its length varies."""
    return key.rpartition("/")[2] == DESCRIPTION


def is_mark(key: str) -> bool:
    """Whether a value of a file tells where averages stand."""
    return key == MARK or key.endswith((IN_PLACE, INDEX_IN_PLACE)) or is_description(key)


def place_of(key: str, value: Any) -> Any:
    """What a mark says of places, to compare it with that of another file."""
    if is_description(key):
        described = parse_description(value)
        return {name: one for name, one in described.items() if name != "steps"}
    return np.asarray(value).tolist()


def index_in_place(file: CheckpointFile) -> int | None:
    """The index of the averages in the place of weights, in an object checkpoint; None if none are.

    Raises:
      ValueError: If there are several.
    """
    found = set()
    for key in file.specs:
        if key.endswith(IN_PLACE):
            index = key.removesuffix(IN_PLACE) + INDEX_IN_PLACE
            which = int(file.read(index)) if index in file.specs else 0
            found.add(which if bool(file.read(key)) else None)
    if len(found) > 1:
        message = (
            "All averages of a file must be of one index in the place of weights, or none. "
            f"Received: {file.path}, in which some are of index {found - {None}} and some not; "
            "save all of them in one state."
        )
        raise ValueError(message)
    return found.pop() if found else None
