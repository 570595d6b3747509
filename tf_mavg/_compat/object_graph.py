"""Private names: what an object checkpoint tells of its objects; tests/compat probes it."""

from __future__ import annotations

from typing import Any

from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph


def object_graph(serialized: bytes) -> Any:
    """The graph of objects of a checkpoint: nodes with children, attributes and slot variables."""
    return TrackableObjectGraph.FromString(serialized)
