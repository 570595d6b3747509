"""Tells automatic control dependencies which variables an op on a binding touches.

A tf.function orders its ops by the variables' handles among their inputs. An op on a binding has
one such input, the binding's handle. So for it, and for every call or loop whose body has captured
the handle, this adds the handles of the bound variables, where the function at hand uses them too.
"""

from __future__ import annotations

import weakref
from typing import Any, Final

from tensorflow.python.framework import auto_control_deps, auto_control_deps_utils
from tensorflow.python.framework.func_graph import FuncGraph

# They write none of their variables. One whose answer nothing uses does not run.
for _op in ("ResourceAllFinite", "BoundAllFinite"):
    auto_control_deps_utils.register_read_only_resource_op(_op)

# For each binding, by id of its handle, the handles of the averages and of the variables that
# it binds. All of these are eager tensors.
_bindings: Final[dict[int, tuple[list[Any], list[Any]]]] = {}

# By id of a binding's handle in the graph of a function, the handles there of what it writes and of
# what it reads. Kept with the graph, for as many captures as it was made for.
_Touched = dict[int, tuple[list[Any], list[Any]]]
_KEPT: Final = "_tf_mavg_touched_by_bindings"


def declare(binding: Any, averages: list[Any], variables: list[Any]) -> None:
    """Declares what a binding binds, for as long as its handle lives.

    Args:
      binding: The binding's handle, an eager tensor.
      averages: Handles of the variables that an update writes.
      variables: Handles of those that an update reads.
    """
    _bindings[id(binding)] = averages, variables
    weakref.finalize(binding, _bindings.pop, id(binding))


@auto_control_deps.register_acd_resource_resolver  # type: ignore[untyped-decorator]
def _resolve_bindings(op: Any, reads: Any, writes: Any) -> bool:
    """Adds what `op` touches through bindings; whether it added anything.

    Args:
      op: An operation of the graph that is being ordered.
      reads: Set of tensors: the resources that `op` only reads.
      writes: Set of tensors: those that it may write.
    """
    if not _bindings or not isinstance(op.graph, FuncGraph):
        return False
    touched = _touched_in(op.graph)
    if not touched:
        return False
    found = [(touched[id(t)], t in writes) for t in (*reads, *writes) if id(t) in touched]
    before = len(reads) + len(writes)
    for (averages, variables), is_written in found:
        # A binding that is only read is asked whether its variables are finite. What else is in the
        # body of a call or a loop may be a swap.
        only_read = not is_written or op.type == "BoundApplyMovingAverage"
        written = (averages if only_read else averages + variables) if is_written else []
        writes.update(t for t in written if t not in writes)
        if only_read:
            reads.update(t for t in variables if t not in writes)
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
    present = [binding for binding in _bindings if binding in captured]
    bound = {binding: {id(v) for side in _bindings[binding] for v in side} for binding in present}
    touched = {}
    for binding in present:
        # Bindings that share a variable keep their order even if the graph does not use it itself.
        others = [
            captured[other]
            for other in present
            if other != binding and not bound[other].isdisjoint(bound[binding])
        ]
        averages, variables = (
            [captured[id(v)] for v in side if id(v) in captured] for side in _bindings[binding]
        )
        touched[id(captured[binding])] = averages + others, variables
    return touched
