"""Each trick with private names of tf.distribute: what an upgrade takes away fails here by name."""

import json

import cluster
import prepared
import pytest
import tensorflow as tf
from places import PROGRAMS
from strategies import STRATEGIES
from tensorflow.python.distribute import ps_values, tpu_values
from tensorflow.python.distribute.sharded_variable import ShardedVariable
from tensorflow.python.ops.resource_variable_ops import ResourceVariable

from tf_mavg._compat import distribute as compat


@pytest.fixture
def mirrored(logical_cpus):
    return STRATEGIES["mirrored"](logical_cpus)


def test_components_of_a_plain_variable_are_the_variable():
    variable = tf.Variable([1.0], name="v")
    assert compat.components_of(variable) == [variable]
    assert compat.around_components(variable, [variable], "a") is variable
    assert compat.name_of(variable) == "v:0"
    assert compat.strategy_of(variable) is None
    assert not compat.is_sharded(variable)
    assert not compat.has_a_component_a_replica(variable)


@pytest.mark.parametrize(
    "synchronization", ["AUTO", "ON_READ"], ids=["written together", "read together"]
)
def test_components_of_a_mirrored_variable(synchronization, mirrored):
    with mirrored.scope():
        variable = tf.Variable(
            [1.0],
            name="v",
            synchronization=tf.VariableSynchronization[synchronization],
            aggregation=tf.VariableAggregation.MEAN,
        )
    components = compat.components_of(variable)
    assert [one.device for one in components] == [*mirrored.extended.worker_devices]
    assert all(isinstance(one, tf.Variable) for one in components)
    assert compat.has_a_component_a_replica(variable)
    assert compat.strategy_of(variable) is mirrored
    assert compat.name_of(variable) == "v:0"
    made = [tf.Variable(one) for one in components]
    around = compat.around_components(variable, made, "a")
    assert type(around) is type(variable)
    assert compat.components_of(around) == made
    assert around.aggregation == variable.aggregation


def test_components_of_a_sharded_variable():
    shards = [tf.Variable([[float(i)]], name=f"table/part_{i}") for i in range(2)]
    table = ShardedVariable(shards, name="table")
    assert compat.is_sharded(table)
    assert compat.name_of(table) == "table"
    assert compat.components_of(table) == shards
    made = [tf.Variable(shard) for shard in shards]
    around = compat.around_components(table, made, "table/average")
    assert compat.is_sharded(around)
    assert compat.components_of(around) == made


def test_components_of_an_aggregated_variable(logical_cpus):
    # Parameter servers have the same class, in a cache of each worker.
    strategy = tf.distribute.experimental.CentralStorageStrategy(logical_cpus[:2])
    with strategy.scope():
        variable = tf.Variable(1.0, aggregation=tf.VariableAggregation.MEAN)
    assert isinstance(variable, ps_values.AggregatingVariable)
    (component,) = compat.components_of(ps_values.CachingVariable(variable))
    assert type(component) is ResourceVariable
    assert compat.components_of(variable) == [component]
    made = tf.Variable(2.0)
    around = compat.around_components(variable, [made], "a")
    assert type(around) is type(variable)
    assert compat.components_of(around) == [made]
    assert compat.strategy_of(around) is compat.strategy_of(variable) is strategy


def said_by(program, folder):
    """What a program prints last, as a process of its own."""
    return json.loads(prepared.must_run([PROGRAMS / program], folder).splitlines()[-1])


@pytest.mark.slow
def test_steps_are_under_way_until_the_coordinator_has_joined(tmp_path):
    # In a process of its own: a cluster gives the devices of its process other names.
    under_way, with_a_value_a_worker = said_by("scheduled_step.py", tmp_path)
    assert under_way == [False, True, False]
    assert not compat.steps_are_under_way(None)
    assert with_a_value_a_worker == [False, True]
    assert not compat.has_a_value_a_worker(tf.Variable(1.0))


@pytest.mark.parametrize("kind", ["TPUMirroredVariable", "TPUSyncOnReadVariable"])
def test_is_on_tpus(kind, mirrored):
    components = [tf.Variable([1.0]) for _ in range(2)]
    made = getattr(tpu_values, kind)(mirrored, components, tf.VariableAggregation.MEAN)
    assert compat.is_on_tpus(made)
    assert not compat.is_on_tpus(components[0])
    assert issubclass(tpu_values.TPULazyDistributedVariable, tf.Variable)


def test_compiles_each_replica(mirrored):
    # TensorFlow compiles a function's part for each replica if `_use_merge_call` is false.
    assert not compat.compiles_each_replica(mirrored)
    assert mirrored.extended._use_merge_call()
    gpus = tf.distribute.MirroredStrategy(["/gpu:0", "/gpu:1"])
    assert compat.compiles_each_replica(gpus)


@pytest.mark.parametrize(
    ("synchronization", "expected"), [("AUTO", True), ("ON_WRITE", True), ("ON_READ", False)]
)
def test_is_written_together(synchronization, expected, mirrored):
    with mirrored.scope():
        variable = tf.Variable(
            1.0,
            synchronization=tf.VariableSynchronization[synchronization],
            aggregation=tf.VariableAggregation.MEAN,
        )
    assert compat.is_written_together(variable) is expected
    assert not compat.is_written_together(tf.Variable(1.0))


def test_replicas_here_are_all_of_one_process(mirrored):
    assert compat.replicas_here(mirrored) == range(2)
    assert compat.replicas_here(tf.distribute.MultiWorkerMirroredStrategy()) == range(1)


@pytest.mark.slow
def test_replicas_here_are_numbered_over_all_workers(tmp_path):
    with cluster.running(cluster.WORKERS, "replicas_of_workers.py", tmp_path) as workers:
        assert workers.wait(cluster.WORKERS, 100) == [0, 0], workers.logs()
        said = [workers.said(task) for task in cluster.WORKERS]
    assert said == [[{"here": [0], "context": 0}], [{"here": [1], "context": 1}]]


class Fetched(tf.__internal__.tracking.Trackable):
    """A value that counts how often it is fetched."""

    dtype, device = tf.float32, "/job:localhost/replica:0/task:0/device:CPU:0"

    def __init__(self, value) -> None:
        """Has a value."""
        self.value, self.fetches = value, 0

    def fetch(self):
        """The value."""
        self.fetches += 1
        return tf.constant(self.value)

    def assign(self, value):
        """Sets it."""
        self.value = value.numpy()

    def _gather_saveables_for_checkpoint(self):
        return {"VARIABLE_VALUE": lambda name: compat.FetchedSaveable(self, name)}


def test_fetched_saveable_is_fetched_by_a_save_and_not_by_a_restore(tmp_path):
    one = Fetched([1.0, 2.0])
    path = tf.train.Checkpoint(one=one).save(str(tmp_path / "c"))
    assert one.fetches == 1
    variable = tf.Variable([0.0, 0.0])  # The key is a variable's.
    tf.train.Checkpoint(one=variable).restore(path).assert_consumed()
    assert variable.numpy().tolist() == [1.0, 2.0]
    other = Fetched([0.0, 0.0])
    tf.train.Checkpoint(one=other).restore(path).assert_consumed()
    assert other.value.tolist() == [1.0, 2.0]
    assert other.fetches == 0


def test_replica_at_hand(mirrored):
    seen = []
    assert compat.replica_at_hand() is None
    with mirrored.scope():
        assert compat.replica_at_hand() is None

    def note():
        seen.append(compat.replica_at_hand())

    mirrored.run(note)
    assert sorted(seen) == [0, 1]
    seen.clear()
    tf.function(lambda: mirrored.run(note))()
    assert set(seen) == {0, 1}
    seen.clear()
    tf.distribute.get_strategy().run(note)  # The default strategy: as outside of any.
    assert seen == [None]


@pytest.mark.parametrize("traced", [False, True], ids=["eager", "function"])
def test_replicas_must_merge(traced, mirrored):
    seen = []

    def add_up():
        seen.append(compat.replicas_must_merge())
        tf.distribute.get_replica_context().all_reduce("sum", tf.ones([1]))

    def in_conditional():
        tf.cond(tf.constant(value=True), lambda: [add_up(), None][1], lambda: None)

    def run(body):
        step = lambda: mirrored.run(body)  # noqa: E731 - TensorFlow names functions after it.
        return (tf.function(step, autograph=False) if traced else step)()

    run(add_up)
    if traced:
        with pytest.raises(RuntimeError, match="merge_call"):
            run(in_conditional)
    else:
        run(in_conditional)
    assert set(seen) == {traced}
    assert not compat.replicas_must_merge()
    seen.clear()
    tf.function(lambda: [add_up(), None][1], autograph=False)()
    assert seen == [False]


def test_has_several_workers(mirrored):
    assert not compat.has_several_workers(None)
    assert not compat.has_several_workers(mirrored)
    alone = tf.distribute.MultiWorkerMirroredStrategy()
    assert alone.extended._in_multi_worker_mode() is False
    assert not compat.has_several_workers(alone)


@pytest.mark.slow
def test_all_reduce_of_ones_counts_replicas(tmp_path):
    # A process of its own calls all_reduce_of_ones: strategies of one process number their
    # communications alike, and TensorFlow refuses a number that comes again with another dtype.
    assert said_by("ones_of_replicas.py", tmp_path) == 2
