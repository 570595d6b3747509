"""The strategies of one process, by name."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

# Each of them on logical CPUs, of which the names are given.
STRATEGIES: dict[str, Callable[[list[str]], Any]] = {
    "no strategy": lambda cpus: tf.distribute.get_strategy(),  # noqa: ARG005 - needs none.
    "one device": lambda cpus: tf.distribute.OneDeviceStrategy(cpus[1]),
    # Eager collectives of several strategies in one process would be taken for each other's.
    "mirrored": lambda cpus: tf.distribute.MirroredStrategy(
        cpus[:2], tf.distribute.ReductionToOneDevice()
    ),
    "central storage": lambda cpus: tf.distribute.experimental.CentralStorageStrategy(
        cpus[:2], cpus[0]
    ),
}


def components(variable: Any) -> list[tf.Variable]:
    """The variables of one device each that a variable is made of, in this process."""
    return list(getattr(variable, "values", [variable]))
