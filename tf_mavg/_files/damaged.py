"""A file that is damaged is refused in one sentence, whatever its reader says."""

from __future__ import annotations

import contextlib
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING

import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """A context in which a file is read.

    Raises:
      OSError: If the system refuses to read it.
      ValueError: If it is damaged.
    """
    try:
        yield
    # What TensorFlow, zipfile and h5py raise, which have no error in common.
    except (
        *(tf.errors.OpError, zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError),
        *(ArithmeticError, LookupError, RuntimeError, TypeError, ValueError),
    ) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        message = (
            f"An input must be a whole file, as it was written. Received: {path}, which cannot be "
            f"read: {error}"
        )
        raise ValueError(message) from error
