"""Private names of TensorFlow, one function or class a trick; tests/compat probes each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import tensorflow as tf
from tensorflow.python import pywrap_tfe
from tensorflow.python.autograph.impl.api import autograph_artifact
from tensorflow.python.checkpoint import checkpoint_context, graph_view, util
from tensorflow.python.eager import context as eager_context
from tensorflow.python.framework.ops import uid
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext
from tensorflow.python.ops.resource_variable_ops import ResourceVariable
from tensorflow.python.saved_model import save_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Function = TypeVar("Function", bound="Callable[..., object]")


def runs_at_once() -> bool:
    """Whether an op has run when its call returns: in eager mode, unless that is asynchronous."""
    context = eager_context.context()
    if not context.executing_eagerly():
        return False
    executor = pywrap_tfe.TFE_ContextGetExecutorForThread(context._handle)
    is_asynchronous = pywrap_tfe.TFE_ExecutorIsAsync(executor)
    pywrap_tfe.TFE_DeleteExecutor(executor)
    return not is_asynchronous


def is_cpu_here(device: str) -> bool:
    """Whether the full name of a device is that of a CPU of this process."""
    return device.startswith(f"{eager_context.context().host_address_space()}/device:CPU:")


def unconverted(function: Function) -> Function:
    """Marks a function that AutoGraph leaves as it is when a tf.function calls it.

    It would otherwise convert all that the function calls, loops over variables included: tracing
    a step of a thousand variables would take ten times as long.
    """
    # Public do_not_convert also wraps it, which costs an eager step as much as all of its own code.
    return autograph_artifact(function)  # type: ignore[no-any-return]


def make_variable(value: Any, **kwargs: Any) -> tf.Variable:
    """Makes a variable that is not trained, past the creators of variables.

    Through them, a tf.function that is being traced would find that it makes variables, and trace
    itself once more; and a strategy would place, copy or broadcast the variable.
    """
    return ResourceVariable(value, trainable=False, **kwargs)


class NotingVariable(ResourceVariable):  # type: ignore[misc]
    """A variable that is not trained, and tells when a checkpoint gives it a value."""

    def __init__(
        self, initial_value: Any, note: Callable[[tf.Tensor, int], None], name: str
    ) -> None:
        """Makes the variable.

        Args:
          initial_value: Its value.
          note: Called with each restored value, which is symbolic if the restore is traced, and
            the number of the restore.
          name: Its name.
        """
        super().__init__(initial_value, trainable=False, name=name)
        self._note = note

    def _restore_from_tensors(self, restored_tensors: dict[str, tf.Tensor]) -> Any:
        assigned = super()._restore_from_tensors(restored_tensors)
        (value,) = restored_tensors.values()
        self._note(value, self._update_uid)
        return assigned


def in_asynchronous_save() -> bool:
    """Whether this thread writes an asynchronous checkpoint from copies of the variables."""
    return checkpoint_context.in_async_metrics_context()  # type: ignore[no-any-return]


def is_copied_for_saving(checkpoint: Any, variables: Iterable[Any]) -> bool:
    """Whether the writer of a checkpoint's asynchronous saves has copies of all variables.

    It knows those that there were at its first save, and reads others themselves, some time later.
    True where no save was asynchronous.
    """
    saves = getattr(checkpoint, "_async_checkpointer_impl", None)
    copies = getattr(saves, "_object_map", None)
    return copies is None or all(one in copies for one in variables)


def compiles_with_xla() -> bool:
    """Whether XLA compiles the function that is being traced, or one that it is part of."""
    return GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())  # type: ignore[no-any-return]


def is_exporting() -> bool:
    """Whether a SavedModel is being made, for which TensorFlow traces functions anew."""
    return save_context.in_save_context()  # type: ignore[no-any-return]


def checkpoint_objects(root: Any) -> list[Any]:
    """All that a checkpoint of an object reads and writes, slot variables among them."""
    return util.list_objects(graph_view.ObjectGraphView(root))  # type: ignore[no-any-return]


def next_restore() -> int:
    """A number that is smaller than those of all later restores: TensorFlow counts them up."""
    return uid()  # type: ignore[no-any-return]


def forget_deferred(objects: Iterable[Any], since: int) -> None:
    """Takes back what restores promised to objects that are made later.

    Args:
      objects: Those that would hand the values on.
      since: What `next_restore` returned before the restores that are taken back.
    """
    for one in objects:
        one._maybe_initialize_trackable()
        deferred = one._deferred_dependencies
        for name, positions in list(deferred.items()):
            kept = [position for position in positions if position.restore_uid < since]
            if kept:
                deferred[name] = kept
            else:
                del deferred[name]


def dtype_in_checkpoint(position: Any) -> tf.DType | None:
    """The dtype of the variable that a restore has at a position; None if none is there."""
    attributes = position.object_proto.attributes
    if len(attributes) != 1:
        return None
    return position.checkpoint.dtype_map[attributes[0].checkpoint_key]


def value_in_checkpoint(position: Any) -> tf.Tensor:
    """The value of the variable that a restore has at a position."""
    (value,) = position.value_tensors().values()
    return value


def bind_restored(position: Any, variables: Iterable[Any]) -> None:
    """Notes that a restore has given variables their values from what it has at a position.

    The first is what a checkpoint of the program would have there; others it may have elsewhere.
    """
    first, *others = variables
    position.bind_object(first)
    bound = position.checkpoint.object_by_proto_id
    for one in others:  # By a number that is none of the file's.
        bound.setdefault(-id(one), one)
    for one in (first, *others):
        one._maybe_initialize_trackable()
        one._update_uid = max(one._update_uid, position.restore_uid)


def add_restored(position: Any, assigned: Iterable[Any]) -> None:
    """Has a restore in a graph of TensorFlow 1 run assignments too, by what these returned."""
    if not tf.compat.v1.executing_eagerly_outside_functions():
        position.checkpoint.new_restore_ops([tf.group(one) for one in assigned])


def was_restored(one: Any, since: int) -> bool:
    """Whether a restore after `next_restore` returned `since` has given an object its value."""
    return getattr(one, "_update_uid", -1) > since


def note_checkpoint_step(manager: Any) -> None:
    """Notes that a checkpoint manager stands at a checkpoint, for its `checkpoint_interval`."""
    if manager.checkpoint_interval is not None:
        manager._last_checkpoint_step = int(manager._step_counter)


def create_slots(optimizer: tf.compat.v1.train.Optimizer, variables: Iterable[tf.Variable]) -> None:
    """Makes what an optimizer of TensorFlow 1 keeps beside variables, before its first step."""
    optimizer._create_slots(list(variables))
