"""Contestants that update averages without TensorFlow: PyTorch, and C++ on NumPy arrays."""

from __future__ import annotations

import functools
import importlib.util
from typing import TYPE_CHECKING, Any

from tf_mavg import _native

from .. import device
from ..workloads import AVERAGES, VARIABLES
from .contestant import Contestant, Ground

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def has_torch() -> bool:
    """Whether torch is installed, and has the GPU if there is one."""
    if importlib.util.find_spec("torch") is None:
        return False
    import torch  # noqa: PLC0415 - an optional peer.

    return not device.has_gpu() or bool(torch.cuda.is_available())


def in_torch(ground: Ground, step: Callable[[list[Any], list[Any], float], None]) -> Contestant:
    """What PyTorch does with two lists of tensors, on as many threads as TensorFlow has."""
    import torch  # noqa: PLC0415 - an optional peer.

    torch.set_num_threads(device.THREADS)
    tensors = {role: list(torch_tensors(ground, role)) for role in (AVERAGES, VARIABLES)}
    return Contestant(
        functools.partial(step, tensors[AVERAGES], tensors[VARIABLES], ground.case.decay),
        lambda role: [tensor.float().cpu().numpy() for tensor in tensors[role]],
        torch.cuda.synchronize if device.has_gpu() else device.wait,
    )


def torch_tensors(ground: Ground, role: str) -> Iterator[Any]:
    """The values in memory that PyTorch allocates; it does not know NumPy's bfloat16."""
    import torch  # noqa: PLC0415 - an optional peer.

    dtype = getattr(torch, getattr(ground.case.dtypes, role))
    integer = {2: "int16", 4: "int32"}[ground.case.dtypes.bytes_of(role)]
    for value in ground.case.values(role):
        tensor = torch.from_numpy(value.view(integer)).view(dtype)
        yield tensor.cuda() if device.has_gpu() else tensor.clone()


def foreach(averages: list[Any], variables: list[Any], decay: float) -> None:
    """PyTorch's multi-tensor call."""
    import torch  # noqa: PLC0415 - an optional peer.

    torch._foreach_lerp_(averages, variables, 1 - decay)


def one_by_one(averages: list[Any], variables: list[Any], decay: float) -> None:
    """A call of PyTorch for each tensor."""
    for average, variable in zip(averages, variables, strict=True):
        average.lerp_(variable, 1 - decay)


def plain_loop(ground: Ground) -> Contestant:
    """The limit: a plain loop over the same bytes, each side in one array."""
    return in_one_array(ground, _native.plain_loop)


def kernel_alone(ground: Ground) -> Contestant:
    """Our kernel on such arrays, without TensorFlow."""
    level = _native.active_cpu_level()

    def update(averages: list[Any], variables: list[Any], rate: float, *, threads: int) -> None:
        _native.apply_moving_average([averages], variables, [rate], level, threads)

    return in_one_array(ground, update)


def in_one_array(ground: Ground, update: Callable[..., None]) -> Contestant:
    """A function of the compiled module on one array of averages and one of variables."""
    arrays = {role: ground.one_array(role) for role in (AVERAGES, VARIABLES)}
    return Contestant(
        functools.partial(
            update,
            [arrays[AVERAGES]],
            [arrays[VARIABLES]],
            1 - ground.case.decay,
            threads=device.THREADS,
        ),
        lambda role: ground.divided(arrays[role]),
    )


def plain_loop_on_many_arrays(ground: Ground) -> Contestant:
    """The limit's loop on as many arrays as there are variables, each divided among all threads."""
    arrays = {role: list(ground.case.values(role)) for role in (AVERAGES, VARIABLES)}
    return Contestant(
        functools.partial(
            _native.plain_loop,
            arrays[AVERAGES],
            arrays[VARIABLES],
            1 - ground.case.decay,
            device.THREADS,
        ),
        arrays.__getitem__,
    )
