"""A model's file appears whole or not at all, where Keras would write over the old one."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tf_mavg._native import SureContext
from tf_mavg._publishing import beside

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable


def written_whole(model: Any) -> contextlib.AbstractContextManager[None]:
    """A context in which `save` and `save_weights` of a model write beside a file, and rename.

    A process that is killed, or a full disk, leaves the old file. A folder, and what is no path of
    this file system, is written as ever.
    """
    names = ("save", "save_weights")

    def enter() -> None:
        # Past the model's __setattr__, which would track it.
        model.__dict__.update({name: _whole(getattr(model, name)) for name in names})

    def leave(_: BaseException | None) -> None:
        for name in names:
            model.__dict__.pop(name, None)

    return SureContext(enter, leave)


def _whole(write: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(write)
    def write_beside(path: Any, *args: Any, **kwargs: Any) -> None:
        target = Path(path)
        if not target.suffix or "://" in str(path):
            write(path, *args, **kwargs)
            return
        with beside(target) as folder:
            made = folder / target.name
            write(str(made), *args, **kwargs)
            made.replace(target)

    return write_beside
