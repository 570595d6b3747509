"""Which format a file has, and how it is opened and written."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import tensorflow as tf

from tf_mavg._files.checkpoints import CheckpointFile, CheckpointWriter, checkpoint_like
from tf_mavg._files.keras import KerasFile, KerasWriter, keras_file_like

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    File = CheckpointFile | KerasFile
    Writer = CheckpointWriter | KerasWriter

_KERAS_SUFFIXES = {".keras", ".h5"}


@contextlib.contextmanager
def opened(paths: Sequence[Path]) -> Iterator[list[File]]:
    """A context with files that are read.

    Raises:
      FileNotFoundError: If there is no such file.
      RuntimeError: In a graph of TensorFlow 1.
    """
    if not tf.executing_eagerly():
        message = (
            "Files are merged and converted eagerly. Received: a call with eager execution "
            "disabled, or in a graph; use a process of its own, or the command tf_mavg."
        )
        raise RuntimeError(message)
    with tempfile.TemporaryDirectory() as folder:
        yield [_open(path, Path(folder)) for path in paths]


def _open(path: Path, folder: Path) -> File:
    is_keras = path.suffix in _KERAS_SUFFIXES
    if not (path.is_file() if is_keras else path.with_name(f"{path.name}.index").is_file()):
        message = (
            "An input must be a .keras or .h5 file, or the prefix of a TensorFlow checkpoint, such "
            f"as training/ckpt-7 of training/ckpt-7.index. Received: {path}, which is not there."
        )
        raise FileNotFoundError(message)
    return KerasFile(path, folder) if is_keras else CheckpointFile(path)


def written_like(source: File, output: Path) -> contextlib.AbstractContextManager[Writer]:
    """A context with the writer of a file of the format of another one.

    Raises:
      FileExistsError: If the output exists.
      ValueError: If its name is that of another format.
    """
    suffix = source.path.suffix if isinstance(source, KerasFile) else None
    if (output.suffix if output.suffix in _KERAS_SUFFIXES else None) != suffix:
        message = (
            f"The output must be named as {source.kind}, like its inputs. Received: {output}, "
            f"beside {source.path}."
        )
        raise ValueError(message)
    if isinstance(source, KerasFile):
        return keras_file_like(source, output)
    return checkpoint_like(output)


def checkpoints_of(path: Path) -> list[Path]:
    """The checkpoints, oldest first, that a Saver or manager lists in a folder; or the path."""
    state = tf.train.get_checkpoint_state(str(path)) if path.is_dir() else None
    return [path] if state is None else [Path(one) for one in state.all_model_checkpoint_paths]
