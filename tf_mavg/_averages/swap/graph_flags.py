"""Whether averages and variables are swapped in a Session, as the graph's own steps can ask.

A flag for each graph of TensorFlow 1. Nobody has to initialize it, since it says all by whether it
has a value: it has one while they are swapped.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tf_mavg._compat.tensorflow import next_restore


class GraphFlags:
    """The flags of one holder of averages."""

    def __init__(self) -> None:
        """None yet."""
        self._handles: dict[tf.Graph, tf.Tensor] = {}

    def is_lowered(self) -> tf.Tensor:
        """Asks in the default graph: whether nothing is swapped, a boolean scalar."""
        handle = self._handle()
        with tf.device(handle.device):
            return tf.logical_not(tf.raw_ops.VarIsInitializedOp(resource=handle))

    def raise_after(self, operation: tf.Operation) -> tf.Operation:
        """What says, after an operation, that they are swapped."""
        handle = self._handle()
        with tf.control_dependencies([operation]), tf.device(handle.device):
            return tf.raw_ops.AssignVariableOp(resource=handle, value=True)

    def lower_after(self, operation: tf.Operation) -> tf.Operation:
        """What says, after an operation, that they are not."""
        handle = self._handle()
        with tf.control_dependencies([operation]), tf.device(handle.device):
            return tf.raw_ops.DestroyResourceOp(resource=handle, ignore_lookup_error=True)

    def _handle(self) -> tf.Tensor:
        with tf.init_scope():  # Not within a loop or a branch of the graph.
            graph = tf.compat.v1.get_default_graph()
            if graph not in self._handles:
                with tf.device("/cpu:0"):
                    self._handles[graph] = tf.raw_ops.VarHandleOp(
                        dtype=tf.bool,
                        shape=[],
                        shared_name=f"averages_swapped_{next_restore()}",
                        name="averages_swapped",
                    )
            return self._handles[graph]


class MarkInGraph(tf.train.experimental.PythonState):  # type: ignore[misc]
    """Reads the mark of an object checkpoint that a program of TensorFlow 1 restores.

    A Session does not note swaps in variables that a checkpoint holds, so it cannot have averages
    in the place of variables as such a file has them. Nothing saves this.
    """

    def serialize(self) -> str:
        """Is not called."""
        raise NotImplementedError

    def deserialize(self, value: Any) -> None:
        """Takes what the file has, before any value is assigned.

        Raises:
          RuntimeError: If the file holds averages in the place of variables.
        """
        if value:
            message = (
                "A Session restores object checkpoints that have each value in its own place. "
                "Received: one with averages in the place of variables; restore it by "
                "SwappingCheckpointManager in eager mode, and save it there by tf.train.Checkpoint."
            )
            raise RuntimeError(message)
