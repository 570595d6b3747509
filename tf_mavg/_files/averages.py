"""Which values of a TensorFlow checkpoint are averages, and of which weights.

It knows what TensorFlow, TensorFlow Addons, the Model Garden, Keras and this package write:

- by name, `w` and `w/ExponentialMovingAverage`, exchanged if the file has the mark of a swapping
  saver;
- as slot variables "average" of an optimizer or holder, exchanged if its swap state says so;
- in an optimizer of Keras 3 with `use_ema`, as lists of weights and of averages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tf_mavg._averages.identity import SLOT
from tf_mavg._averages.tracking import STEPS
from tf_mavg._compat.object_graph import object_graph
from tf_mavg._files.checkpoints import OBJECT_GRAPH
from tf_mavg._files.marks import IN_PLACE
from tf_mavg._tensorflow.swapped_names import MARK, exchange_marked_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tf_mavg._files.checkpoints import CheckpointFile

# The lists that an optimizer of Keras 3 tracks.
_KERAS_WEIGHTS: Final = "_trainable_variables"
_KERAS_AVERAGES: Final = "_model_variables_moving_average"


@dataclass
class FoundAverages:
    """What is known of the averages in a file.

    Attributes:
      averages: For the key of each weight that has one, the key of its average.
      in_place: Whether weights and averages stand in each other's places.
      only_averages: Keys that a file without averages lacks.
      graph: The graph of objects without the averages, if the file has one.
    """

    averages: dict[str, str] = field(default_factory=dict)
    in_place: bool = False
    only_averages: set[str] = field(default_factory=set)
    graph: bytes | None = None

    def add(self, weight: str, average: str) -> None:
        """Adds a pair of keys.

        Raises:
          ValueError: If the weight has another average already.
        """
        if self.averages.setdefault(weight, average) != average:
            message = (
                f"A weight must have one average. Received: {weight!r} with the averages "
                f"{self.averages[weight]!r} and {average!r}."
            )
            raise ValueError(message)


def find_averages(file: CheckpointFile, averages_name: str) -> FoundAverages:
    """Finds the averages of a checkpoint.

    Args:
      file: The checkpoint.
      averages_name: The last part of the names of averages in a file by name.

    Raises:
      ValueError: If it has none, or two of one weight.
    """
    by_name = OBJECT_GRAPH not in file.specs
    found = _by_name(file, averages_name) if by_name else _by_object(file)
    if not found.averages:
        message = (
            "The input must hold averages beside the weights. Received: "
            f"{file.path}, in which "
            + (
                f"no name ends with '/{averages_name}'."
                if by_name
                else f"no variable has a slot {SLOT!r}, and no optimizer of Keras 3 averages."
            )
        )
        raise ValueError(message)
    return found


def _by_name(file: CheckpointFile, averages_name: str) -> FoundAverages:
    found = FoundAverages()
    exchange = exchange_marked_in(file.reader)
    if exchange is not None:
        found.in_place = True
        pairs = exchange.weight_keys.items()
        found.only_averages.add(MARK)
    else:
        ending = f"/{averages_name}"
        named = [key for key in file.specs if key.endswith(ending)]
        pairs = {key: key.removesuffix(ending) for key in named}.items()
    for average, weight in pairs:
        if weight in file.specs and average in file.specs:
            found.add(weight, average)
            found.only_averages.add(average)
    return found


def _by_object(file: CheckpointFile) -> FoundAverages:
    found = FoundAverages()
    graph = object_graph(file.read(OBJECT_GRAPH))
    for weight, average in _slots(graph):
        if weight in file.specs and average in file.specs:
            found.add(weight, average)
            found.only_averages.add(average)
    for weight, average in _lists_of_keras(graph):
        found.add(weight, average)  # The optimizer goes on having its averages.
    marks = [key for key in file.specs if key.endswith(IN_PLACE)]
    found.in_place = any(bool(file.read(mark)) for mark in marks)
    found.only_averages.update(marks, _counts(graph))
    found.graph = _without(graph, found.only_averages)
    return found


def _slots(graph: Any) -> Iterator[tuple[str, str]]:
    """The keys of weights and of the averages that are slot variables."""
    for node in graph.nodes:
        for slot in node.slot_variables:
            if slot.slot_name == SLOT:
                weight = graph.nodes[slot.original_variable_node_id]
                yield _key(weight), _key(graph.nodes[slot.slot_variable_node_id])


def _counts(graph: Any) -> Iterator[str]:
    """The keys of how many steps the averages of a holder have seen."""
    for node in graph.nodes:
        children = {one.local_name: graph.nodes[one.node_id] for one in node.children}
        if "swap_state" in children and STEPS in children:
            yield _key(children[STEPS])


def _lists_of_keras(graph: Any) -> Iterator[tuple[str, str]]:
    """The keys of weights and averages of optimizers of Keras 3."""
    for node in graph.nodes:
        lists = {one.local_name: graph.nodes[one.node_id].children for one in node.children}
        averages = {one.local_name: one.node_id for one in lists.get(_KERAS_AVERAGES, ())}
        for weight in lists.get(_KERAS_WEIGHTS, ()):
            if weight.local_name in averages:
                average = graph.nodes[averages[weight.local_name]]
                yield _key(graph.nodes[weight.node_id]), _key(average)


def _without(graph: Any, keys: set[str]) -> bytes:
    """The graph without slots of averages and without some keys, serialized."""
    for node in graph.nodes:
        for slot in [one for one in node.slot_variables if one.slot_name == SLOT]:
            node.slot_variables.remove(slot)
        for attribute in [one for one in node.attributes if one.checkpoint_key in keys]:
            node.attributes.remove(attribute)
    return graph.SerializeToString()  # type: ignore[no-any-return]


def _key(node: Any) -> str:
    """Under which key a variable is saved; "" if it is none."""
    return next((one.checkpoint_key for one in node.attributes), "")
