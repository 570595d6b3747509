"""Who swaps averages and variables for the time of a `with` block: there and back again."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import keras
import tensorflow as tf

import tf_mavg

from .. import device
from ..names import DROP_IN, KERAS
from ..workloads import EVERYONE, VARIABLES
from .contestant import Contestant, Entrant, Ground, outside_graphs
from .swaps import drop_in

if TYPE_CHECKING:
    from collections.abc import Callable


def nothing() -> None:
    """What happens in a block that is timed for its ends alone."""


def of_drop_in(ground: Ground, inside: Callable[[], None] = nothing) -> Contestant:
    """The context of the drop-in for TensorFlow's class; `inside` is called in its block."""
    average, contestant = drop_in(ground)
    return dataclasses.replace(contestant, step=context(average, inside))


def of_keras(ground: Ground, inside: Callable[[], None] = nothing) -> Contestant:
    """The context of the optimizer of Keras."""
    with tf.device(device.name()):
        weights = [keras.Variable(value) for value in ground.case.values(VARIABLES)]
        optimizer = tf_mavg.keras.MovingAverage(keras.optimizers.SGD(), ground.case.decay)
        optimizer.build(weights)
    averages = [optimizer.average(weight) for weight in weights]
    ground.set_averages(averages)
    return outside_graphs(context(optimizer, inside), averages, weights)


def context(averages: Any, inside: Callable[[], None]) -> Callable[[], None]:
    """A step that enters the context and leaves it."""

    def step() -> None:
        with averages.swapped():
            inside()

    return step


SWAP_CONTEXTS: Final = (
    Entrant(DROP_IN, "eager", of_drop_in, EVERYONE, float32_only=True),
    Entrant(KERAS, "eager", of_keras, EVERYONE, float32_only=True),
)
