"""Files without averages, of files that have them: the averages stand for weights, or go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from tf_mavg._files.averages import FoundAverages, find_averages
from tf_mavg._files.checkpoints import OBJECT_GRAPH, CheckpointFile
from tf_mavg._files.formats import opened, written_like
from tf_mavg._files.marks import CONVERTED, NOTES
from tf_mavg._files.values import rounded_to
from tf_mavg._keras.files.conversion import convert_keras_file
from tf_mavg._publishing import beside, check_is_new

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["convert_checkpoint"]

Kept = Literal["averages", "weights"]


def convert_checkpoint(  # noqa: PLR0913 - two of them for one format each.
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    keep: Kept = "averages",
    *,
    index: int = 0,
    averages_name: str = "ExponentialMovingAverage",
    custom_objects: Mapping[str, Any] | None = None,
    progress: Callable[[list[str]], Iterable[str]] = iter,
) -> None:
    """Writes a file that holds the averages of another one for weights, or its weights alone.

    The output opens without tf_mavg. A value of a TensorFlow checkpoint is read and written at a
    time; a .keras file is loaded by its Keras. An average of another dtype than its weight is
    rounded to it.

    Args:
      path: A TensorFlow checkpoint, by its prefix, of a Saver or of tf.train.Checkpoint: with
        averages of this package, of tf.train.ExponentialMovingAverage, TensorFlow Addons, the Model
        Garden, or of a Keras 3 optimizer with `use_ema`. Or a .keras file of either Keras, compiled
        with a `MovingAverage` or with `use_ema`.
      output: Where to write: a file of the same format, which must not exist.
      keep: "averages", or "weights" for the weights that were trained.
      index: Which averages, where weights have several.
      averages_name: In a Saver's file, the last part of the names of averages.
      custom_objects: For a .keras file: what its Keras is to know by name.
      progress: Called with the keys to go through; returns what to iterate over. For progress bars.

    A checkpoint tells under the key `tf_mavg/converted`, as JSON, what it was made of.

    Raises:
      FileExistsError: If the output exists.
      FileNotFoundError: If the input does not.
      ValueError: If the input has no averages of that index, two of one weight, or one of another
        shape than its weight; or it is damaged.
    """
    if keep not in get_args(Kept):
        message = f"`keep` must be one of {get_args(Kept)}. Received: {keep!r}."
        raise ValueError(message)
    source, target = Path(path), Path(output)
    with opened([source]) as (file,):
        if isinstance(file, CheckpointFile):
            found = find_averages(file, averages_name, index)
            note: dict[str, Any] = {"input": str(source), "keep": keep}
            if keep == "averages":
                sources, note["index"] = found.sources_of_averages(index), index
            else:
                sources = found.sources_of_weights()
            _convert(file, target, found, sources, json.dumps(note), progress)
            return
    if source.suffix != ".keras":
        message = (
            "Of Keras's files a .keras file can be converted, which tells which average is whose. "
            f"Received: {source}; load it into its model, and save that within "
            "optimizer.swapped_for_saving()."
        )
        raise ValueError(message)
    check_is_new(target, target)
    with beside(target) as folder:
        made = folder / "model.keras"
        kept = index if keep == "averages" else None
        convert_keras_file(source, made, custom_objects, averages=kept)
        made.replace(target)


def _convert(  # noqa: PLR0913, PLR0917 - what was asked for.
    file: CheckpointFile,
    output: Path,
    found: FoundAverages,
    sources: dict[str, str],
    note: str,
    progress: Callable[[list[str]], Iterable[str]],
) -> None:
    for weight, average in sources.items():
        if file.specs[average].shape != file.specs[weight].shape:
            message = (
                f"An average must have the shape of its weight. Received: {average!r} is "
                f"{file.specs[average]}, {weight!r} {file.specs[weight]}."
            )
            raise ValueError(message)
    keys = [key for key in file.specs if key not in found.only_averages and key not in NOTES]
    with written_like(file, output) as writer:
        for key in progress(keys):
            if key == OBJECT_GRAPH:
                writer.write(key, found.graph)
            elif key in sources:
                writer.write(key, rounded_to(file.specs[key], file.read(sources[key])))
            else:
                writer.write(key, file.read(key))
        writer.note(CONVERTED, note)
