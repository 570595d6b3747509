"""Unpacks parts of a kit: python3 unpack.py PART... [--to PREFIX] [--wait SECONDS].

A script of its own, for Python 3.9 and later and its standard library. Parts may come in any order,
by several calls, also at once and more than once. A damaged part is refused before it writes
anything. --wait returns when all parts are there that those at hand speak of, with status 1 when
the seconds are over.

The format of a part: MAGIC, the length of the list and the list, then streams of xz, then the
SHA-256 of all before. The list is JSON: {"kit", "id", "part", "parts", "pieces"}. A piece is one
stream, with "offset" and "size" in the part, and "files". A file has "path", and "link" or: "mode",
"time" (ns), "size", "whole" (it lies in this piece alone) and "runs", which bytes of it the stream
holds, in order, as [offset, length]. What no run of any piece covers is zero.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import lzma
import os
import struct
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

MAGIC = b"gpu_kit1"
LENGTH = struct.Struct("<8sQ")
DIGEST_SIZE = hashlib.sha256().digest_size
DEFAULT_PREFIX = "/opt/gpu_kit"
STAMPS = ".gpu_kit"


class DamagedError(Exception):
    """A part is not what was packed."""


def read_list(part: str | Path) -> dict[str, Any]:
    """The list of a part, with the file's path under "file"; reads all of it to check it."""
    data = Path(part).read_bytes()
    if len(data) < LENGTH.size + DIGEST_SIZE or data[: len(MAGIC)] != MAGIC:
        message = f"A part must start as gpu_kit writes it. Received: {part}"
        raise DamagedError(message)
    if hashlib.sha256(data[:-DIGEST_SIZE]).digest() != data[-DIGEST_SIZE:]:
        message = f"A part must have the SHA-256 it ends with: send it again. Received: {part}"
        raise DamagedError(message)
    _, length = LENGTH.unpack_from(data)
    found = json.loads(data[LENGTH.size : LENGTH.size + length])
    found["file"] = str(Path(part).resolve())
    return dict(found)


def write_file(prefix: str | Path, file: dict[str, Any], content: memoryview) -> memoryview:
    """Writes one file's runs from the content, and returns what of the content is left."""
    path = Path(prefix, file["path"])
    path.parent.mkdir(parents=True, exist_ok=True)
    if "link" in file:
        path.unlink(missing_ok=True)
        path.symlink_to(file["link"])
        return content
    if file["whole"]:
        path.unlink(missing_ok=True)  # A program that runs keeps the old file.
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o700), "r+b") as out:
        if os.fstat(out.fileno()).st_size != file["size"]:
            out.truncate(file["size"])
        for offset, length in file["runs"]:
            out.seek(offset)
            out.write(content[:length])
            content = content[length:]
    path.chmod(file["mode"])
    os.utime(path, ns=(file["time"], file["time"]))
    return content


def write_piece(prefix: str | Path, part: str, piece: dict[str, Any]) -> None:
    """Decompresses one piece of a part and writes its files."""
    with Path(part).open("rb") as file:
        file.seek(piece["offset"])
        content = memoryview(lzma.decompress(file.read(piece["size"])))
    for file in piece["files"]:
        content = write_file(prefix, file, content)


def claim(prefix: str | Path, part: dict[str, Any]) -> Path:
    """The folder of stamps; a prefix takes one packing of files that lie in several pieces."""
    stamps = Path(prefix, STAMPS)
    stamps.mkdir(parents=True, exist_ok=True)
    files = [file for piece in part["pieces"] for file in piece["files"]]
    if all(file.get("whole", True) for file in files):
        return stamps
    # A link is there with its content at once, unlike a file, and cannot be made twice.
    owner = stamps / part["kit"]
    with contextlib.suppress(FileExistsError):
        owner.symlink_to(part["id"])
    if str(owner.readlink()) != part["id"]:
        message = (
            f"A folder holds one packing of {part['kit']}: remove it, or name another. "
            f"Received: {prefix}"
        )
        raise DamagedError(message)
    return stamps


def stamp_of(part: dict[str, Any]) -> str:
    """The name of the file that says that a part is there."""
    return f"{part['kit']}.{part['id'][:16]}.{part['part']}_of_{part['parts']}"


def unpack(paths: list[str | Path], prefix: str | Path, jobs: int | None = None) -> int:
    """Unpacks parts under a folder; gives how many bytes it wrote.

    Raises:
        DamagedError: a part is damaged, or of another packing than what is there.
    """
    parts = [read_list(path) for path in paths]
    stamps = [claim(prefix, part) for part in parts]
    work = [(prefix, part["file"], piece) for part in parts for piece in part["pieces"]]
    with ProcessPoolExecutor(jobs or os.cpu_count()) as pool:
        jobs_done = [pool.submit(write_piece, *piece) for piece in work]
        for job in jobs_done:
            job.result()
    for folder, part in zip(stamps, parts):  # noqa: B905 - Python 3.9 has no strict.
        (folder / stamp_of(part)).touch()
    return sum(n for *_, piece in work for file in piece["files"] for _, n in file.get("runs", ()))


def missing(prefix: str | Path) -> list[str]:
    """The names of the stamps that lack, of the kits of which a part is there."""
    names = {path.name for path in Path(prefix, STAMPS).glob("*_of_*")}
    lacking = {} if names else {"any part": None}
    for name in names:
        start, _, count = name.rpartition("_of_")
        head = start.rpartition(".")[0]
        lacking.update((f"{head}.{i + 1}_of_{count}", None) for i in range(int(count)))
    return sorted(set(lacking) - names)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Unpacks parts of a kit for a machine with a GPU.")
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--to", default=DEFAULT_PREFIX, metavar="PREFIX")
    parser.add_argument("--jobs", type=int, help="processes; by default one a core")
    parser.add_argument("--wait", type=float, metavar="SECONDS", help="until all parts are there")
    options = parser.parse_args()
    start = time.monotonic()
    try:
        if options.parts:
            size = unpack(options.parts, options.to, options.jobs)
            print(f"{size / 1e6:.0f} MB in {time.monotonic() - start:.1f} s")  # noqa: T201 - its answer.
    except DamagedError as error:
        sys.exit(f"error: {error}")
    if options.wait is not None:
        while missing(options.to):
            if time.monotonic() > start + options.wait:
                lacking = ", ".join(missing(options.to))
                sys.exit(f"error: not unpacked within {options.wait} s: {lacking}")
            time.sleep(0.1)


if __name__ == "__main__":
    main()
