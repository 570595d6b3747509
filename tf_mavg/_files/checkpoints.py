"""Checkpoints of TensorFlow, by name or of objects, read and written a tensor at a time."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import ml_dtypes
import numpy as np
import tensorflow as tf

from tf_mavg._files.damaged import reading
from tf_mavg._files.values import Spec
from tf_mavg._publishing import beside, check_is_new

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The key of the graph of objects in checkpoints of tf.train.Checkpoint.
OBJECT_GRAPH: Final = "_CHECKPOINTABLE_OBJECT_GRAPH"

# From so many bytes on, what waits is written: as one file of the checkpoint.
_SHARD_BYTES: Final = 1 << 25


class CheckpointFile:
    """A checkpoint that is read.

    Attributes:
      path: The prefix of its files.
      kind: Its format, for messages.
      reader: TensorFlow's reader of it.
      specs: Shape and dtype of each value by key, sorted.
    """

    kind = "a TensorFlow checkpoint"

    def __init__(self, path: Path) -> None:
        """Opens a checkpoint; raises ValueError if it is damaged."""
        self.path = path
        with reading(path):
            self.reader = tf.train.load_checkpoint(str(path))
            shapes = self.reader.get_variable_to_shape_map()
            dtypes = self.reader.get_variable_to_dtype_map()
        self.specs = {key: Spec(tuple(shapes[key]), dtypes[key].name) for key in sorted(shapes)}

    def read(self, key: str) -> Any:
        """A value: an array, or bytes; raises ValueError if it is damaged."""
        with reading(self.path):
            return self.reader.get_tensor(key)


class CheckpointWriter:
    """A checkpoint that is written: as shards, whose index is merged in the end."""

    def __init__(self, folder: Path) -> None:
        """Writes into an empty folder."""
        self._folder = folder
        self._waiting: dict[str, Any] = {}
        self._bytes = 0
        self._shards: list[str] = []

    def write(self, key: str, value: Any) -> None:
        """Takes a value; keys come sorted."""
        self._waiting[key] = value
        self._bytes += np.asarray(value).nbytes
        if self._bytes >= _SHARD_BYTES:  # At once: a large value must not wait beside the next.
            self._flush()

    def note(self, key: str, text: str) -> None:
        """Adds a text under a key of its own, which restores leave alone."""
        self.write(key, text.encode())

    def finish(self) -> Path:
        """Writes what waits; returns the prefix of the checkpoint."""
        self._flush()
        merged = self._folder / "merged"
        tf.raw_ops.MergeV2Checkpoints(
            checkpoint_prefixes=self._shards, destination_prefix=str(merged), delete_old_dirs=False
        )
        return merged

    def _flush(self) -> None:
        if not self._waiting:
            return
        prefix = str(self._folder / f"shard_{len(self._shards)}")
        with tf.device("/cpu:0"):
            tf.raw_ops.SaveV2(
                prefix=prefix,
                tensor_names=list(self._waiting),
                shape_and_slices=[""] * len(self._waiting),
                tensors=[_tensor(value) for value in self._waiting.values()],
            )
        self._shards.append(prefix)
        self._waiting, self._bytes = {}, 0


def _tensor(value: Any) -> tf.Tensor:
    """A value as a tensor; without a copy, of which tf.constant makes two, if it is an array."""
    array = np.asarray(value)
    if array.dtype == ml_dtypes.bfloat16:
        return tf.bitcast(_tensor(array.view(np.uint16)), tf.bfloat16)
    if not (array.ndim and array.flags.writeable and array.dtype.kind in "fiu"):
        return tf.constant(value)
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


@contextlib.contextmanager
def checkpoint_like(output: Path) -> Iterator[CheckpointWriter]:
    """A context with the writer of a checkpoint, which is there when the context is left.

    Raises:
      FileExistsError: If there is one of that name already.
    """
    index = output.with_name(f"{output.name}.index")
    check_is_new(output, index)
    with beside(output) as folder:
        writer = CheckpointWriter(folder)
        yield writer
        merged = writer.finish()
        # Without its index, which comes last, it is no checkpoint.
        for data in sorted(folder.glob(f"{merged.name}.data-*")):
            data.replace(output.with_name(output.name + data.name.removeprefix(merged.name)))
        check_is_new(output, index)
        merged.with_name(f"{merged.name}.index").replace(index)
