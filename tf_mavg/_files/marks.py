"""Keys of our own in files: marks and notes.

A mark tells where averages stand, and must not be mixed up. A note tells what a file was made of,
as JSON, and means nothing to who restores it.
"""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np

from tf_mavg._keras.files import DESCRIPTION
from tf_mavg._tensorflow.swapped_names import MARK

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
        described = json.loads(bytes(np.asarray(value).tobytes()))
        return {name: one for name, one in described.items() if name != "steps"}
    return np.asarray(value).tolist()
