"""Writes the parts of a kit, in the format that unpack.py reads.

A file that fits a piece lies in one piece, whole; a larger one is cut. Blocks of zeros do not
travel. Each piece is a stream of its own, so that all cores compress and decompress.
"""

import hashlib
import json
import lzma
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from gpu_kit import unpack

# Bytes before compression. Smaller pieces compress worse, larger ones keep fewer cores busy.
PIECE_SIZE = 32 << 20
# Pieces that wait for a core; the content of all of them would fill the memory.
QUEUE = 4
# Zeros are left out by the block, which is a page table's worth on disk.
BLOCK = 1 << 16
FILTERS = [
    {"id": lzma.FILTER_X86},  # Jumps as absolute addresses: code becomes a tenth smaller.
    {"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": PIECE_SIZE},
]
# Bytes at most that the list has for a piece beside its files, and a part beside its pieces.
PIECE_OVERHEAD, PART_OVERHEAD = 100, 1000
# What the list says of the files of a piece, and their content or its stream.
Piece: TypeAlias = tuple[list[dict[str, Any]], bytes]


@dataclass(frozen=True)
class File:
    """A file of a kit: its path under the prefix, and its bytes or what it links to."""

    path: str
    content: bytearray = field(default_factory=bytearray)
    mode: int = 0o644
    time: int = 0
    link: str | None = None


def runs_of(content: bytearray) -> list[tuple[int, int]]:
    """Where a file is not zero, in whole blocks, as offset and length, none above PIECE_SIZE."""
    runs: list[tuple[int, int]] = []
    zeros = bytes(BLOCK)
    for offset in range(0, len(content), BLOCK):
        block = content[offset : offset + BLOCK]
        if block == zeros[: len(block)]:
            continue
        if runs and sum(runs[-1]) == offset and runs[-1][1] + len(block) <= PIECE_SIZE:
            runs[-1] = (runs[-1][0], runs[-1][1] + len(block))
        else:
            runs.append((offset, len(block)))
    return runs


def _entry(file: File) -> dict[str, Any]:
    """What the list says of a file, without its runs."""
    if file.link is not None:
        return {"path": file.path, "link": file.link}
    size = len(file.content)
    return {"path": file.path, "mode": file.mode, "time": file.time, "size": size, "whole": True}


def _pieces(files: Iterable[File]) -> Iterator[Piece]:
    """The pieces of files, not compressed."""
    entries: list[dict[str, Any]] = []
    content = bytearray()
    for file in files:
        runs = runs_of(file.content)
        total = sum(length for _, length in runs)
        if entries and len(content) + total > PIECE_SIZE:
            yield entries, bytes(content)
            entries, content = [], bytearray()
        entry = _entry(file)
        if total <= PIECE_SIZE:
            entries.append(entry if file.link is not None else {**entry, "runs": runs})
            for offset, length in runs:
                content += file.content[offset : offset + length]
            continue
        group: list[tuple[int, int]] = []
        for offset, length in [*runs, (0, 0)]:
            if group and (not length or sum(n for _, n in group) + length > PIECE_SIZE):
                data = b"".join(bytes(file.content[o : o + n]) for o, n in group)
                yield [{**entry, "whole": False, "runs": group}], data
                group = []
            group.append((offset, length))
    if entries:
        yield entries, bytes(content)


def _compress(content: bytes) -> bytes:
    return lzma.compress(content, lzma.FORMAT_XZ, filters=FILTERS)


def _finished(entries: list[dict[str, Any]], stream: Future[bytes]) -> Piece:
    """A piece as soon as it is compressed."""
    return entries, stream.result()


def _compressed(files: Iterable[File]) -> Iterator[Piece]:
    """The pieces of files, in their order, compressed by all cores."""
    waiting: deque[tuple[list[dict[str, Any]], Future[bytes]]] = deque()
    with ProcessPoolExecutor() as pool:
        for entries, content in _pieces(files):
            waiting.append((entries, pool.submit(_compress, content)))
            if len(waiting) > QUEUE:
                yield _finished(*waiting.popleft())
        for piece in waiting:
            yield _finished(*piece)


def write(kit: str, files: Iterable[File], folder: Path, *, limit: int) -> list[Path]:
    """Writes a kit's parts, KIT_1 and so on, none above the limit in bytes; gives their paths.

    Raises:
        ValueError: the limit is too low for a piece.
    """
    groups: list[list[Piece]] = []
    rooms: list[int] = []
    digest = hashlib.sha256()
    for piece in _compressed(files):
        text = json.dumps(piece[0]).encode()
        digest.update(text + piece[1])
        size = len(text) + len(piece[1]) + PIECE_OVERHEAD
        if size + PART_OVERHEAD > limit:
            least = size + PART_OVERHEAD
            message = f"A part must hold a piece of {least} bytes. Received: limit={limit}"
            raise ValueError(message)
        number = next((i for i, room in enumerate(rooms) if size <= room), len(groups))
        if number == len(groups):
            groups.append([])
            rooms.append(limit - PART_OVERHEAD)
        groups[number].append(piece)
        rooms[number] -= size
    folder.mkdir(parents=True, exist_ok=True)
    head = {"kit": kit, "id": digest.hexdigest(), "parts": len(groups)}
    paths = []
    for number, group in enumerate(groups, 1):
        paths.append(folder / f"{kit}_{number}")
        paths[-1].write_bytes(_part({**head, "part": number}, group))
    return paths


def _part(head: dict[str, Any], group: list[Piece]) -> bytes:
    """The bytes of a part: streams first have their places, behind a list of fixed length."""
    pieces = [{"offset": 0, "size": len(stream), "files": files} for files, stream in group]
    # Offsets have at most nine digits: the list is padded to a length that they cannot change.
    length = len(json.dumps({**head, "pieces": pieces})) + 10 * len(pieces)
    offset = unpack.LENGTH.size + length
    for piece, (_, stream) in zip(pieces, group, strict=True):
        piece["offset"] = offset
        offset += len(stream)
    text = json.dumps({**head, "pieces": pieces}).encode().ljust(length)
    body = unpack.LENGTH.pack(unpack.MAGIC, length) + text + b"".join(s for _, s in group)
    return body + hashlib.sha256(body).digest()
