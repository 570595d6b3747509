"""Averages in a Saver's file that are of another kind than the program's: split, whole, or rounded.

A Saver reads each value in the dtype of its variable. What it cannot read so is read, joined, split
or cast by the host, and handed to the restore in the place of what it would read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tf_mavg._averages.checkpoints.identity import remainder_of
from tf_mavg._compat.saver import slice_info
from tf_mavg._ops.split import join, split
from tf_mavg._ops.variables import base_dtype

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tf_mavg._averages.entry import Entry
    from tf_mavg._tensorflow.swapped_names import SwappedVarList


def converted_values(
    reader: Any, var_list: SwappedVarList, sources: dict[str, str]
) -> dict[str, NDArray[Any]]:
    """The values that averages of another kind than the file's get.

    Args:
      reader: Of the file.
      var_list: What a swapping saver saves.
      sources: Where to read what it has under each key.

    Returns:
      By the key under which the saver has a variable, its value. A shard of a partitioned variable
      is not among them.
    """
    keys = {id(variable): key for key, variable in var_list.variables()}
    found: dict[str, NDArray[Any]] = {}
    with tf.init_scope(), tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for entry in var_list.entries:
            key = keys.get(id(entry.average))
            if key is not None and slice_info(entry.average) is None:
                found |= _converted(reader, session, entry, sources[key], keys)
    return found


def _converted(
    reader: Any, session: Any, entry: Entry, source: str, keys: dict[int, str]
) -> dict[str, NDArray[Any]]:
    dtypes, shapes = reader.get_variable_to_dtype_map(), reader.get_variable_to_shape_map()
    of_file, key = dtypes.get(source), keys[id(entry.average)]
    if of_file is None or not of_file.is_floating or shapes[source] != entry.average.shape:
        return {}  # Refused as any other value.
    remainder = remainder_of(_name_of_average(entry))
    has_remainder = dtypes.get(remainder) == tf.int16 and of_file == tf.bfloat16
    own = base_dtype(entry.average)
    if of_file == own and entry.is_split == has_remainder:
        return {}
    value = reader.get_tensor(source)
    if entry.is_split:
        if of_file == tf.bfloat16:  # The value of a variable, or an average without a remainder.
            return {keys[id(entry.remainder)]: np.zeros(value.shape, np.int16)}
        high, low = session.run(split(value))
        return {key: high, keys[id(entry.remainder)]: low}
    if has_remainder and own == tf.float32:
        return {key: session.run(join(value, reader.get_tensor(remainder)))}
    return {} if of_file == own else {key: value.astype(own.as_numpy_dtype)}


def _name_of_average(entry: Entry) -> str:
    return entry.average.op.name  # type: ignore[no-any-return]
