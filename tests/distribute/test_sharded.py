"""Averages that replicas of one process share: each has some, and all bits are as without."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from emitted import updates
from oracle import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, assert_same_bits, patterns
from replicated_runs import DECAY, MEAN, WAYS, Run, components, in_replicas, replica

import tf_mavg
import tf_mavg.keras
import tf_mavg.tf_keras
from tf_mavg._ops.variables import tensorflow_variable

DTYPES = [FLOAT32, FLOAT64, FLOAT16, BFLOAT16]


def mirrored_over(cpus):
    """A MirroredStrategy that sums without collectives: those of one process share numbers."""
    sums = tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(cpus, cross_device_ops=sums)


@pytest.fixture(params=[2, 4], ids="{} replicas".format)
def mirrored(request, logical_cpus):
    """Replicas on logical CPUs."""
    return mirrored_over(logical_cpus[: request.param])


@pytest.fixture
def two(logical_cpus):
    """Two of them."""
    return mirrored_over(logical_cpus[:2])


def sharded(strategy, dtypes=(FLOAT32, FLOAT64), **options: object):
    return Run(strategy, dtypes, placement="sharded", **options)


def shared_of(run):
    """The variables whose averages are shared: all but the statistics, which replicas differ in."""
    return run.variables[:-1]


def trained(run, steps=5):
    step = replica(run)
    for _ in range(steps):
        step()
    return run


def values_of(run):
    """The bytes of every component of each variable, then those of its average."""
    return [
        [one.numpy().tobytes() for one in (*components(v), run.averages.average(v))]
        for v in shared_of(run)
    ]


@pytest.mark.sampled
@pytest.mark.parametrize("where", WAYS)
def test_fifty_steps_give_the_bits_of_replicated_averages(where, mirrored):
    runs = [sharded(mirrored, DTYPES), Run(mirrored, DTYPES)]
    for step in map(where, runs):
        for _ in range(50):
            step()
    one, other = runs
    for mine, theirs in zip(shared_of(one), shared_of(other), strict=True):
        assert_same_bits(mine.numpy(), theirs.numpy())
        for component in components(other.averages.average(theirs)):
            assert_same_bits(one.averages.average(mine).numpy(), component.numpy())
    statistics = [run.averages.average(run.variables[-1]) for run in runs]
    for mine, theirs in zip(*map(components, statistics), strict=True):
        assert_same_bits(mine.numpy(), theirs.numpy())


def test_each_average_is_one_variable_beside_its_owners_component(mirrored):
    with mirrored.scope():
        variables = [tf.Variable(tf.zeros([n]), name=f"v{n}") for n in range(1, 33)]
    averages = tf_mavg.ExponentialMovingAverage(DECAY, placement="sharded")
    averages.create_averages(variables)
    held = dict.fromkeys(mirrored.extended.worker_devices, 0)
    for entry in averages.holder.entries():
        ((average, component),) = entry.pairs
        assert average is averages.average(entry.variable)
        assert average.device == component.device
        held[average.device] += average.shape.num_elements() * average.dtype.size
    mean = sum(4 * n for n in range(1, 33)) / mirrored.num_replicas_in_sync
    assert [abs(of_replica - mean) <= 4 for of_replica in held.values()] == [True] * len(held)


def test_averages_are_called_as_replicated_ones(mirrored):
    run, other = sharded(mirrored), Run(mirrored, [FLOAT32, FLOAT64])
    for mine, theirs in zip(run.variables, other.variables, strict=True):
        assert run.averages.average_name(mine) == other.averages.average_name(theirs)


def test_the_graph_has_an_update_for_each_share_and_no_collective(mirrored):
    with mirrored.scope():
        variables = [tf.Variable(tf.zeros([2]), aggregation=MEAN) for _ in range(3)]
    averages = tf_mavg.ExponentialMovingAverage(DECAY, placement="sharded")
    graph = in_replicas(mirrored, lambda: averages.apply(variables)).get_concrete_function().graph
    assert len(updates(graph)) == min(3, mirrored.num_replicas_in_sync)
    operations = graph.get_operations()
    assert not [op.type for op in operations if "Collective" in op.type or "Nccl" in op.type]


@pytest.mark.parametrize("eagerly", [False, True], ids=["function", "eager"])
def test_replicas_without_a_share_count_steps_too(eagerly, mirrored):
    with mirrored.scope():
        variable = tf.Variable([0.0], aggregation=MEAN)
    pace = {"decay": tf_mavg.decays.WarmUp(0.9), "start": 1, "every": 2}
    both = [
        tf_mavg.ExponentialMovingAverage(placement=placement, **pace)
        for placement in ("sharded", "replicated")
    ]
    for averages in both:
        averages.create_averages([variable])

    def update():
        for averages in both:
            averages.apply([variable])

    step = (lambda: mirrored.run(update)) if eagerly else in_replicas(mirrored, update)
    for count in range(1, 6):
        variable.assign([float(count)])
        step()
    counts = [int(count) for count in both[0].holder.steps.variables()]
    assert counts == [5] * mirrored.num_replicas_in_sync
    mine, theirs = (averages.average(variable) for averages in both)
    assert_same_bits(mine.numpy(), components(theirs)[0].numpy())


def test_a_replica_reads_an_average_that_another_one_has(two):
    run = trained(sharded(two))
    read = tf.function(
        lambda: two.run(lambda: [run.averages.average(v) + 0 for v in shared_of(run)])
    )
    for variable, values in zip(shared_of(run), read(), strict=True):
        for value in two.experimental_local_results(values):
            assert_same_bits(value.numpy(), run.averages.average(variable).numpy())


@pytest.mark.parametrize("average_dtype", ["same", "float32"])
def test_a_swap_gives_all_replicas_the_average_and_every_bit_back(average_dtype, mirrored, rng):
    run = sharded(mirrored, DTYPES, average_dtype=average_dtype)
    for variable in shared_of(run):
        for one in (*components(variable), run.averages.average(variable)):
            dtype = one.dtype.as_numpy_dtype
            one.assign(patterns(rng, 6, np.dtype(dtype)).reshape(one.shape))
    before = values_of(run)
    step = replica(run)
    step.get_concrete_function()
    with run.averages.swapped():
        for variable, (*_, average) in zip(shared_of(run), before, strict=True):
            mine = run.averages.average(variable)
            if mine.dtype == variable.dtype:
                expected = average
            else:
                expected = tf.cast(mine, variable.dtype).numpy().tobytes()
            assert {one.numpy().tobytes() for one in components(variable)} == {expected}
        with pytest.raises(tf.errors.InvalidArgumentError, match="swapped"):
            step()
        with pytest.raises(RuntimeError, match="swapped"):
            mirrored.run(run.averages.guard)
    assert values_of(run) == before


def test_overwriting_gives_all_replicas_the_average(mirrored):
    run = trained(sharded(mirrored, DTYPES))
    averages = [run.averages.average(v).numpy() for v in shared_of(run)]
    run.averages.overwrite()
    for variable, average in zip(shared_of(run), averages, strict=True):
        for component in components(variable):
            assert_same_bits(component.numpy(), average)


def test_restarting_gives_averages_the_variables_values(mirrored):
    run = trained(sharded(mirrored, DTYPES))
    run.averages.restart()
    for variable in shared_of(run):
        assert_same_bits(run.averages.average(variable).numpy(), variable.numpy())


def test_values_travel_outside_of_functions_and_replicas_only(two):
    run = trained(sharded(two))
    before = values_of(run)
    calls = {"are swapped": run.averages.swap, "overwrite variables": run.averages.overwrite}
    for what, call in calls.items():
        expected = rf"^Averages with placement='sharded' {what} in eager mode, outside of"
        with pytest.raises(RuntimeError, match=expected):
            tf.function(call)()
    with pytest.raises(RuntimeError, match=expected):
        two.run(run.averages.overwrite)
    with pytest.raises(RuntimeError, match="Received: a swap in replica context"):
        two.run(run.averages.swap)
    assert values_of(run) == before


def saved(run, folder, *, swapping):
    """Saves a run; returns the file's path."""
    checkpoint = tf.train.Checkpoint(variables=run.variables, averages=run.averages)
    if swapping:
        return tf_mavg.SwappingCheckpointManager(checkpoint, run.averages, str(folder)).save()
    return checkpoint.save(str(folder / "c"))


def restore(run, path, *, swapping):
    checkpoint = tf.train.Checkpoint(variables=run.variables, averages=run.averages)
    if swapping:
        folder = path.rpartition("/")[0]
        tf_mavg.SwappingCheckpointManager(checkpoint, run.averages, folder).restore(path)
    else:
        checkpoint.restore(path).assert_consumed()


def contents(path):
    """The keys and values of a file; of its description of objects, the keys that it names."""
    reader = tf.train.load_checkpoint(path)
    values = {key: reader.get_tensor(key) for key in reader.get_variable_to_shape_map()}
    described = values.pop("_CHECKPOINTABLE_OBJECT_GRAPH")
    return sorted(values), [np.asarray(values[k]).tobytes() for k in sorted(values)], len(described)


swappings = pytest.mark.parametrize("swapping", [False, True], ids=["checkpoint", "manager"])


@swappings
def test_a_file_is_that_of_replicated_averages(swapping, mirrored, tmp_path):
    runs = {"sharded": sharded(mirrored), "replicated": Run(mirrored, [FLOAT32, FLOAT64])}
    found = [
        contents(saved(trained(run), tmp_path / name, swapping=swapping))
        for name, run in runs.items()
    ]
    assert found[0] == found[1]


WORLDS = {
    "no strategy": (None, "replicated"),
    "2 replicas": (2, "replicated"),
    "2 shares": (2, "sharded"),
    "4 shares": (4, "sharded"),
}


@pytest.mark.sampled(pairs=True)
@swappings
@pytest.mark.parametrize("late", [False, True], ids=["averages made before", "averages made by it"])
@pytest.mark.parametrize("move", [*itertools.product(WORLDS, WORLDS)], ids=" to ".join)
def test_a_run_moves_between_worlds(move, late, swapping, logical_cpus, tmp_path):
    start, to = move

    def run_in(world):
        replicas, placement = WORLDS[world]
        strategy = tf.distribute.get_strategy()
        if replicas:
            strategy = mirrored_over(logical_cpus[:replicas])
        return Run(strategy, [FLOAT32, FLOAT64], placement=placement)

    run, other = run_in(start), run_in(to)
    rng = np.random.default_rng(1)
    for variable in run.variables:
        for one in (variable, run.averages.average(variable)):
            one.assign(rng.normal(size=one.shape).astype(one.dtype.as_numpy_dtype))
    if late:
        other.averages = tf_mavg.ExponentialMovingAverage(DECAY, placement=WORLDS[to][1])
    restore(other, saved(run, tmp_path, swapping=swapping), swapping=swapping)
    for mine, theirs in zip(other.variables, run.variables, strict=True):
        for one in getattr(mine, "values", [mine]):
            assert_same_bits(one.numpy(), theirs.numpy())
        average = other.averages.average(mine)
        for one in getattr(average, "values", [average]):
            assert_same_bits(one.numpy(), run.averages.average(theirs).numpy())


def test_the_optimizer_of_tensorflow_1_shares_averages(two):
    with two.scope():
        variables = [tf.Variable([1.0, 2.0], aggregation=MEAN) for _ in range(2)]
    inner = tf.compat.v1.train.GradientDescentOptimizer(0.25)
    optimizer = tf_mavg.MovingAverageOptimizer(inner, 0.5, placement="sharded")

    def minimize():
        pairs = [(tf.ones([2]), variable) for variable in variables]
        optimizer.apply_gradients(pairs)

    in_replicas(two, minimize)()
    averages = [optimizer.averages.average(variable) for variable in variables]
    assert {average.device for average in averages} == {*two.extended.worker_devices}
    for average, variable in zip(averages, variables, strict=True):  # The sum of two gradients.
        assert variable.numpy().tolist() == [0.5, 1.5]
        assert average.numpy().tolist() == [0.75, 1.75]


KERASES = [(keras, tf_mavg.keras), (tf_keras, tf_mavg.tf_keras)]


def fitted(k, m, strategy, placement):
    """A model after two epochs of replicas, of which each validates the averages."""
    k.utils.set_random_seed(0)
    x, y = np.random.default_rng(0).normal(size=(2, 64, 4)).astype("float32")
    options = tf.data.Options()
    policy = tf.data.experimental.AutoShardPolicy.DATA
    options.experimental_distribute.auto_shard_policy = policy
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(16).with_options(options)
    with strategy.scope():
        optimizer = m.MovingAverage(k.optimizers.Adam(0.01), 0.9, placement=placement)
        model = k.Sequential([k.layers.Dense(3), k.layers.Dense(4)])
        model.build([None, 4])
        model.compile(optimizer, loss="mse", jit_compile=False)
        optimizer.build(model.trainable_variables)
    history = model.fit(
        data,
        epochs=2,
        shuffle=False,
        verbose=0,
        validation_data=data,
        callbacks=[m.EvaluateAverages()],
    )
    return model, optimizer, history.history


# Keras reads its variables as NumPy 2 will not have it.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize(
    ("k", "m"),
    [
        pytest.param(*KERASES[0], id="keras"),
        pytest.param(*KERASES[1], id="tf_keras", marks=pytest.mark.long),
    ],
)
def test_a_fit_gives_the_bits_of_replicated_averages(k, m, two, tmp_path):
    model, optimizer, history = fitted(k, m, two, "sharded")
    other, whole, expected = fitted(k, m, two, "replicated")
    assert history == expected
    averages = [tensorflow_variable(optimizer.average(w)) for w in model.trainable_variables]
    assert {average.device for average in averages} == {*two.extended.worker_devices}
    for mine, theirs in zip(model.trainable_variables, other.trainable_variables, strict=True):
        assert_same_bits(mine.numpy(), theirs.numpy())
        assert_same_bits(optimizer.average(mine).numpy(), whole.average(theirs).numpy())
    assert optimizer.get_config()["placement"] == "sharded"
    model.save(tmp_path / "model.keras")
    loaded = k.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.placement == "sharded"
    for mine, theirs in zip(loaded.trainable_variables, other.trainable_variables, strict=True):
        assert_same_bits(loaded.optimizer.average(mine).numpy(), whole.average(theirs).numpy())
