"""Which values of a TensorFlow checkpoint are averages, and of which weights.

It knows what TensorFlow, TensorFlow Addons, the Model Garden, Keras and this package write:

- by name, `w` and `w/ExponentialMovingAverage`, exchanged if the file has the mark of a swapping
  saver;
- as slot variables "average" of an optimizer or holder, exchanged if its swap state says so;
- further averages of a weight, as names and slots that end in their index: "average_1";
- in an optimizer of Keras 3 with `use_ema`, as lists of weights and of averages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tf_mavg._averages.checkpoints.identity import SLOT, called, index_of_slot
from tf_mavg._averages.checkpoints.tracking import STEPS
from tf_mavg._compat.object_graph import object_graph
from tf_mavg._files.checkpoints import OBJECT_GRAPH
from tf_mavg._files.marks import index_in_place, is_mark
from tf_mavg._files.remainders import is_slot_of_remainders, remainders_in
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
      averages: By the index of averages: for the key of each weight that has one, its key.
      in_place: The index of the averages that stand in the place of weights, and these in theirs;
        None if all stand in their own places.
      only_averages: Keys that a file without averages lacks.
      graph: The graph of objects without the averages, if the file has one.
    """

    averages: list[dict[str, str]] = field(default_factory=list)
    in_place: int | None = None
    only_averages: set[str] = field(default_factory=set)
    graph: bytes | None = None

    def add(self, index: int, weight: str, average: str) -> None:
        """Adds a pair of keys.

        Raises:
          ValueError: If the weight has another average of that index already.
        """
        self.averages.extend({} for _ in range(len(self.averages), index + 1))
        if self.averages[index].setdefault(weight, average) != average:
            message = (
                f"A weight must have one average of an index. Received: {weight!r} with the "
                f"averages {self.averages[index][weight]!r} and {average!r}."
            )
            raise ValueError(message)

    def drop_remainders(self, remainders: dict[str, str]) -> None:
        """Leaves the remainders of split averages to these; see remainders.py for the argument."""
        for index, averages in enumerate(self.averages):
            for weight, average in averages.items():
                remainder = remainders.get(weight if index == self.in_place else average)
                if remainder is not None:
                    self.only_averages.add(remainder)

    def sources_of_averages(self, index: int) -> dict[str, str]:
        """For the keys of weights, where to read averages, if not there."""
        return {} if index == self.in_place else self.averages[index]

    def sources_of_weights(self) -> dict[str, str]:
        """For the keys of weights, where to read these, if not there."""
        return {} if self.in_place is None else self.averages[self.in_place]


def find_averages(file: CheckpointFile, averages_name: str, index: int) -> FoundAverages:
    """Finds the averages of a checkpoint.

    Args:
      file: The checkpoint.
      averages_name: The last part of the names of averages in a file by name.
      index: That of averages that are wanted.

    Raises:
      ValueError: If it has none of that index, two of one weight, or holds several averagers of
        which some have exchanged their averages and weights.
    """
    by_name = OBJECT_GRAPH not in file.specs
    found = _by_name(file, averages_name) if by_name else _by_object(file)
    found.drop_remainders(remainders_in(file))
    if not 0 <= index < len(found.averages):
        place = (
            f"no name ends with '/{called(averages_name, index)}'"
            if by_name
            else f"no variable has a slot {called(SLOT, index)!r}, and no optimizer of Keras 3 "
            "averages"
        )
        message = (
            f"The input must hold averages beside the weights. Received: {file.path}, in which "
            f"{place}."
        )
        raise ValueError(message)
    return found


def _by_name(file: CheckpointFile, averages_name: str) -> FoundAverages:
    found = FoundAverages()
    exchange = exchange_marked_in(file.reader)
    if exchange is not None:
        found.in_place = 0
        first = exchange.weight_keys
        found.only_averages.add(MARK)
    else:
        ending = f"/{averages_name}"
        first = {key: key.removesuffix(ending) for key in file.specs if key.endswith(ending)}
    for average, weight in first.items():
        index = 0
        while weight in file.specs and called(average, index) in file.specs:
            found.add(index, weight, called(average, index))
            found.only_averages.add(called(average, index))
            index += 1
    return found


def _by_object(file: CheckpointFile) -> FoundAverages:
    found = FoundAverages()
    graph = object_graph(file.read(OBJECT_GRAPH))
    for index, weight, average in _slots(graph):
        if weight in file.specs and average in file.specs:
            found.add(index, weight, average)
            found.only_averages.add(average)
    for weight, average in _lists_of_keras(graph):
        found.add(0, weight, average)  # The optimizer goes on having its averages.
    found.in_place = index_in_place(file)
    found.only_averages.update(filter(is_mark, file.specs), _counts(graph))
    found.graph = _without(graph, found.only_averages)
    return found


def _slots(graph: Any) -> Iterator[tuple[int, str, str]]:
    """The keys of weights and of the averages that are slot variables, each with its index."""
    for node in graph.nodes:
        for slot in node.slot_variables:
            index = index_of_slot(slot.slot_name)
            if index is not None:
                weight = graph.nodes[slot.original_variable_node_id]
                yield index, _key(weight), _key(graph.nodes[slot.slot_variable_node_id])


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
        averages = [
            slot
            for slot in node.slot_variables
            if index_of_slot(slot.slot_name) is not None or is_slot_of_remainders(slot.slot_name)
        ]
        for slot in averages:
            node.slot_variables.remove(slot)
        for attribute in [one for one in node.attributes if one.checkpoint_key in keys]:
            node.attributes.remove(attribute)
    return graph.SerializeToString()  # type: ignore[no-any-return]


def _key(node: Any) -> str:
    """Under which key a variable is saved; "" if it is none."""
    return next((one.checkpoint_key for one in node.attributes), "")
