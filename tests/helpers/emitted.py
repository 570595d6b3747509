"""What was emitted into a graph, for tests of how many ops there are and of their order."""

from collections.abc import Iterable

import tensorflow as tf


def ops_of(graph: tf.Graph, suffix: str) -> list[tf.Operation]:
    """The graph's operations whose type ends so, in order of creation."""
    return [op for op in graph.get_operations() if op.type.endswith(suffix)]


def updates(graph: tf.Graph) -> list[tf.Operation]:
    """The fused updates of a graph, of whatever kind of variables."""
    return ops_of(graph, "ApplyMovingAverage")


def averages_moved(update: tf.Operation) -> int:
    """How many averages a fused update moves."""
    if update.type != "BoundApplyMovingAverage":
        return update.get_attr("M")
    return len(update.inputs[0].op.get_attr("averages"))


def ancestors(operations: Iterable[tf.Operation]) -> set[tf.Operation]:
    """All that must run before one of these."""
    found: set[tf.Operation] = set()
    todo = list(operations)
    while todo:
        op = todo.pop()
        for before in [*op.control_inputs, *(tensor.op for tensor in op.inputs)]:
            if before not in found:
                found.add(before)
                todo.append(before)
    return found


def graph_of(function: tf.types.experimental.PolymorphicFunction) -> tf.Graph:
    """What a function without arguments is traced as."""
    return function.get_concrete_function().graph


def runs_before(graph: tf.Graph, first: str, second: str) -> bool:
    """Whether the only op of a graph with the first type runs before all with the second."""
    (before,) = ops_of(graph, first)
    after = ops_of(graph, second)
    assert after
    return all(before in ancestors([op]) for op in after)
