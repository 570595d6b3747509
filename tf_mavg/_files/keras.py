"""The files of both Kerases, .keras and .weights.h5, read and written a tensor at a time.

A .keras file is a ZIP archive of a model.weights.h5 and descriptions of the model.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import h5py
import ml_dtypes
import numpy as np

from tf_mavg._files.damaged import reading
from tf_mavg._files.values import Spec
from tf_mavg._publishing import beside, check_is_new

if TYPE_CHECKING:
    from collections.abc import Iterator

# The member of a .keras file that holds the weights.
_WEIGHTS: Final = "model.weights.h5"


class KerasFile:
    """A file that is read.

    Attributes:
      path: Where it is.
      kind: Its format, for messages.
      specs: Shape and dtype of each value by key, in the order of the file.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        """Opens a file.

        Args:
          path: The file.
          folder: Where an archive is unpacked to.

        Raises:
          ValueError: If it is damaged.
        """
        self.path = path
        self.kind = f"a {'.keras' if path.suffix == '.keras' else '.h5'} file"
        self.weights = path
        self.specs: dict[str, Spec] = {}
        with reading(path):
            if path.suffix == ".keras":
                unpacked = Path(tempfile.mkdtemp(dir=folder))
                with zipfile.ZipFile(path) as archive:
                    self.weights = Path(archive.extract(_WEIGHTS, unpacked))
            self._file = h5py.File(self.weights, "r")
            self._file.visititems(self._note)

    def read(self, key: str) -> Any:
        """A value as an array; raises ValueError if it is damaged."""
        with reading(self.path):
            dataset = self._file[key]
            value = dataset[()]
        return value.view(ml_dtypes.bfloat16) if _is_bfloat16(dataset) else value

    def _note(self, key: str, one: Any) -> None:
        if isinstance(one, h5py.Dataset):
            dtype = "bfloat16" if _is_bfloat16(one) else one.dtype.name
            self.specs[key] = Spec(tuple(one.shape), dtype)


class KerasWriter:
    """A copy of a file, whose values are replaced."""

    def __init__(self, weights: Path) -> None:
        """Opens the copy."""
        self._file = h5py.File(weights, "r+")

    def write(self, key: str, value: Any) -> None:
        """Replaces a value."""
        dataset = self._file[key]
        dataset[...] = np.asarray(value).view(dataset.dtype) if _is_bfloat16(dataset) else value

    def note(self, key: str, text: str) -> None:
        """Adds a text as an attribute of the file, which Keras leaves alone."""
        self._file.attrs[key] = text

    def finish(self) -> None:
        """Closes the copy."""
        self._file.close()


@contextlib.contextmanager
def keras_file_like(source: KerasFile, output: Path) -> Iterator[KerasWriter]:
    """A context with the writer of a file, which is there when the context is left.

    What is not a weight is that of `source`.

    Raises:
      FileExistsError: If there is one of that name already.
    """
    check_is_new(output, output)
    with beside(output) as folder:
        weights = folder / _WEIGHTS
        shutil.copyfile(source.weights, weights)
        writer = KerasWriter(weights)
        try:
            yield writer
        finally:
            writer.finish()
        made = weights
        if source.path.suffix == ".keras":
            made = folder / "archive"
            with zipfile.ZipFile(source.path) as old, zipfile.ZipFile(made, "w") as new:
                for name in old.namelist():
                    if name == _WEIGHTS:
                        new.write(weights, name)
                    else:
                        with reading(source.path):
                            member = old.read(name)
                        new.writestr(name, member)
        check_is_new(output, output)
        made.replace(output)


def _is_bfloat16(dataset: Any) -> bool:
    """Whether Keras has written bfloat16, which HDF5 does not know."""
    return bool(dataset.attrs.get("dtype") == "bfloat16")
