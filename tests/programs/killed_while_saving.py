"""Is killed when half of a model's file is written; a program for test_whole_files.

Usage: killed_while_saving.py PATH.
"""

import os
import signal
import sys
from pathlib import Path

import keras

from tf_mavg._keras.files.whole import written_whole


class Model(keras.Sequential):
    """A model whose files end early."""

    def save(self, filepath, **_: object) -> None:
        """Writes half of a file."""
        Path(filepath).write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)


model = Model([keras.Input((2,)), keras.layers.Dense(1)])
with written_whole(model):
    model.save(sys.argv[1])
