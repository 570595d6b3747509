"""Tells automatic control dependencies which variables an op on a group touches.

A tf.function orders its ops by the variables' handles among their inputs. An op on a group has one
such input, the group's handle. So for it, and for every call or loop whose body has captured the
handle, this adds the handles of the group's variables, where the function at hand uses them too.
"""

from __future__ import annotations

import weakref
from typing import Any, Final

from tensorflow.python.framework import auto_control_deps
from tensorflow.python.framework.func_graph import FuncGraph

# For each group, by id of its handle, the handles of the averages and of the variables that it
# binds. All of these are eager tensors.
_groups: Final[dict[int, tuple[list[Any], list[Any]]]] = {}

# By id of a group's handle in the graph of a function, the handles there of what it writes and of
# what it reads. Kept with the graph, for as many captures as it was made for.
_Touched = dict[int, tuple[list[Any], list[Any]]]
_KEPT: Final = "_tf_mavg_touched_by_groups"


def declare(group: Any, averages: list[Any], variables: list[Any]) -> None:
    """Declares which variables a group binds, for as long as its handle lives.

    Args:
      group: The group's handle, an eager tensor.
      averages: Handles of the variables that an update writes.
      variables: Handles of those that an update reads.
    """
    _groups[id(group)] = averages, variables
    weakref.finalize(group, _groups.pop, id(group))


@auto_control_deps.register_acd_resource_resolver  # type: ignore[untyped-decorator]
def _resolve_groups(op: Any, reads: Any, writes: Any) -> bool:
    """Adds what `op` touches through groups; whether it added anything.

    Args:
      op: An operation of the graph that is being ordered.
      reads: Set of tensors: the resources that `op` only reads.
      writes: Set of tensors: those that it may write.
    """
    if not _groups or not isinstance(op.graph, FuncGraph):
        return False
    touched = _touched_in(op.graph)
    found = [touched[id(t)] for t in (*reads, *writes) if id(t) in touched] if touched else []
    before = len(reads) + len(writes)
    for averages, variables in found:
        # What is in the body of a call or a loop may be a swap.
        read = variables if op.type == "GroupApplyMovingAverage" else []
        written = averages if read else averages + variables
        writes.update(t for t in written if t not in writes)
        reads.update(t for t in read if t not in writes)
    return len(reads) + len(writes) > before


def _touched_in(graph: Any) -> _Touched:
    captures = len(graph.function_captures.by_val_internal)
    kept_for, touched = getattr(graph, _KEPT, (-1, {}))
    if kept_for != captures:
        touched = _find_touched(graph)
        setattr(graph, _KEPT, (captures, touched))
    return touched


def _find_touched(graph: Any) -> _Touched:
    # A function captures an eager handle by itself, also in the bodies of its loops.
    captured = graph.function_captures.by_val_internal
    present = [group for group in _groups if group in captured]
    bound = {group: {id(v) for side in _groups[group] for v in side} for group in present}
    touched = {}
    for group in present:
        # Groups that share a variable keep their order even if the graph does not use it itself.
        others = [
            captured[other]
            for other in present
            if other != group and not bound[other].isdisjoint(bound[group])
        ]
        averages, variables = (
            [captured[id(v)] for v in side if id(v) in captured] for side in _groups[group]
        )
        touched[id(captured[group])] = averages + others, variables
    return touched
