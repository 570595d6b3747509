"""Fat binaries of a library: what one GPU does not use goes, in memory; the rest keeps its address.

A fat binary is a header and entries, each an image for one architecture: PTX, which a driver
compiles for what is at hand, or machine code. They are found by their magic number wherever they
lie, since only those that are registered as a library is loaded stand in .nv_fatbin. The entries
that stay close up behind the header, which then counts only these, and zeros follow them: so it is
what a compiler makes for one architecture, and no reader meets an image that is not there.
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
    """An image with its header: which GPU it is for, and where it is."""

    kind: int
    architecture: int
    start: int
    end: int


@dataclass(frozen=True)
class FatBinary:
    """Where a fat binary's header is, and its entries, which follow it."""

    start: int
    entries: list[Entry]


def find(data: bytearray) -> list[FatBinary]:
    """The fat binaries of a library.

    Raises:
        ValueError: a fat binary's entries do not fill it exactly, so that its form is another.
    """
    found = []
    position = data.find(MAGIC)
    while position >= 0:
        end = position + len(MAGIC)  # Unless it is one, the number is of code that looks for it.
        if position + HEADER.size <= len(data):
            _, version, header_size, size = HEADER.unpack_from(data, position)
            start = position + HEADER.size
            if version == 1 and header_size == HEADER.size and start + size <= len(data):
                end = start + size
                found.append(FatBinary(position, _entries(data, start, end)))
        position = data.find(MAGIC, end)
    return found


def _entries(data: bytearray, position: int, end: int) -> list[Entry]:
    """The entries from a position to the end of their fat binary."""
    entries = []
    while position < end:
        if position + ENTRY.size > end:
            message = f"The entries of a fat binary must fill it. Received: left={end - position}"
            raise ValueError(message)
        kind, _, header_size, size, architecture = ENTRY.unpack_from(data, position)
        after = position + header_size + size
        if header_size < ENTRY.size or after > end:
            message = (
                "The entries of a fat binary must fill it. "
                f"Received: header_size={header_size}, size={size}, left={end - position}"
            )
            raise ValueError(message)
        entries.append(Entry(kind, architecture, position, after))
        position = after
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
    stays = newest_code + newest_text if ptx or not newest_code else newest_code
    # What this GPU would refuse, it still refuses by name.
    return [entry for entry in entries if entry in stays] or entries


def trim(data: bytearray, architecture: int, *, ptx: bool) -> None:
    """Leaves the images that a GPU of an architecture uses; see kept."""
    for binary in find(data):
        stays = kept(binary.entries, architecture, ptx=ptx)
        if stays == binary.entries:
            continue
        first, end = binary.start + HEADER.size, binary.entries[-1].end
        left = b"".join(bytes(data[entry.start : entry.end]) for entry in stays)
        data[first:end] = left.ljust(end - first, b"\0")
        HEADER.pack_into(data, binary.start, MAGIC, 1, HEADER.size, len(left))
