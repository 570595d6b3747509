from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

CPU_CHUNK_ELEMENTS: int

def build_info() -> dict[str, str]: ...
def supported_cpu_level() -> str: ...
def active_cpu_level() -> str: ...
def chunk_count(elements: Sequence[int], chunk_elements: int) -> int: ...
def chunk_spans(
    elements: Sequence[int], chunk_elements: int, begin: int, end: int
) -> list[tuple[int, int, int]]: ...
def pair_of_chunk(first_chunk: Sequence[int], chunk: int) -> int: ...
def update(
    averages: Sequence[NDArray[Any]],
    variables: Sequence[NDArray[Any]],
    decay: float,
    level: str,
    threads: int = 1,
    chunk_elements: int = ...,
) -> None: ...
def swap(first: Sequence[NDArray[Any]], second: Sequence[NDArray[Any]], level: str) -> None: ...
def plain_loop(
    averages: Sequence[NDArray[Any]],
    variables: Sequence[NDArray[Any]],
    decay: float,
    threads: int,
) -> None: ...

GPU_CHUNK_BYTES: int

def gpu_images() -> list[dict[str, Any]]: ...
def gpu_image_for(compute_capability: int, form: str, force_ptx: bool = False) -> int | None: ...
def gpu_form(driver_version: int, compute_capability: int) -> str: ...
def gpu_driver() -> dict[str, Any]: ...
def gpu_tables(
    elements: Sequence[int], first_bytes: int, form: str
) -> list[tuple[int, int, int]]: ...
def gpu_update(
    averages: Sequence[NDArray[Any]],
    variables: Sequence[NDArray[Any]],
    decay: float,
    form: str,
    average_offsets: Sequence[int] = ...,
    variable_offsets: Sequence[int] = ...,
) -> None: ...
def gpu_swap(
    first: Sequence[NDArray[Any]],
    second: Sequence[NDArray[Any]],
    form: str,
    first_offsets: Sequence[int] = ...,
    second_offsets: Sequence[int] = ...,
) -> None: ...
