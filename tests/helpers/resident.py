"""How much memory this process occupies."""

import resource
from pathlib import Path


def resident_bytes() -> int:
    """Bytes of memory that this process occupies now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
