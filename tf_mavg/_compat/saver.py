"""What lies under `tf.compat.v1.train.Saver`: its names for variables, and how it reads a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf
from tensorflow.python.training import saver as tensorflow_saver
from tensorflow.python.training.saving import saveable_object, saveable_object_util

from tf_mavg._compat.distribute import has_a_component_a_replica

if TYPE_CHECKING:
    from collections.abc import Sequence

SaveableObject = saveable_object.SaveableObject
SaveSpec = saveable_object.SaveSpec


def by_key(var_list: Sequence[Any]) -> dict[str, Any]:
    """The variables, lists of shards and other objects of a list, each under its key in a file.

    Raises:
      ValueError: If two of them have the same key.
    """
    # TensorFlow would put what saves them in the place of variables of several replicas.
    replicated = [one for one in var_list if has_a_component_a_replica(one)]
    found: dict[str, Any] = saveable_object_util.op_list_to_dict(
        [one for one in var_list if not has_a_component_a_replica(one)],
        convert_variable_to_tensor=False,
    )
    for variable in replicated:
        key = variable._shared_name
        if found.setdefault(key, variable) is not variable:
            message = f"Two variables must not have the same name. Received: {key!r} twice."
            raise ValueError(message)
    return found


def saveable_of(variable: Any, key: str) -> Any:
    """What saves a variable of several replicas under a key, and restores all its components."""
    return variable._gather_saveables_for_checkpoint()["VARIABLE_VALUE"](name=key)


def slice_info(variable: tf.Variable) -> Any | None:
    """Where in the whole a shard lies (`full_name`, `full_shape`, ...); None of what is whole."""
    return variable._get_save_slice_info()


class RenamingBuilder(tensorflow_saver.BulkSaverBuilder):  # type: ignore[misc]
    """Builds a Saver that can read its values under other keys than it saves them.

    Attributes:
      reads: In a graph, each op that reads a file, with the keys whose values it reads. A Session
        may be fed other keys for its input `tensor_names`.
      sources: In eager mode, where each restore builds anew, the keys to read instead of some.
    """

    def __init__(self, not_read: str, **kwargs: Any) -> None:
        """Makes a builder; what is saved under the key `not_read` is not read."""
        super().__init__(**kwargs)
        self._not_read = not_read
        self.reads: list[tuple[tf.Operation, list[str]]] = []
        self.sources: dict[str, str] = {}

    def bulk_restore(
        self,
        filename_tensor: tf.Tensor,
        saveables: Sequence[Any],
        preferred_shard: int,
        restore_sequentially: bool,  # noqa: FBT001 - the signature of the method it replaces.
    ) -> list[tf.Tensor]:
        """As TensorFlow's: one op reads the values of all `saveables`, in order."""
        del preferred_shard, restore_sequentially  # As TensorFlow's.
        specs = [spec for saveable in saveables for spec in saveable.specs]
        read = [spec for spec in specs if spec.name != self._not_read]
        values = iter(self._read(filename_tensor, read) if read else [])
        return [tf.constant("") if spec.name == self._not_read else next(values) for spec in specs]

    def _read(self, filename_tensor: tf.Tensor, specs: list[Any]) -> list[tf.Tensor]:
        keys = [spec.name for spec in specs]
        with tf.device("/cpu:0"):
            values = tf.raw_ops.RestoreV2(
                prefix=filename_tensor,
                tensor_names=[self.sources.get(key, key) for key in keys],
                shape_and_slices=[spec.slice_spec for spec in specs],
                dtypes=[tf.as_dtype(spec.dtype).base_dtype for spec in specs],
            )
        if not tf.executing_eagerly():
            self.reads.append((values[0].op, keys))
        return values  # type: ignore[no-any-return]
