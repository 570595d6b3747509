"""Averages under strategies of one process: every replica's own, exact, without communication."""

import numpy as np
import pytest
import tensorflow as tf
from emitted import updates
from oracle import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, assert_same_bits, updated
from replicated_runs import DECAY, MEAN, WAYS, Run, components, in_replicas, replica

import tf_mavg


@pytest.fixture(params=[2, 4], ids="{} replicas".format)
def mirrored(request, logical_cpus):
    """A MirroredStrategy of logical CPUs."""
    return tf.distribute.MirroredStrategy(logical_cpus[: request.param])


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


def test_the_graph_has_one_update_a_replica_and_dtype_and_no_collective(mirrored):
    with mirrored.scope():
        variables = [tf.Variable(tf.zeros([2]), aggregation=MEAN) for _ in range(50)]
    averages = tf_mavg.ExponentialMovingAverage(DECAY)
    step = in_replicas(mirrored, lambda: averages.apply(variables))
    graph = step.get_concrete_function().graph
    replicas = mirrored.num_replicas_in_sync
    assert len(updates(graph)) == replicas
    operations = graph.get_operations()
    assert not [op.type for op in operations if "Collective" in op.type or "Nccl" in op.type]
    assert len(operations) < 15 * replicas, [op.type for op in operations]


def test_a_swap_exchanges_all_replicas_and_gives_every_bit_back(mirrored, rng):
    run = Run(mirrored, [FLOAT32, FLOAT64])
    for pair in run.pairs():
        for one in pair:
            bits = rng.integers(0, 256, one.shape.num_elements() * one.dtype.size, np.uint8)
            one.assign(bits.view(one.dtype.as_numpy_dtype).reshape(one.shape))
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
