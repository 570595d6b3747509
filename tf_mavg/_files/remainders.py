"""Split averages in files: which value is the remainder of which.

A file holds a split average as two values, the bfloat16 and a remainder of 16 bits; together they
are a float32. See `tf_mavg.ops.split`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tf_mavg._averages.checkpoints.identity import REMAINDER, called, index_of_slot, remainder_of
from tf_mavg._compat.object_graph import object_graph
from tf_mavg._files.checkpoints import OBJECT_GRAPH, CheckpointFile
from tf_mavg._files.marks import index_in_place
from tf_mavg._ops.split import join, split
from tf_mavg._tensorflow.swapped_names import exchange_marked_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from tf_mavg._files.formats import File


def remainders_in(file: File) -> dict[str, str]:
    """For the key of the bfloat16 of each split average in a file, that of its remainder.

    Where averages are in the place of weights, that is the key of the weight.

    Raises:
      ValueError: If the file says several things about which averages those are.
    """
    is_of_objects = isinstance(file, CheckpointFile) and OBJECT_GRAPH in file.specs
    pairs = _by_object(file) if is_of_objects else _by_name(file)
    specs = file.specs
    return {
        high: remainder
        for high, remainder in pairs
        if high in specs
        and (specs[high].dtype, specs[remainder].dtype) == ("bfloat16", "int16")
        and specs[high].shape == specs[remainder].shape
    }


def read_joined(file: File, high: str, remainder: str) -> NDArray[np.float32]:
    """A split average of a file, as float32."""
    return join(np.asarray(file.read(high)), np.asarray(file.read(remainder))).numpy()  # type: ignore[no-any-return]


def halves_of(value: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[np.int16]]:
    """The two values that a file has of a split average."""
    high, remainder = split(value)
    return high.numpy(), remainder.numpy()


def _by_name(file: File) -> Iterator[tuple[str, str]]:
    exchange = exchange_marked_in(file.reader) if isinstance(file, CheckpointFile) else None
    places = {} if exchange is None else exchange.weight_keys
    suffix = remainder_of("")
    for key in file.specs:
        if key.endswith(suffix):
            average = key.removesuffix(suffix)
            yield places.get(average, average), key


def _by_object(file: Any) -> Iterator[tuple[str, str]]:
    graph, in_place = object_graph(file.read(OBJECT_GRAPH)), index_in_place(file)
    for node in graph.nodes:
        slots = {(s.original_variable_node_id, s.slot_name): s for s in node.slot_variables}
        for (original, name), slot in slots.items():
            index = index_of_slot(name)
            other = slots.get((original, remainder_of(name)))
            if index is None or other is None:
                continue
            holds = original if index == in_place else slot.slot_variable_node_id
            yield _key(graph.nodes[holds]), _key(graph.nodes[other.slot_variable_node_id])
        attributes = {one.name: one.checkpoint_key for one in node.attributes}
        if REMAINDER in attributes:
            others = [key for name, key in attributes.items() if name != REMAINDER]
            yield others[0], attributes[REMAINDER]


def is_slot_of_remainders(name: str) -> bool:
    """Whether a slot has a name of those of remainders."""
    slot = name.removesuffix(remainder_of(""))
    index = None if slot == name else index_of_slot(slot)
    return index is not None and remainder_of(called("average", index)) == name


def _key(node: Any) -> str:
    """Under which key a variable is saved; "" if it is none."""
    return next((one.checkpoint_key for one in node.attributes), "")
