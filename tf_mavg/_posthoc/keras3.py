"""The callback that takes snapshots, of Keras 3."""

from __future__ import annotations

import keras

from tf_mavg._posthoc.callbacks import SnapshotSaving


class AverageSnapshots(SnapshotSaving, keras.callbacks.Callback):  # type: ignore[misc]
    __doc__ = SnapshotSaving.__doc__
    __module__ = "tf_mavg.keras"
