"""The MovingAverage optimizers of a model: those that train it, and those that it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tf_mavg._keras.files.state import AveragingState

if TYPE_CHECKING:
    from collections.abc import Iterator


def averaging_optimizers_of(model: Any) -> list[Any]:
    """The MovingAverages among a model's attributes, each alone or in a LossScaleOptimizer.

    Args:
      model: A model. What `compile` was given comes first, the others follow in the order in which
        they became attributes, or members of a list or dictionary that is one.
    """
    found = {}
    for one in [getattr(model, "optimizer", None), *_members(vars(model).values())]:
        for optimizer in (one, getattr(one, "inner_optimizer", None)):
            if isinstance(optimizer, AveragingState):
                found[id(optimizer)] = optimizer
    return list(found.values())


def _members(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from value
        elif isinstance(value, dict):
            yield from value.values()
        else:
            yield value
