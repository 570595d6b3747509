"""Private names of tf.distribute, one function a trick; tests/compat probes each."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow.python.distribute import ps_values, tpu_values, values, values_util
from tensorflow.python.distribute.sharded_variable import ShardedVariable
from tensorflow.python.training.saving.saveable_object import SaveableObject, SaveSpec


def is_sharded(variable: object) -> bool:
    """Whether a variable is one whole whose shards are variables of their own."""
    return isinstance(variable, ShardedVariable)


def is_on_tpus(variable: object) -> bool:
    """Whether a variable is one of TPUStrategy."""
    kinds = (tpu_values.TPUVariableMixin, tpu_values.TPULazyDistributedVariable)
    return isinstance(variable, kinds)


def has_a_value_a_worker(variable: object) -> bool:
    """Whether each worker of parameter servers has a value of its own for a variable."""
    return isinstance(variable, ps_values.PerWorkerVariable)


def components_of(variable: Any) -> list[tf.Variable]:
    """The plain variables, each of one device, that a variable is made of in this process."""
    if isinstance(variable, ShardedVariable):
        return [one for shard in variable.variables for one in components_of(shard)]
    if isinstance(variable, values.DistributedVariable):
        return list(variable.values)
    while isinstance(variable, ps_values.AggregatingVariable | ps_values.CachingVariable):
        variable = variable.get()
    return [variable]


def around_components(variable: Any, components: list[tf.Variable], name: str) -> Any:
    """A variable of the same kind as another one, made of given components.

    Args:
      variable: The variable whose kind it has.
      components: As many as `components_of(variable)`, in their order.
      name: The name, where the kind has one of its own.
    """
    if isinstance(variable, ShardedVariable):
        rest = list(components)
        shards = []
        for shard in variable.variables:
            count = len(components_of(shard))
            shards.append(around_components(shard, rest[:count], name))
            rest = rest[count:]
        return ShardedVariable(shards, name=name)
    aggregation = getattr(variable, "aggregation", None)
    if aggregation == tf.VariableAggregation.MEAN and not components[0].dtype.is_floating:
        aggregation = tf.VariableAggregation.ONLY_FIRST_REPLICA  # Integers have no mean.
    if isinstance(variable, values.DistributedVariable):
        return type(variable)(strategy_of(variable), components, aggregation)
    if isinstance(variable, ps_values.AggregatingVariable):
        return type(variable)(strategy_of(variable), components[0], aggregation)
    return components[0]


def name_of(variable: Any) -> str:
    """The name that a variable was given; all sharded ones call themselves ShardedVariable."""
    if isinstance(variable, ShardedVariable):
        return variable.variables[0].name.rpartition("/part_")[0]  # type: ignore[no-any-return]
    return variable.name  # type: ignore[no-any-return]


def strategy_of(variable: Any) -> Any:
    """The strategy in whose scope a variable was made; None if it was in none."""
    return getattr(variable, "_distribute_strategy", None)


def has_a_component_a_replica(variable: Any) -> bool:
    """Whether each replica of a variable's strategy has a component of its own."""
    return isinstance(variable, values.DistributedVariable)


def is_written_together(variable: Any) -> bool:
    """Whether all replicas have equal components of a variable, since each write is one of all."""
    return isinstance(variable, values.MirroredVariable)


def replicas_here(strategy: Any) -> range:
    """The numbers of this process's replicas among those of all workers."""
    count = len(strategy.extended.worker_devices)
    first = getattr(strategy.extended, "_id_in_cluster", 0) * count
    return range(first, first + count)


def replica_at_hand() -> int | None:
    """The index, in this process, of the replica whose code runs; None in cross-replica context.

    Outside of any scope TensorFlow has a replica context too, of the default strategy.
    """
    # What has_strategy() reads, by way of an exception where there is none: too slow for each step.
    if not tf.compat.v1.get_default_graph()._distribution_strategy_stack:
        return None
    if not tf.distribute.has_strategy() or tf.distribute.in_cross_replica_context():
        return None
    return values_util.get_current_replica_id_as_int()  # type: ignore[no-any-return]


def compiles_each_replica(strategy: Any) -> bool:
    """Whether XLA compiles what replicas run for each of them, as on GPUs, or for all as one."""
    return all("GPU" in device for device in strategy.extended.worker_devices)


def replicas_must_merge() -> bool:
    """Whether the replicas whose code is traced add up gradients by meeting in one place.

    They cannot meet in a conditional, of which each replica's would be a graph of its own.
    """
    strategy = tf.distribute.get_strategy()
    return (
        tf.inside_function()
        and replica_at_hand() is not None
        and strategy.num_replicas_in_sync > 1
        and bool(strategy.extended._use_merge_call())
    )


def has_several_workers(strategy: Any) -> bool:
    """Whether a strategy's replicas are in several processes, which run the same program."""
    return bool(getattr(getattr(strategy, "extended", None), "_in_multi_worker_mode", bool)())


def all_reduce_of_ones(strategy: Any, seconds: int) -> int:
    """Adds up a one of each replica of all workers.

    Its dtype and shape are unlike those of gradients, so a worker that is at another communication
    instead fails at once, as this one does.

    Args:
      strategy: A strategy with several workers.
      seconds: How long to wait for the others.

    Raises:
      tf.errors.OpError: If another worker does something else, or nothing in that time.
    """
    options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=seconds)

    def add_up() -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        ones = tf.ones([1, 1, 1, 1, 1, 1, 1], tf.int64)
        return context.all_reduce(tf.distribute.ReduceOp.SUM, ones, options)

    def run() -> Any:
        return strategy.experimental_local_results(strategy.run(add_up))[0]

    traced = tf.function(run, autograph=False)  # Eagerly it would warn that it is slow.
    return int(tf.reshape(traced(), []))


def steps_are_under_way(strategy: Any) -> bool:
    """Whether workers may be running steps that a coordinator has scheduled."""
    coordinator = getattr(strategy, "_cluster_coordinator", None)
    return coordinator is not None and not coordinator.done()


class FetchedSaveable(SaveableObject):  # type: ignore[misc]
    """What a checkpoint saves of a value that is fetched for it: by a save, not by a restore."""

    def __init__(self, variable: Any, name: str) -> None:
        """Saves the value of a variable.

        Args:
          variable: It has a dtype and a device, `fetch()`, which returns its value, and `assign`.
          name: The key in the checkpoint.
        """
        self._assign = variable.assign
        spec = SaveSpec(variable.fetch, "", name, variable.dtype, variable.device)
        super().__init__(variable.fetch, [spec], name)

    def restore(self, restored_tensors: list[tf.Tensor], restored_shapes: object) -> Any:
        """Hands a restored value over."""
        del restored_shapes
        return self._assign(restored_tensors[0])
