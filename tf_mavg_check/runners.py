"""Where kernels run: on the CPU at one instruction level, on the GPU by one form of table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from tf_mavg_check.native import native

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tf_mavg_check.reference import Array, Key

Lists = list[list["Array"]]


class Runner(Protocol):
    """Runs each kernel on lists of arrays, in place.

    `offsets`, one a list, shift the addresses on a GPU by so many bytes. On the CPU the arrays'
    own addresses count.
    """

    name: str
    chunk_bytes: int

    def update(
        self, averages: Lists, variables: list[Array], rates: Sequence[Any], offsets: Sequence[int]
    ) -> None:
        """Moves averages towards variables."""

    def update_split(
        self,
        averages: tuple[Lists, Lists],
        variables: list[Array],
        rates: Sequence[Any],
        offsets: Sequence[int],
    ) -> None:
        """Moves averages, which are upper halves and remainders, towards variables."""

    def update_stochastically(
        self, averages: Lists, variables: list[Array], rates: Sequence[Any], keys: list[Key]
    ) -> None:
        """Moves averages towards variables, with stochastic rounding."""

    def swap(self, first: list[Array], second: list[Array], offsets: Sequence[int]) -> None:
        """Exchanges two lists."""

    def all_finite(self, variables: list[Array], offsets: Sequence[int]) -> bool:
        """Whether no element is infinite or NaN."""


class Cpu:
    """The CPU, with two threads that share chunks."""

    def __init__(self, level: str) -> None:
        """Takes an instruction level."""
        self._level = level
        self.name = f"CPU, {level}"
        self._chunk_elements = int(native().CPU_CHUNK_ELEMENTS)
        self.chunk_bytes = 4 * self._chunk_elements

    def update(
        self, averages: Lists, variables: list[Array], rates: Sequence[Any], offsets: Sequence[int]
    ) -> None:
        """See Runner."""
        del offsets
        native().apply_moving_average(averages, variables, rates, self._level, threads=2)

    def update_split(
        self,
        averages: tuple[Lists, Lists],
        variables: list[Array],
        rates: Sequence[Any],
        offsets: Sequence[int],
    ) -> None:
        """See Runner."""
        del offsets
        native().apply_split_moving_average(*averages, variables, rates, self._level, threads=2)

    def update_stochastically(
        self, averages: Lists, variables: list[Array], rates: Sequence[Any], keys: list[Key]
    ) -> None:
        """See Runner."""
        native().apply_stochastic_average(averages, variables, rates, keys, self._level, threads=2)

    def swap(self, first: list[Array], second: list[Array], offsets: Sequence[int]) -> None:
        """See Runner."""
        del offsets
        native().swap(first, second, self._level)

    def all_finite(self, variables: list[Array], offsets: Sequence[int]) -> bool:
        """See Runner."""
        del offsets
        return bool(native().all_finite(variables, self._level, threads=2))


class Gpu:
    """Device 0, with images of one kind and tables of one form."""

    def __init__(self, image: str, form: str) -> None:
        """Takes what the images are called, and a form of table."""
        self._form = form
        self.name = f"GPU, {image}, {form} tables"
        self.chunk_bytes = int(native().GPU_CHUNK_BYTES)

    def update(
        self, averages: Lists, variables: list[Array], rates: Sequence[Any], offsets: Sequence[int]
    ) -> None:
        """See Runner."""
        native().gpu_apply_moving_average(averages, variables, rates, self._form, offsets)

    def update_split(
        self,
        averages: tuple[Lists, Lists],
        variables: list[Array],
        rates: Sequence[Any],
        offsets: Sequence[int],
    ) -> None:
        """See Runner."""
        native().gpu_apply_split_moving_average(*averages, variables, rates, self._form, offsets)

    def update_stochastically(
        self, averages: Lists, variables: list[Array], rates: Sequence[Any], keys: list[Key]
    ) -> None:
        """See Runner."""
        native().gpu_apply_stochastic_average(averages, variables, rates, keys, self._form)

    def swap(self, first: list[Array], second: list[Array], offsets: Sequence[int]) -> None:
        """See Runner."""
        native().gpu_swap(first, second, self._form, offsets)

    def all_finite(self, variables: list[Array], offsets: Sequence[int]) -> bool:
        """See Runner."""
        return bool(native().gpu_all_finite(variables, self._form, offsets))
