"""What tells in a file of ours where its averages stand: marks, which must not be mixed up."""

from __future__ import annotations

from typing import Final

from tf_mavg._keras.files import DESCRIPTION
from tf_mavg._tensorflow.swapped_names import MARK

# How the key of a swap state in object checkpoints ends.
IN_PLACE: Final = "/averages_in_place/.ATTRIBUTES/VARIABLE_VALUE"


def is_mark(key: str) -> bool:
    """Whether a value of a file tells where averages stand."""
    return key == MARK or key.endswith(IN_PLACE) or key.rpartition("/")[2] == DESCRIPTION
