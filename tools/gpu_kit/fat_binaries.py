"""Fat binaries of a library: what one GPU does not use is zeroed, in memory, at its place.

A fat binary is a header and entries, each an image for one architecture: PTX, which a driver
compiles for what is at hand, or machine code. They are found by their magic number wherever they
lie, since only those that are registered as a library is loaded stand in .nv_fatbin. Nothing moves,
so addresses stay right. An entry keeps its header, by which a driver passes over others' images.
"""

import struct
from dataclasses import dataclass

MAGIC = b"\x50\xed\x55\xba"
# Magic, version, size of this header, size of the entries behind it.
HEADER = struct.Struct("<4sHHQ")
# Kind, version, size of this header, size of the image; then at offset 28 the architecture.
ENTRY = struct.Struct("<HHIQ12xI")
PTX, MACHINE_CODE = 1, 2


@dataclass(frozen=True)
class Entry:
    """An image: where it starts, its length, and which GPU it is for."""

    kind: int
    architecture: int
    start: int
    size: int


def find(data: bytearray) -> list[list[Entry]]:
    """The entries of each fat binary of a library.

    Raises:
        ValueError: a fat binary's entries do not fill it exactly, so that its form is another.
    """
    found = []
    position = data.find(MAGIC)
    while position >= 0:
        _, version, header_size, size = HEADER.unpack_from(data, position)
        end = position + header_size + size
        if version != 1 or header_size != HEADER.size or end > len(data):
            end = position + len(MAGIC)  # The number is part of code that looks for it.
        else:
            found.append(_entries(data, position + header_size, end))
        position = data.find(MAGIC, end)
    return found


def _entries(data: bytearray, position: int, end: int) -> list[Entry]:
    """The entries from a position to the end of their fat binary."""
    entries = []
    while position < end:
        kind, _, header_size, size, architecture = ENTRY.unpack_from(data, position)
        if header_size < ENTRY.size or position + header_size + size > end:
            message = (
                "The entries of a fat binary must fill it. "
                f"Received: header_size={header_size}, size={size}, left={end - position}."
            )
            raise ValueError(message)
        entries.append(Entry(kind, architecture, position + header_size, size))
        position += header_size + size
    return entries


def kept(entries: list[Entry], architecture: int, *, ptx: bool) -> list[Entry]:
    """Which entries a GPU uses: its machine code, else the newest PTX up to its architecture.

    Args:
        entries: those of one fat binary.
        architecture: the GPU's compute capability, such as 90.
        ptx: whether PTX stays beside machine code, too.
    """
    # Machine code runs on later minor versions of the same major version.
    code = [
        entry
        for entry in entries
        if entry.kind == MACHINE_CODE
        and entry.architecture // 10 == architecture // 10
        and entry.architecture <= architecture
    ]
    texts = [entry for entry in entries if entry.kind == PTX and entry.architecture <= architecture]
    newest_code, newest_text = (
        [entry for entry in some if entry.architecture == max(e.architecture for e in some)]
        for some in (code, texts)
    )
    if not newest_code + newest_text:
        return entries  # What this GPU would refuse, it still refuses by name.
    return newest_code + newest_text if ptx or not newest_code else newest_code


def trim(data: bytearray, architecture: int, *, ptx: bool) -> None:
    """Zeroes the images that a GPU of an architecture does not use; see kept."""
    for entries in find(data):
        stays = kept(entries, architecture, ptx=ptx)
        for entry in entries:
            if entry not in stays:
                data[entry.start : entry.start + entry.size] = bytes(entry.size)
