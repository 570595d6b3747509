"""Weighted sums of files: several of the same inputs in one pass over them."""

from __future__ import annotations

import contextlib
import functools
import json
from typing import TYPE_CHECKING

from tf_mavg._files.formats import opened, written_like
from tf_mavg._files.marks import MERGED, NOTES, is_description, is_mark, place_of
from tf_mavg._files.remainders import halves_of, read_joined, remainders_in
from tf_mavg._files.values import weighted_sums

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from tf_mavg._files.formats import File


def merge_files(
    paths: Sequence[Path],
    rows: Mapping[Path, Sequence[float]],
    compute_dtype: str,
    progress: Callable[[list[str]], Iterable[str]],
) -> None:
    """Writes weighted sums of files; see `tf_mavg.merge_checkpoints`.

    Args:
      paths: The inputs, of which the last gives what is not summed.
      rows: For each output a coefficient for each input.
      compute_dtype: "float32" or "float64".
      progress: Called with the keys to go through; returns what to iterate over.
    """
    if compute_dtype not in {"float32", "float64"}:
        message = f'`compute_dtype` must be "float32" or "float64". Received: {compute_dtype!r}.'
        raise ValueError(message)
    with opened(paths) as files, contextlib.ExitStack() as stack:
        last = files[-1]
        for file in files[:-1]:
            _check_alike(file, last)
        writers = [stack.enter_context(written_like(last, output)) for output in rows]
        remainders = remainders_in(last)
        left_out = {
            *NOTES,
            *remainders.values(),
        }  # Remainders are written with what they belong to.
        for key in progress([key for key in last.specs if key not in left_out]):
            spec = last.specs[key]
            if key in remainders:
                reads = [
                    functools.partial(read_joined, file, key, remainders[key]) for file in files
                ]
                joined = spec._replace(dtype="float32")
                sums = weighted_sums(list(rows.values()), reads, joined, compute_dtype)
                for writer, value in zip(writers, sums, strict=True):
                    high, remainder = halves_of(value)
                    writer.write(key, high)
                    writer.write(remainders[key], remainder)
            elif spec.is_floating:
                reads = [functools.partial(file.read, key) for file in files]
                sums = weighted_sums(list(rows.values()), reads, spec, compute_dtype)
                for writer in writers:
                    writer.write(key, sums.pop(0))
            else:
                value = last.read(key)
                for writer in writers:
                    writer.write(key, value)
        for writer, row in zip(writers, rows.values(), strict=True):
            writer.note(MERGED, _provenance(files, row))


def _check_alike(file: File, last: File) -> None:
    if file.kind != last.kind:
        message = (
            f"All inputs must be of one format. Received: {file.kind}, {file.path}, and "
            f"{last.kind}, {last.path}."
        )
        raise ValueError(message)
    for one, other in ((file, last), (last, file)):
        missing = next((key for key in one.specs if key not in {*other.specs, *NOTES}), None)
        if missing is not None:
            message = (
                f"All inputs must hold the same values. Received: {missing!r} in {one.path} and "
                f"not in {other.path}."
            )
            raise ValueError(message)
    for key, spec in last.specs.items():
        found = file.specs.get(key, spec)
        if found != spec and not is_description(key):
            message = (
                f"All inputs must hold the same values. Received: {key!r} as {found} in "
                f"{file.path} and as {spec} in {last.path}."
            )
            raise ValueError(message)
        if is_mark(key) and place_of(key, file.read(key)) != place_of(key, last.read(key)):
            message = (
                "All inputs must have the averages of the same weights, in the same places. "
                f"Received: {key!r} differs in {file.path} and {last.path}; convert the files "
                "with `tf_mavg convert` first."
            )
            raise ValueError(message)


def _provenance(files: Sequence[File], shares: Sequence[float]) -> str:
    inputs = [
        {"path": str(file.path), "coefficient": share}
        for file, share in zip(files, shares, strict=True)
    ]
    return json.dumps({"inputs": inputs})
