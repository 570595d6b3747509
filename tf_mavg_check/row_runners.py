"""Where kernels on rows run: on the CPU at one instruction level, or on the GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from tf_mavg_check.native import native

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tf_mavg_check.reference import Array


class Table(NamedTuple):
    """An average with its variable, as the functions of tf_mavg._native take them."""

    average: Array
    variable: Array
    seen: NDArray[np.int64]
    clock: NDArray[np.float64]

    def copied(self) -> Table:
        """A table of its own with the same numbers."""
        return Table(self.average.copy(), self.variable.copy(), self.seen.copy(), self.clock.copy())


class RowRunner(Protocol):
    """Runs kernels on the rows of tables of one pair of dtypes, in place."""

    name: str

    def catch_up_rows(
        self, tables: Sequence[Table], indices: Sequence[Array], offsets: Sequence[int] = (0, 0, 0)
    ) -> None:
        """Has some rows of each table see all steps.

        Args:
          tables: Their rows.
          indices: A list of rows for each table.
          offsets: Bytes by which the addresses of averages, variables and indices are shifted on a
            GPU. On the CPU the arrays' own addresses count.
        """

    def catch_up_all_rows(self, tables: Sequence[Table]) -> None:
        """Has all rows see all steps, and starts the clocks anew."""

    def advance_row_clocks(self, tables: Sequence[Table], rate: Any) -> None:
        """Notes a step; where a clock has no room for it, all rows are caught up first."""


class CpuRows:
    """The CPU at one instruction level, with two threads that share rows."""

    def __init__(self, level: str) -> None:
        """Takes an instruction level."""
        self._level = level
        self.name = f"CPU, {level}"

    def catch_up_rows(
        self, tables: Sequence[Table], indices: Sequence[Array], offsets: Sequence[int] = (0, 0, 0)
    ) -> None:
        """See RowRunner."""
        del offsets
        for table, rows in zip(tables, indices, strict=True):
            native().catch_up_rows(*table, rows, self._level, threads=2)

    def catch_up_all_rows(self, tables: Sequence[Table]) -> None:
        """See RowRunner."""
        for table in tables:
            native().catch_up_all_rows(*table, self._level, threads=2)

    def advance_row_clocks(self, tables: Sequence[Table], rate: Any) -> None:
        """See RowRunner."""
        for table in tables:
            if not native().advance_row_clock(table.clock, rate):
                self.catch_up_all_rows([table])
                native().advance_row_clock(table.clock, rate)


class GpuRows:
    """Device 0, with images of one kind; these kernels have one form of table."""

    def __init__(self, image: str) -> None:
        """Takes what the images are called."""
        self.name = f"GPU, {image}"

    def catch_up_rows(
        self, tables: Sequence[Table], indices: Sequence[Array], offsets: Sequence[int] = (0, 0, 0)
    ) -> None:
        """See RowRunner."""
        native().gpu_catch_up_rows(tables, indices, offsets)

    def catch_up_all_rows(self, tables: Sequence[Table]) -> None:
        """See RowRunner."""
        native().gpu_catch_up_all_rows(tables)

    def advance_row_clocks(self, tables: Sequence[Table], rate: Any) -> None:
        """See RowRunner."""
        native().gpu_advance_row_clocks(tables, rate)
