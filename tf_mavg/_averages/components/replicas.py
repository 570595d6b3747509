"""From a variable to its components, and to those that the code at hand is to touch.

Under tf.distribute a variable is made of plain variables of one device each: one a replica, or one
a shard. Its average is made of averages of these, each beside its own, so an update crosses no
device and needs no communication. Averaging is linear: the average of an aggregate of components is
the aggregate of their averages.

In replica context a replica touches its own component, and a variable that has but one is the first
replica's. An average that one replica has for all is touched by that one; see shares.py. In
cross-replica context, and outside of any scope, all components are touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import tensorflow as tf

from tf_mavg._averages.components.creation import create_average, create_remainder
from tf_mavg._averages.components.owned import make_owned
from tf_mavg._compat.distribute import (
    all_reduce_of_ones,
    around_components,
    compiles_each_replica,
    components_of,
    has_a_component_a_replica,
    has_a_value_a_worker,
    has_several_workers,
    is_on_tpus,
    is_written_together,
    name_of,
    replica_at_hand,
    steps_are_under_way,
)
from tf_mavg._compat.tensorflow import compiles_with_xla

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tf_mavg._averages.components.shares import Owner
    from tf_mavg._averages.entry import Entry

    # As create_average.
    Create = Callable[[tf.Variable, str, tf.DType, tf.Variable], tf.Variable]

Pair = tuple[Any, tf.Variable]  # A component of an average, and that of its variable.


def check_can_average(variable: Any) -> None:
    """Raises TypeError if a variable's values are where no op of ours can reach them."""
    if isinstance(variable, tf.experimental.dtensor.DVariable):
        kind = "a DTensor variable; average it with tf.train.ExponentialMovingAverage"
    elif is_on_tpus(variable):
        kind = "one of TPUStrategy; average it with tf.train.ExponentialMovingAverage"
    elif has_a_value_a_worker(variable):
        kind = "which has a value for each worker; make it without per_worker_variable=True"
    else:
        return
    message = (
        "A variable must lie on CPUs and GPUs, plain or of a tf.distribute strategy, to be "
        f"averaged. Received: {name_of(variable)!r}, {kind}."
    )
    raise TypeError(message)


def has_one_value(variable: Any) -> bool:
    """Whether all components of a variable that are one a replica have one value."""
    if not has_a_component_a_replica(variable) or len(components_of(variable)) == 1:
        return True
    return bool(is_written_together(variable))


def average_beside(
    variable: Any,
    name: str,
    dtype: tf.DType,
    owner: Owner | None = None,
    create: Create = create_average,
) -> tuple[Any, list[Pair]]:
    """Makes the average of a variable, component by component.

    It passes any strategy's creators of variables: they might place, partition or broadcast it, and
    wait for other workers.

    Args:
      variable: The variable.
      name: The last part of the average's name.
      dtype: Its dtype.
      owner: The replica that alone is to have it, if one is.
      create: What makes a component.

    Returns:
      The average, of the variable's own kind if it has all components, and the pairs of components.
    """
    if owner is not None:
        return make_owned(variable, owner, name, dtype, create)
    pairs = [(create(one, name, dtype, one), one) for one in components_of(variable)]
    averages, _ = two_lists(pairs)
    if len(pairs) == 1 and pairs[0][1] is variable:
        (whole,) = averages
    else:
        whole = around_components(variable, averages, f"{name_of(variable)}/{name}")
    if tf.distribute.has_strategy() and not tf.compat.v1.executing_eagerly_outside_functions():
        _have_initialized(whole)
    return whole, pairs


def remainder_beside(variable: Any, name: str, owner: Owner | None) -> tuple[Any, list[Any]]:
    """Makes what belongs to the split average of a variable; arguments as of `average_beside`.

    Returns:
      It, and its components, in the order of the average's.
    """
    whole, pairs = average_beside(variable, name, tf.int16, owner, create_remainder)
    return whole, [component for component, _ in pairs]


def _have_initialized(average: Any) -> None:
    """Has a graph initialize and save an average with its other variables."""
    if not any(one is average for one in tf.compat.v1.global_variables()):
        tf.compat.v1.add_to_collection(tf.compat.v1.GraphKeys.GLOBAL_VARIABLES, average)


def two_lists(pairs: Sequence[Pair]) -> tuple[list[Any], list[tf.Variable]]:
    """The components of averages, and those of their variables."""
    return [average for average, _ in pairs], [variable for _, variable in pairs]


def pairs_at_hand(entries: Sequence[Entry]) -> list[Pair]:
    """The components, of averages and their variables, that the code at hand is to touch."""
    at_hand = {id(component) for component in components_at_hand(entries)}
    return [pair for entry in entries for pair in entry.pairs if id(pair[1]) in at_hand]


def remainders_at_hand(entries: Sequence[Entry]) -> list[Any]:
    """For each of `pairs_at_hand` the remainder of its average; None if that is not split."""
    at_hand = {id(component) for component in components_at_hand(entries)}
    return [
        remainder
        for entry in entries
        for (_, component), remainder in zip(
            entry.pairs, entry.remainders or [None] * len(entry.pairs), strict=True
        )
        if id(component) in at_hand
    ]


def components_at_hand(entries: Sequence[Entry]) -> list[tf.Variable]:
    """The components of variables that the code at hand speaks of."""
    replica, strategy = replica_at_hand(), tf.distribute.get_strategy()
    chosen: list[tf.Variable] = []
    for entry in entries:
        components = components_of(entry.variable)
        if replica is None:
            chosen.extend(components)
        elif has_a_component_a_replica(entry.variable) and entry.strategy is strategy:
            chosen.append(components[replica])
        elif replica == 0:
            chosen.extend(components)
    return chosen


def check_can_compile(components: Sequence[tf.Variable]) -> None:
    """Raises RuntimeError in a function that XLA compiles if it could not reach all components."""
    # In a graph of TensorFlow 1 not each variable knows its device.
    if not tf.compat.v1.executing_eagerly_outside_functions() or not compiles_with_xla():
        return
    devices = sorted({component.device for component in components})
    if replica_at_hand() is not None:
        strategy = tf.distribute.get_strategy()
        if not compiles_each_replica(strategy):
            devices = sorted({*devices, *strategy.extended.worker_devices})
    if len(devices) > 1:
        message = (
            "XLA compiles a step for one device. Received: a step with variables on "
            f"{len(devices)} devices, {', '.join(devices)}; leave jit_compile=True away, or train "
            "on GPUs alone and set it for the function that strategy.run() runs, which XLA then "
            "compiles for each GPU."
        )
        raise RuntimeError(message)


# How long a worker waits for the others to swap as well.
_SECONDS_TO_AGREE: Final = 5


def check_all_workers_swap(strategies: Iterable[Any]) -> None:
    """Raises RuntimeError unless all workers of the strategies are about to swap."""
    try:
        for strategy in filter(has_several_workers, strategies):
            all_reduce_of_ones(strategy, _SECONDS_TO_AGREE)
    except tf.errors.OpError as error:
        message = (
            "All workers must swap averages and variables at the same point of the program. "
            "Received: a swap of this worker while another one does something else; restart them, "
            "since their communication has failed."
        )
        raise RuntimeError(message) from error


def check_can_swap(strategies: Iterable[Any]) -> None:
    """Raises RuntimeError where a swap would be one of some components, or meet a step."""
    if replica_at_hand() is not None:
        message = (
            "Averages and variables change places on all replicas at once. Received: a swap in "
            "replica context; make it outside of strategy.run()."
        )
        raise RuntimeError(message)
    if any(map(steps_are_under_way, strategies)):
        message = (
            "Averages and variables cannot change places while workers train. Received: a swap "
            "before all scheduled steps are done; call the coordinator's join() first."
        )
        raise RuntimeError(message)
