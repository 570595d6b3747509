"""Keys of our own in files: marks and notes.

A mark tells where averages stand, and must not be mixed up. A note tells what a file was made of,
as JSON, and means nothing to who restores it.
"""

from __future__ import annotations

from typing import Final

from tf_mavg._keras.files import DESCRIPTION
from tf_mavg._tensorflow.swapped_names import MARK

# How the key of a swap state in object checkpoints ends.
IN_PLACE: Final = "/averages_in_place/.ATTRIBUTES/VARIABLE_VALUE"

MERGED: Final = "tf_mavg/merged"
CONVERTED: Final = "tf_mavg/converted"
NOTES: Final = frozenset({MERGED, CONVERTED})


def is_mark(key: str) -> bool:
    """Whether a value of a file tells where averages stand."""
    return key == MARK or key.endswith(IN_PLACE) or key.rpartition("/")[2] == DESCRIPTION
