"""Averages that workers share, in real processes: the bits of one process, and one file of all."""

import zlib

import cluster
import pytest
import tensorflow as tf

import tf_mavg

pytestmark = pytest.mark.slow

TRAINING = "sharded_training.py"
SHAPES = {"kernel": [7, 3], "twin": [7, 3], "wide": [5], "half": [3]}
DTYPES = {"wide": tf.float64, "half": tf.float16}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("shares")


@pytest.fixture(scope="module")
def uninterrupted(folder):
    """What two replicas of one process come to in fifty steps."""
    return cluster.said_by_replicas(TRAINING, folder)[0]


def train(folder, *arguments: str):
    """A run of the workers; returns the context of their cluster."""
    return cluster.train(TRAINING, folder, *arguments)


@pytest.fixture(scope="module")
def said(folder):
    """What the two workers said, as a dictionary each."""
    with train(folder / "two") as workers:
        assert workers.wait(cluster.WORKERS, 100) == [0, 0], workers.logs()
        return [
            {key: value for line in workers.said(task) for key, value in line.items()}
            for task in cluster.WORKERS
        ]


def test_workers_average_as_replicas_of_one_process(said, uninterrupted):
    for of_worker in said:
        assert uninterrupted.items() <= of_worker.items()


def test_each_average_is_in_one_worker(said):
    owned = [[name.partition("/")[0] for name in of_worker["owned"]] for of_worker in said]
    assert owned == [["kernel", "wide", "statistics"], ["twin", "half", "statistics"]]


def test_a_read_in_another_worker_says_the_way_out(said):
    expected = (
        "Averages with placement='sharded' are read by the worker that has them. Received: a read "
        "of '{}/ExponentialMovingAverage:0', which replica {} has, in another worker; have all "
        "workers enter swapped(), and read the variable itself there."
    )
    first = [expected.format(name, 1) for name in ("twin", "half")]
    second = [expected.format(name, 0) for name in ("kernel", "wide")]
    assert [of_worker["elsewhere"] for of_worker in said] == [first, second]
    assert [of_worker["converted"] for of_worker in said] == [first[:1], second[:1]]


def test_a_swap_gives_all_workers_the_same_bits_and_each_its_own_back(said):
    assert said[0]["received"] == said[1]["received"] == said[0]["overwritten"]
    for of_worker in said:
        assert of_worker["alike"]
        assert of_worker["back"]
        assert of_worker["overwritten"] == of_worker["received"]


def test_no_worker_takes_a_step_while_swapped(said):
    for of_worker in said:
        assert all("No step can be taken" in refusal for refusal in of_worker["refused"])
        assert len(of_worker["refused"]) == 2


@pytest.fixture(params=[None, 4], ids=["no strategy", "4 replicas"])
def strategy(request, logical_cpus):
    """What a run of the workers moves to."""
    if request.param is None:
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy(logical_cpus[: request.param])


@pytest.mark.parametrize("placement", ["replicated", "sharded"])
@pytest.mark.parametrize("file", ["plain", "manager"])
def test_the_chiefs_file_has_all_averages(file, strategy, placement, said, folder):
    with strategy.scope():
        variables = [
            tf.Variable(tf.zeros(shape, DTYPES.get(name, tf.float32)), name=name)
            for name, shape in SHAPES.items()
        ]
        everything = [*variables, tf.Variable(tf.zeros([3]))]
        step = tf.Variable(0)
    averages = tf_mavg.ExponentialMovingAverage(0.9, placement=placement)
    averages.create_averages(everything)
    checkpoint = tf.train.Checkpoint(variables=everything, averages=averages, step=step)
    files = folder / "two" / "files"
    if file == "plain":
        checkpoint.read(str(files / "plain")).assert_existing_objects_matched()
    else:
        tf_mavg.SwappingCheckpointManager(checkpoint, averages, str(files)).restore()
    assert step.numpy() == 50
    values = b"".join(averages.average(variable).numpy().tobytes() for variable in variables)
    assert zlib.crc32(values) == said[0]["checksum"]


def test_a_run_that_lost_a_worker_ends_in_the_bits_of_one_that_did_not(folder, uninterrupted):
    with train(folder / "dies", "die") as workers:
        assert workers.wait(cluster.WORKERS, 100)[1] == 42, workers.logs()
    with train(folder / "dies") as workers:
        assert workers.wait(cluster.WORKERS, 100) == [0, 0], workers.logs()
        for task in cluster.WORKERS:
            assert uninterrupted in workers.said(task)


def test_workers_that_disagree_about_shares_swap_nothing(folder):
    with train(folder / "disagree", "disagree") as workers:
        assert workers.wait(cluster.WORKERS, 100) == [0, 0], workers.logs()
        for task, name in zip(cluster.WORKERS, ("kernel", "twin"), strict=True):
            swap, after = workers.said(task)
            assert f"Received: '{name}:0' here, and another variable in another" in swap["swap"]
            assert swap["is_swapped"] is False
            assert after["unchanged"]


def test_a_worker_that_collects_alone_fails_at_once_and_so_do_the_others(folder):
    with train(folder / "alone", "alone") as workers:
        assert workers.wait(cluster.WORKERS, 100) == [0, 0], workers.logs()
        ((other,), (alone,)) = (workers.said(task) for task in cluster.WORKERS)
    assert alone["error"].startswith("All workers must swap, save and restore averages at the same")
    assert max(other["seconds"], alone["seconds"]) < 10


def test_every_file_of_a_fit_has_all_averages(folder):
    (folder / "fit").mkdir()
    with cluster.running(
        cluster.WORKERS, "sharded_fit.py", folder / "fit", str(folder / "fit")
    ) as workers:
        assert workers.wait(cluster.WORKERS, 150) == [0, 0], workers.logs()
        ((first,), (second,)) = (workers.said(task) for task in cluster.WORKERS)
    assert first == second
    assert first["keras"] == first["manager"] == first["plain"] == first["swapped"]
    assert first["losses"]["loss"][1] < first["losses"]["loss"][0]
