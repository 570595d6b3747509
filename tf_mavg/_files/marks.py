"""What tells in a file of ours where its averages stand: marks, which must not be mixed up."""

from __future__ import annotations

from tf_mavg._keras.files import DESCRIPTION
from tf_mavg._tensorflow.swapped_names import MARK


def is_mark(key: str) -> bool:
    """Whether a value of a file tells where averages stand."""
    return (
        key == MARK
        or key.endswith("/averages_in_place/.ATTRIBUTES/VARIABLE_VALUE")
        or key.rpartition("/")[2] == DESCRIPTION
    )
