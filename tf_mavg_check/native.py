"""The compiled module tf_mavg._native, without the package around it, which needs TensorFlow."""

from __future__ import annotations

import functools
import importlib.util
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from types import ModuleType

NAME: Final = "tf_mavg._native"
# By rising demands on the processor.
LEVELS: Final = ("baseline", "avx2", "avx512")


@functools.cache
def native() -> Any:
    """The module, of the tf_mavg that Python would import.

    Raises:
      ImportError: That tf_mavg has no compiled part, or there is none.
    """
    return sys.modules.get(NAME) or _load(_library())


def levels() -> tuple[str, ...]:
    """The instruction levels that this processor runs."""
    return LEVELS[: LEVELS.index(native().supported_cpu_level()) + 1]


def _library() -> Path:
    spec = importlib.util.find_spec("tf_mavg")  # Imports nothing.
    folders = [Path(folder) for folder in (spec and spec.submodule_search_locations) or []]
    for folder in folders:
        for suffix in EXTENSION_SUFFIXES:
            if (library := folder / f"_native{suffix}").exists():
                return library
    place = ", ".join(map(str, folders)) or "no folder"
    message = (
        f"A check needs the compiled part of tf_mavg for Python {sys.version.split()[0]}. "
        f"Received: {place} without it. Install the wheel of this Python, and run the command "
        "from a folder other than that of the sources."
    )
    raise ImportError(message)


def _load(library: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(NAME, library)
    if spec is None or spec.loader is None:
        message = f"{library} is no module of Python."
        raise ImportError(message)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[NAME] = module  # An import of tf_mavg later on shares it.
    return module
