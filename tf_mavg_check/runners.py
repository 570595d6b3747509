"""Where kernels run: on the CPU at one instruction level, on the GPU by one form of table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from tf_mavg_check.native import native

if TYPE_CHECKING:
    from collections.abc import Sequence


class Runner(Protocol):
    """Runs kernels on lists of arrays, in place."""

    name: str
    chunk_bytes: int

    def run(self, kernel: str, *lists: Any, offsets: Sequence[int] = ()) -> Any:
        """Runs a kernel.

        Args:
          kernel: A function of tf_mavg._native, as it is called for the CPU.
          *lists: What the function takes, up to the instruction level.
          offsets: One a list: shift the addresses on a GPU by so many bytes. On the CPU the arrays'
            own addresses count.

        Returns:
          What the function returns.
        """


class Cpu:
    """The CPU, with two threads that share chunks."""

    def __init__(self, level: str) -> None:
        """Takes an instruction level."""
        self._level = level
        self.name = f"CPU, {level}"
        self.chunk_bytes = 4 * int(native().CPU_CHUNK_ELEMENTS)

    def run(self, kernel: str, *lists: Any, offsets: Sequence[int] = ()) -> Any:
        """See Runner."""
        del offsets
        threads = {} if kernel == "swap" else {"threads": 2}
        return getattr(native(), kernel)(*lists, self._level, **threads)


class Gpu:
    """Device 0, with images of one kind and tables of one form."""

    def __init__(self, image: str, form: str) -> None:
        """Takes what the images are called, and a form of table."""
        self._form = form
        self.name = f"GPU, {image}, {form} tables"
        self.chunk_bytes = int(native().GPU_CHUNK_BYTES)

    def run(self, kernel: str, *lists: Any, offsets: Sequence[int] = ()) -> Any:
        """See Runner."""
        return getattr(native(), f"gpu_{kernel}")(*lists, self._form, offsets)
