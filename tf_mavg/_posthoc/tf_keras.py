"""The callback that takes snapshots, of tf_keras."""

from __future__ import annotations

import tf_keras

from tf_mavg._posthoc.callbacks import SnapshotSaving


class AverageSnapshots(SnapshotSaving, tf_keras.callbacks.Callback):  # type: ignore[misc]
    __doc__ = SnapshotSaving.__doc__
    __module__ = "tf_mavg.tf_keras"
