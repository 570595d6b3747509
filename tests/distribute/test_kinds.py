"""Variables with one component: of one device, of a central storage, of a cache."""

import numpy as np
import pytest
import tensorflow as tf
from oracle import BFLOAT16, FLOAT32, FLOAT64, assert_same_bits, normal, updated
from strategies import STRATEGIES, components
from tensorflow.python.distribute import ps_values
from tensorflow.python.distribute.distribute_utils import cache_variable_reads
from tensorflow.python.distribute.sharded_variable import ShardedVariable

import tf_mavg

single = pytest.mark.parametrize("kind", ["no strategy", "one device", "central storage"])


def aggregating(cpus):
    """A variable of several replicas that keep one copy and a cache of it.

    ParameterServerStrategy makes such ones where a worker has several GPUs.
    """
    strategy = STRATEGIES["central storage"](cpus)
    one = ps_values.CachingVariable(tf.Variable([1.0]))
    mean = tf.VariableAggregation.MEAN
    return strategy, ps_values.AggregatingVariable(strategy, one, mean)


@single
@pytest.mark.parametrize("traced", [False, True], ids=["eager", "function"])
def test_replicas_update_one_copy_once_a_step(kind, traced, logical_cpus, rng):
    strategy = STRATEGIES[kind](logical_cpus)
    dtypes = [FLOAT32, FLOAT64, BFLOAT16]
    with strategy.scope():
        variables = [tf.Variable(tf.zeros([5], dtype.name)) for dtype in dtypes]
    averages = tf_mavg.ExponentialMovingAverage(0.9)
    averages.create_averages(variables)

    def apply():
        averages.apply(variables)

    def step():
        strategy.run(apply)

    if traced:
        step = tf.function(step, autograph=False)
    expected = [np.zeros(5, dtype) for dtype in dtypes]
    for _ in range(10):
        for variable in variables:
            variable.assign(normal(rng, 5, variable.dtype.as_numpy_dtype))
        step()
        for i, variable in enumerate(variables):
            expected[i] = updated(expected[i], variable.numpy(), 0.9)
    for value, variable in zip(expected, variables, strict=True):
        assert_same_bits(averages.average(variable).numpy(), value)
        assert averages.average(variable).device == variable.device


@single
def test_a_checkpoint_of_one_copy_is_that_of_no_strategy(kind, logical_cpus, tmp_path):
    kinds = [kind, "no strategy"]
    holders = []
    for value, one in enumerate(kinds):
        with STRATEGIES[one](logical_cpus).scope():
            variable = tf.Variable([float(value)])
        averages = tf_mavg.ExponentialMovingAverage(0.5)
        averages.create_averages([variable])
        variable.assign_add([4.0])
        averages.apply([variable])
        holders.append((variable, averages))
    checkpoints = [tf.train.Checkpoint(variable=v, averages=a) for v, a in holders]
    path = checkpoints[0].save(str(tmp_path / "c"))
    checkpoints[1].restore(path).assert_consumed()
    variable, averages = holders[1]
    assert [variable.numpy(), averages.average(variable).numpy()] == [[4.0], [2.0]]


def test_an_update_sees_values_and_not_a_cache_of_them(logical_cpus):
    strategy, variable = aggregating(logical_cpus)
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    averages.create_averages([variable])
    with cache_variable_reads():
        assert variable.get().read_value().numpy() == [1.0]
        variable.assign([3.0])
        assert variable.get().read_value().numpy() == [1.0]  # A cache holds what it was.
        strategy.run(lambda: [averages.apply([variable]), None][1])
    average = averages.average(variable)
    assert isinstance(average, ps_values.AggregatingVariable)
    assert average.numpy() == [2.0]
    with averages.swapped():
        assert [variable.numpy(), average.numpy()] == [[2.0], [3.0]]
    assert [variable.numpy(), average.numpy()] == [[3.0], [2.0]]


def test_a_cached_variable_that_aggregates_goes_into_a_checkpoint(logical_cpus, tmp_path):
    _, variable = aggregating(logical_cpus)
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    averages.create_averages([variable])
    variable.assign([3.0])
    averages.apply([variable])
    manager = tf_mavg.SwappingCheckpointManager(
        tf.train.Checkpoint(variable=variable, averages=averages), averages, str(tmp_path)
    )
    path = manager.save()
    plain = tf.Variable([0.0])
    tf.train.Checkpoint(variable=plain).restore(path).expect_partial()
    assert plain.numpy() == [2.0]
    for one in (*components(variable), *components(averages.average(variable))):
        one.assign([0.0])
    manager.restore(path)
    assert [variable.numpy(), averages.average(variable).numpy()] == [[3.0], [2.0]]


def shards_one_by_one(rows, folder):
    """A sharded variable whose shards are averaged as variables of their own, as in tf_keras.

    Args:
      rows: How many rows each shard has.
      folder: For the manager.

    Returns:
      All variables and averages, and a manager of checkpoints.
    """
    parts = [tf.Variable(tf.ones(count), name=f"table/part_{i}") for i, count in enumerate(rows)]
    table = ShardedVariable(parts, name="table")
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    averages.create_averages(parts)
    for part in parts:
        part.assign_add(tf.fill(part.shape, 2.0))
    averages.apply(parts)
    checkpoint = tf.train.Checkpoint(table=table, averages=averages)
    manager = tf_mavg.SwappingCheckpointManager(checkpoint, averages, str(folder))
    return [*parts, *map(averages.average, parts)], manager


def test_shards_averaged_one_by_one_go_into_a_checkpoint(tmp_path):
    everything, manager = shards_one_by_one([1, 1], tmp_path)
    path = manager.save()
    assert tf.train.load_variable(path, "table/.ATTRIBUTES/VARIABLE_VALUE").tolist() == [2, 2]
    for one in everything:
        one.assign([0.0])
    manager.restore(path)
    assert [one.numpy() for one in everything] == [[3.0], [3.0], [2.0], [2.0]]


def test_a_restore_into_other_shards_is_refused_and_changes_nothing(tmp_path):
    _, manager = shards_one_by_one([2, 2], tmp_path)
    path = manager.save()
    everything, manager = shards_one_by_one([2, 1, 1], tmp_path / "others")
    for one in everything:
        one.assign(tf.zeros_like(one))
    reason = r"tensor with shape \(2,\) .* variable with shape \(1,\) and name .*part_1"
    with pytest.raises(ValueError, match=reason):
        manager.restore(path)
    assert not any(one.numpy().any() for one in everything)
