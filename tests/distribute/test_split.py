"""Split averages under strategies: bit for bit float32 ones, replicated and sharded."""

import numpy as np
import pytest
import tensorflow as tf
from oracle import BFLOAT16, FLOAT32, assert_same_bits, joined, split
from replicated_runs import MEAN, WAYS, Run, components, replica

import tf_mavg

DTYPES = [BFLOAT16, FLOAT32, BFLOAT16]


@pytest.fixture
def mirrored(logical_cpus):
    """Replicas on logical CPUs."""
    sums = tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(logical_cpus[:2], cross_device_ops=sums)


def shared_of(run):
    """The variables but the statistics, which replicas differ in."""
    return run.variables[:-1]


def exact(run):
    """The averages with all of their bits."""
    return [run.averages.average_value(variable).numpy() for variable in shared_of(run)]


def assert_all_same_bits(received, expected):
    """Asserts that lists of arrays agree in every bit."""
    for one, other in zip(received, expected, strict=True):
        assert_same_bits(one, other)


@pytest.mark.sampled
@pytest.mark.parametrize("where", WAYS)
@pytest.mark.parametrize("placement", ["replicated", "sharded"])
def test_steps_and_swaps_give_the_bits_of_float32_averages(where, placement, mirrored):
    runs = [
        Run(mirrored, DTYPES, placement=placement, average_dtype=choice)
        for choice in ("split", "float32")
    ]
    one, other = runs
    for step in map(where, runs):
        for _ in range(20):
            step()
    wide = [other.averages.average_value(variable).numpy() for variable in shared_of(other)]
    assert_all_same_bits(exact(one), wide)
    before = [[c.numpy() for c in components(v)] for v in one.variables]
    with one.averages.swapped():
        for variable, value in zip(shared_of(one), wide, strict=True):
            expected = split(value)[0] if variable.dtype == tf.bfloat16 else value
            for component in components(variable):
                assert_same_bits(component.numpy(), expected)
        assert_all_same_bits(exact(one), wide)
    for variable, values in zip(one.variables, before, strict=True):
        assert_all_same_bits([c.numpy() for c in components(variable)], values)
    assert_all_same_bits(exact(one), wide)


@pytest.mark.parametrize("placement", ["replicated", "sharded"])
@pytest.mark.parametrize("wrote", ["split", "float32", "same"])
def test_checkpoints_restore_into_split_averages(placement, wrote, mirrored, tmp_path):
    def run_of(choice):
        run = Run(mirrored, DTYPES, placement=placement, average_dtype=choice)
        run.module = tf.Module()
        run.module.weights = run.variables
        run.checkpoint = tf.train.Checkpoint(model=run.module, averages=run.averages)
        return run

    writer = run_of(wrote)
    step = replica(writer)
    for _ in range(5):
        step()
    path = writer.checkpoint.write(str(tmp_path / "c"))
    reader = run_of("split")
    reader.checkpoint.read(path).assert_existing_objects_matched()
    assert_all_same_bits(exact(reader), [value.astype(FLOAT32) for value in exact(writer)])
    for variable in shared_of(reader):
        average = reader.averages.average(variable)
        if placement == "replicated":
            assert len({c.numpy().tobytes() for c in components(average)}) == 1


def test_each_replica_has_the_remainder_beside_its_average(mirrored):
    run = Run(mirrored, [BFLOAT16], average_dtype="split")
    step = replica(run)
    step()
    variable = run.variables[0]
    (average, remainder) = (
        run.averages.holder.tracked.get_slot(variable, name)
        for name in ("average", "average_remainder")
    )
    for high, low in zip(components(average), components(remainder), strict=True):
        assert high.device == low.device
        assert_same_bits(joined(high.numpy(), low.numpy()), exact(run)[0])


def test_what_is_synchronized_when_read_has_no_split_average(mirrored):
    with mirrored.scope():
        variable = tf.Variable(
            np.zeros(3, BFLOAT16),
            name="statistics",
            trainable=False,
            aggregation=MEAN,
            synchronization=tf.VariableSynchronization.ON_READ,
        )
    averages = tf_mavg.ExponentialMovingAverage(0.9, average_dtype="split")
    with pytest.raises(TypeError, match=r"one value on all replicas. Received: 'statistics:0'"):
        averages.create_averages([variable])
    whole = tf_mavg.ExponentialMovingAverage(0.9, average_dtype=None)
    whole.create_averages([variable])
    assert whole.average(variable).dtype == tf.float32
