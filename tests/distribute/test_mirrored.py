"""Averages under strategies of one process: every replica's own, exact, without communication."""

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from emitted import updates
from oracle import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    assert_same_bits,
    delicate,
    patterns,
    updated,
)
from replicated_runs import DECAY, MEAN, WAYS, Run, components, in_replicas, replica

import tf_mavg


@pytest.fixture(params=[2, 4], ids="{} replicas".format)
def mirrored(request, logical_cpus):
    """A MirroredStrategy of logical CPUs.

    Eager collectives of several strategies in one process would be taken for each other's.
    """
    reduction = tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(logical_cpus[: request.param], reduction)


@pytest.mark.sampled
@pytest.mark.parametrize("where", WAYS)
def test_fifty_steps_equal_the_oracle_on_every_replica(where, mirrored):
    run = Run(mirrored, [FLOAT32, FLOAT64, FLOAT16, BFLOAT16])
    step = where(run)
    expected = [average.numpy() for average, _ in run.pairs()]
    for _ in range(50):
        step()
        expected = [
            updated(average, variable.numpy(), DECAY)
            for average, (_, variable) in zip(expected, run.pairs(), strict=True)
        ]
    for value, (average, variable) in zip(expected, run.pairs(), strict=True):
        assert_same_bits(average.numpy(), value)
        assert average.device == variable.device
    for variable in run.variables[:-1]:
        bits = {average.numpy().tobytes() for average in components(run.averages.average(variable))}
        assert len(bits) == 1


def test_the_graph_has_one_update_a_replica_and_dtype(mirrored):
    with mirrored.scope():
        variables = [
            tf.Variable(tf.zeros([2], dtype), aggregation=MEAN)
            for dtype in [tf.float32] * 50 + [tf.float64] * 3
        ]
    averages = tf_mavg.ExponentialMovingAverage(DECAY)
    step = in_replicas(mirrored, lambda: averages.apply(variables))
    devices = Counter(op.device for op in updates(step.get_concrete_function().graph))
    assert devices == dict.fromkeys(mirrored.extended.worker_devices, 2)  # Of each dtype one.


@pytest.mark.parametrize("in_scope", [True, False], ids=["replicas", "outside"])
def test_fifty_variables_on_two_replicas_take_under_thirty_nodes(in_scope, logical_cpus):
    strategy = tf.distribute.MirroredStrategy(logical_cpus[:2])
    with strategy.scope():
        variables = [tf.Variable(tf.zeros([2]), aggregation=MEAN) for _ in range(50)]
    averages = tf_mavg.ExponentialMovingAverage(DECAY)

    def apply():
        averages.apply(variables)

    step = in_replicas(strategy, apply) if in_scope else tf.function(apply, autograph=False)
    operations = step.get_concrete_function().graph.get_operations()
    assert len(operations) < 30, [op.type for op in operations]


def test_averages_add_no_collective(logical_cpus):
    strategy = tf.distribute.MirroredStrategy(logical_cpus[:2])
    with strategy.scope():
        weight = tf.Variable([1.0, 2.0], aggregation=MEAN)
    averages = tf_mavg.ExponentialMovingAverage(DECAY)

    def train():
        context = tf.distribute.get_replica_context()
        gradient = context.all_reduce("sum", 2 * weight)
        weight.assign_sub(gradient)

    def train_and_average():
        train()
        averages.apply([weight])

    counts = [
        len([op for op in every_operation(step) if "Collective" in op.type])
        for step in (in_replicas(strategy, train), in_replicas(strategy, train_and_average))
    ]
    assert counts[0] == counts[1] > 0


def every_operation(step):
    """The operations of a function's graph, and of all functions that it calls."""
    graph = step.get_concrete_function().graph
    return [*graph.get_operations(), *called_by(graph)]


def called_by(graph):
    """The operations of all functions of a graph, nested ones among them."""
    return [
        node for function in graph.as_graph_def().library.function for node in function.node_def
    ]


@pytest.mark.parametrize("bits", ["random", "delicate"])
def test_a_swap_exchanges_all_replicas_and_gives_every_bit_back(bits, mirrored, rng):
    run = Run(mirrored, [FLOAT32, FLOAT64, FLOAT16, BFLOAT16])
    for which, pair in enumerate(run.pairs()):
        for one in pair[which % 2 :]:  # In every other pair, the variable's alone.
            dtype = np.dtype(one.dtype.as_numpy_dtype)
            value = patterns(rng, one.shape.num_elements(), dtype).reshape(one.shape)
            one.assign(value if bits == "random" else delicate(tuple(one.shape), dtype))
    before = [[one.numpy().tobytes() for one in pair] for pair in run.pairs()]
    step = replica(run)
    step.get_concrete_function()
    with run.averages.swapped():
        now = [[one.numpy().tobytes() for one in pair] for pair in run.pairs()]
        assert now == [pair[::-1] for pair in before]
        with pytest.raises(tf.errors.InvalidArgumentError, match="swapped"):
            step()
    assert [[one.numpy().tobytes() for one in pair] for pair in run.pairs()] == before


def test_a_swap_in_a_replica_is_refused(mirrored):
    run = Run(mirrored, [FLOAT32])
    with pytest.raises(RuntimeError, match=r"Received: a swap in replica context"):
        mirrored.run(run.averages.swap)


def test_a_single_variable_is_the_first_replicas(mirrored):
    single = tf.Variable([0.0])
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    averages.create_averages([single])
    single.assign([1.0])
    in_replicas(mirrored, lambda: averages.apply([single]))()
    assert averages.average(single).numpy() == [0.5]


def test_central_storage_updates_once(logical_cpus):
    strategy = tf.distribute.experimental.CentralStorageStrategy(logical_cpus[:2], "/cpu:0")
    with strategy.scope():
        variable = tf.Variable([1.0], aggregation=tf.VariableAggregation.SUM)
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    averages.create_averages([variable])
    variable.assign([3.5])
    in_replicas(strategy, lambda: averages.apply([variable]))()
    assert averages.average(variable).numpy() == [2.25]


def test_variables_read_together_are_saved_as_the_aggregate(mirrored, tmp_path):
    run = Run(mirrored, [])
    step = replica(run)
    for _ in range(3):
        step()
    (statistics,) = run.variables
    path = tf.train.Checkpoint(s=statistics, averages=run.averages).save(str(tmp_path / "c"))
    saved = {
        name: tf.train.load_variable(path, name)
        for name, shape in tf.train.list_variables(path)
        if shape == [4]
    }
    assert len(saved) == 2
    for name, value in saved.items():
        whole = run.averages.average(statistics) if "SLOT" in name else statistics
        each = np.stack([one.numpy() for one in components(whole)])
        assert len(np.unique(each, axis=0)) == len(each)  # Each replica has its own.
        np.testing.assert_allclose(value, each.mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize("kind", ["half precision", "same"])
def test_float32_averages_of_half_precision(kind, mirrored):
    choice = "float32" if kind == "half precision" else "same"
    run = Run(mirrored, [BFLOAT16, FLOAT16], average_dtype=choice)
    step = replica(run)
    for _ in range(3):
        step()
    before = [[one.numpy().tobytes() for one in pair] for pair in run.pairs()]
    with run.averages.swapped():
        for average, variable in run.pairs():
            if average.dtype != variable.dtype:
                rounded = tf.cast(average, variable.dtype).numpy()
                assert_same_bits(variable.numpy(), rounded)
    assert [[one.numpy().tobytes() for one in pair] for pair in run.pairs()] == before


@pytest.mark.parametrize("to", [None, 2, 4], ids=["no strategy", "2 replicas", "4 replicas"])
@pytest.mark.parametrize("swapping", [False, True], ids=["checkpoint", "manager"])
def test_a_run_moves_between_numbers_of_replicas(to, swapping, mirrored, logical_cpus, tmp_path):
    run = Run(mirrored, [FLOAT32, FLOAT64])
    step = replica(run)
    for _ in range(5):
        step()
    checkpoint = tf.train.Checkpoint(variables=run.variables, averages=run.averages)
    if swapping:
        path = tf_mavg.SwappingCheckpointManager(checkpoint, run.averages, str(tmp_path)).save()
    else:
        path = checkpoint.save(str(tmp_path / "c"))
    strategy = (
        tf.distribute.MirroredStrategy(logical_cpus[:to]) if to else tf.distribute.get_strategy()
    )
    other = Run(strategy, [FLOAT32, FLOAT64])
    resumed = tf.train.Checkpoint(variables=other.variables, averages=other.averages)
    if swapping:
        tf_mavg.SwappingCheckpointManager(resumed, other.averages, str(tmp_path)).restore()
    else:
        resumed.restore(path).assert_consumed()
    for one, another in zip(run.variables, other.variables, strict=True):
        assert_same_bits(another.numpy(), one.numpy())
        averages = run.averages.average(one), other.averages.average(another)
        assert_same_bits(averages[1].numpy(), averages[0].numpy())
