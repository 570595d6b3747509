"""Libraries and programs of x86-64 Linux: makes them smaller and movable, in memory, in place."""

import struct

MAGIC = b"\x7fELF"
# Of the file's header: where segments' headers start, and how many there are.
SEGMENTS = struct.Struct("<32xQ16xH")
# Type, flags, offset, address, physical address, size in the file.
SEGMENT = struct.Struct("<IIQQQQ16x")
LOADED, DYNAMIC = 1, 2
# Tags of the dynamic section: the table of strings, and the folders to look for libraries in. Those
# of RPATH serve what the libraries load, too; those of RUNPATH do not.
STRINGS, RPATH, RUNPATH = 5, 15, 29


def is_elf(data: bytes | bytearray) -> bool:
    """Whether a file is a library or a program."""
    return data[:4] == MAGIC


def _segments(data: bytearray) -> list[tuple[int, ...]]:
    start, count = SEGMENTS.unpack_from(data)
    return [SEGMENT.unpack_from(data, start + i * SEGMENT.size) for i in range(count)]


def cut(data: bytearray) -> None:
    """Drops what lies behind the last segment: the names for debuggers and linkers.

    The table of sections goes with it, which nothing that loads a library reads.
    """
    end = max(offset + size for kind, _, offset, _, _, size in _segments(data) if kind)
    if end < len(data):
        del data[end:]
        struct.pack_into("<Q", data, 40, 0)  # No table of sections,
        struct.pack_into("<HH", data, 60, 0, 0)  # and none of them named.


def set_search_path(data: bytearray, path: str) -> None:
    """Makes a program or library look for what it needs in a folder, such as $ORIGIN/../lib.

    Raises:
        ValueError: it has no path of folders yet that is as long, so there is no place for one.
    """
    segments = _segments(data)
    ((dynamic, size),) = [(s[2], s[5]) for s in segments if s[0] == DYNAMIC]
    tags: dict[int, tuple[int, int]] = {}
    for place in range(dynamic, dynamic + size, 16):
        tag, value = struct.unpack_from("<QQ", data, place)
        tags.setdefault(tag, (place, value))
    strings = tags[STRINGS][1]
    (base,) = [s[2] - s[3] for s in segments if s[0] == LOADED and s[3] <= strings < s[3] + s[5]]
    for tag in (RPATH, RUNPATH):
        if tag in tags:
            place, value = tags[tag]
            start = base + strings + value
            length = data.index(0, start) - start
            encoded = path.encode()
            if len(encoded) <= length:
                data[start : start + length] = encoded.ljust(length, b"\0")
                struct.pack_into("<Q", data, place, RPATH)
                return
    message = f"A program must have a longer search path to be given another. Received: {path!r}"
    raise ValueError(message)
