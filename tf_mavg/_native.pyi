from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

CPU_CHUNK_ELEMENTS: int

def build_info() -> dict[str, str]: ...
def supported_cpu_level() -> str: ...
def active_cpu_level() -> str: ...
def chunk_count(elements: Sequence[int], chunk_elements: int) -> int: ...
def chunk_spans(
    elements: Sequence[int], chunk_elements: int, begin: int, end: int
) -> list[tuple[int, int, int]]: ...
def position_of_chunk(first_chunk: Sequence[int], chunk: int) -> int: ...
def apply_moving_average(
    averages: Sequence[Sequence[NDArray[Any]]],
    variables: Sequence[NDArray[Any]],
    rates: Sequence[float],
    level: str,
    threads: int = 1,
    chunk_elements: int = ...,
) -> None: ...
def apply_split_moving_average(
    averages: Sequence[Sequence[NDArray[Any]]],
    remainders: Sequence[Sequence[NDArray[Any]]],
    variables: Sequence[NDArray[Any]],
    rates: Sequence[float],
    level: str,
    threads: int = 1,
    chunk_elements: int = ...,
) -> None: ...
def apply_stochastic_average(
    averages: Sequence[Sequence[NDArray[Any]]],
    variables: Sequence[NDArray[Any]],
    rates: Sequence[float],
    keys: Sequence[tuple[int, int, int]],
    level: str,
    threads: int = 1,
    chunk_elements: int = ...,
) -> None: ...
def count_split_faults(
    begin: int, end: int, variable: float, rate: float, level: str, threads: int = 1
) -> int: ...
def random_bits(key: tuple[int, int, int], offset: int, count: int) -> NDArray[np.uint32]: ...
def round_stochastically(
    numbers: NDArray[np.float32], random: NDArray[np.uint32], dtype: str
) -> NDArray[np.uint16]: ...
def swap(first: Sequence[NDArray[Any]], second: Sequence[NDArray[Any]], level: str) -> None: ...
def all_finite(
    variables: Sequence[NDArray[Any]], level: str, threads: int = 1, chunk_elements: int = ...
) -> bool: ...
def row_clock(capacity: int) -> NDArray[np.float64]: ...
def one_minus_exp(x: float) -> float: ...
def log_of_decay(rate: float) -> float: ...
def catch_up_rows(
    average: NDArray[Any],
    variable: NDArray[Any],
    seen: NDArray[Any],
    clock: NDArray[Any],
    indices: NDArray[Any],
    level: str,
    threads: int = 1,
) -> None: ...
def catch_up_all_rows(
    average: NDArray[Any],
    variable: NDArray[Any],
    seen: NDArray[Any],
    clock: NDArray[Any],
    level: str,
    threads: int = 1,
) -> None: ...
def advance_row_clock(clock: NDArray[Any], rate: float) -> bool: ...
def plain_loop(
    averages: Sequence[NDArray[Any]],
    variables: Sequence[NDArray[Any]],
    rate: float,
    threads: int,
) -> None: ...
def same_objects(
    first: list[Any] | tuple[Any, ...], second: list[Any] | tuple[Any, ...]
) -> bool: ...

GPU_CHUNK_BYTES: int

def gpu_images() -> list[dict[str, Any]]: ...
def gpu_image_for(compute_capability: int, form: str, force_ptx: bool = False) -> int | None: ...
def gpu_form(driver_version: int, compute_capability: int) -> str: ...
def gpu_driver() -> dict[str, Any]: ...
def gpu_tables(
    elements: Sequence[int], depth: int, element_bytes: int, form: str
) -> list[tuple[int, int, int]]: ...
def gpu_apply_moving_average(
    averages: Sequence[Sequence[NDArray[Any]]],
    variables: Sequence[NDArray[Any]],
    rates: Sequence[float],
    form: str,
    offsets: Sequence[int] = ...,
) -> None: ...
def gpu_apply_split_moving_average(
    averages: Sequence[Sequence[NDArray[Any]]],
    remainders: Sequence[Sequence[NDArray[Any]]],
    variables: Sequence[NDArray[Any]],
    rates: Sequence[float],
    form: str,
    offsets: Sequence[int] = ...,
) -> None: ...
def gpu_apply_stochastic_average(
    averages: Sequence[Sequence[NDArray[Any]]],
    variables: Sequence[NDArray[Any]],
    rates: Sequence[float],
    keys: Sequence[tuple[int, int, int]],
    form: str,
    offsets: Sequence[int] = ...,
) -> None: ...
def gpu_swap(
    first: Sequence[NDArray[Any]],
    second: Sequence[NDArray[Any]],
    form: str,
    offsets: Sequence[int] = ...,
) -> None: ...
def gpu_all_finite(
    variables: Sequence[NDArray[Any]], form: str, offsets: Sequence[int] = ...
) -> bool: ...

# Average, variable, counters and clock.
_RowTable: TypeAlias = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]

def gpu_catch_up_rows(
    tables: Sequence[_RowTable], indices: Sequence[NDArray[Any]], offsets: Sequence[int] = ...
) -> None: ...
def gpu_catch_up_all_rows(tables: Sequence[_RowTable], offsets: Sequence[int] = ...) -> None: ...
def gpu_advance_row_clocks(
    tables: Sequence[_RowTable], rate: float, offsets: Sequence[int] = ...
) -> None: ...
