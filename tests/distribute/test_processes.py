"""Averages of clusters, in real processes: two workers; a chief with workers and servers."""

import contextlib
import signal
import time

import cluster
import numpy as np
import pytest
import tensorflow as tf

import tf_mavg

CHIEF, SECOND_WORKER = ("chief", 0), ("worker", 1)
TRAINING = "replicated_training.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def uninterrupted(folder):
    """What two replicas of one process come to in fifty steps."""
    return cluster.said_by_replicas(TRAINING, folder)[-1]


def train(folder, *arguments: str):
    """A run of the workers; returns the context of their cluster."""
    return cluster.train(TRAINING, folder, *arguments)


def test_workers_average_as_replicas_of_one_process(folder, uninterrupted):
    with train(folder / "two") as workers:
        assert workers.wait(cluster.WORKERS, 100) == [0, 0], workers.logs()
        for task in cluster.WORKERS:
            assert workers.said(task) == [uninterrupted]


def test_a_run_that_lost_a_worker_ends_in_the_bits_of_one_that_did_not(folder, uninterrupted):
    with train(folder / "dies", "die") as workers:
        assert workers.wait(cluster.WORKERS, 100)[1] == 42, workers.logs()
    with train(folder / "dies") as workers:
        assert workers.wait(cluster.WORKERS, 100) == [0, 0], workers.logs()
        for task in cluster.WORKERS:
            assert workers.said(task) == [uninterrupted]


def test_a_worker_that_swaps_alone_fails_at_once_and_so_do_the_others(folder):
    with train(folder / "alone", "alone") as workers:
        assert workers.wait(cluster.WORKERS, 100) == [0, 0], workers.logs()
        ((other,), (alone,)) = (workers.said(task) for task in cluster.WORKERS)
    assert alone["error"].startswith("All workers must swap averages and variables at the same")
    assert max(other["seconds"], alone["seconds"]) < 10


def serve(folder, shards):
    return cluster.running(
        cluster.PARAMETER_SERVERS, "parameter_servers.py", folder, str(folder / "files"), shards
    )


@pytest.fixture(scope="module")
def served(folder):
    """What the chief of parameter servers said, and the folder of its checkpoint."""
    (folder / "servers" / "files").mkdir(parents=True)
    with serve(folder / "servers", "2") as servers:
        deadline, killed = time.monotonic() + 120, False
        while time.monotonic() < deadline and servers.processes[CHIEF].poll() is None:
            time.sleep(0.05)
            if not killed and {"kill": True} in servers.said(CHIEF):
                servers.processes[SECOND_WORKER].send_signal(signal.SIGKILL)
                servers.processes[SECOND_WORKER].wait()
                servers.start(SECOND_WORKER)
                killed = True
        assert servers.processes[CHIEF].poll() == 0, servers.logs()
        said = servers.said(CHIEF)
    return {key: value for line in said for key, value in line.items()}, said


def test_each_average_lies_on_the_server_of_its_shard(served):
    facts, _ = served
    assert len(facts["devices"]) == 2
    assert facts["beside"]


def test_updates_of_servers_are_exact_and_none_is_lost(served):
    facts, _ = served
    assert facts["serial"]
    assert facts["concurrent"]


def test_a_swap_waits_for_no_worker_and_no_worker_trains_averages(served):
    facts, said = served
    assert facts["swapped"]
    assert facts["back"]
    before_join, after_join = (line["refused"] for line in said if "refused" in line)
    assert "call the coordinator's join() first" in before_join
    assert "No step can be taken while averages and variables are swapped" in after_join


def test_a_killed_worker_loses_no_update_and_doubles_at_most_its_own(served):
    facts, _ = served
    for done in facts["done"]:
        assert facts["scheduled"] <= done <= facts["scheduled"] + 2


def test_a_checkpoint_of_servers_holds_whole_tensors_and_resumes(served):
    facts, _ = served
    assert facts["resumed"]
    assert facts["whole"] == [7, 3]


def test_other_numbers_of_shards_restore_it(served, folder):
    assert served
    with serve(folder / "servers", "3") as servers:
        assert servers.wait([CHIEF], 100) == [0], servers.logs()
        assert {"restored": True} in servers.said(CHIEF)


@pytest.mark.parametrize("replicas", [None, 2], ids=["no strategy", "mirrored"])
def test_a_run_of_servers_moves_to_one_process(replicas, served, folder, logical_cpus):
    assert served
    names = {"table": ([7, 3], tf.float32), "scalar": ([], tf.float32), "wide": ([5], tf.float64)}
    scope = contextlib.nullcontext()
    if replicas:
        scope = tf.distribute.MirroredStrategy(logical_cpus[:replicas]).scope()
    with scope:
        variables = {
            name: tf.Variable(tf.zeros(shape, dtype)) for name, (shape, dtype) in names.items()
        }
    averages = tf_mavg.ExponentialMovingAverage(0.9)
    checkpoint = tf.train.Checkpoint(averages=averages, **variables)
    files = folder / "servers" / "files"
    checkpoint.restore(tf.train.latest_checkpoint(files)).assert_consumed()
    with np.load(files / "expected.npz") as expected:
        for name, variable in variables.items():
            for which, one in (("variable", variable), ("average", averages.average(variable))):
                for component in getattr(one, "values", [one]):
                    value = expected[f"{which}_{name}"]
                    assert component.numpy().tobytes() == value.tobytes(), (which, name)


def test_fit_of_tf_keras_averages_on_every_worker(folder):
    program = cluster.running(
        cluster.WORKERS, "keras_fit.py", folder / "fit", "workers", str(folder / "fit")
    )
    with program as workers:
        assert workers.wait(cluster.WORKERS, 100) == [0, 0], workers.logs()
        for task in cluster.WORKERS:
            (facts,) = workers.said(task)
            assert facts == {
                "devices": 1,
                "validated": True,
                "refused": None,
                "unchanged": False,
                "moved": True,
            }


def test_fit_of_tf_keras_averages_on_the_servers(folder):
    program = cluster.running(
        cluster.PARAMETER_SERVERS, "keras_fit.py", folder / "ps", "servers", str(folder / "ps")
    )
    with program as servers:
        assert servers.wait([CHIEF], 100) == [0], servers.logs()
        (facts,) = servers.said(CHIEF)
    assert facts["devices"] == 2
    assert facts["validated"]
    # tf_keras takes each shard for a variable: its file is for as many shards.
    assert "lacks 6 of 6 averages" in facts["refused"]
    assert facts["unchanged"]


def test_rows_of_shards_on_servers_are_averaged_lazily(folder):
    (folder / "lazy").mkdir()
    with cluster.running(
        cluster.PARAMETER_SERVERS, "lazy_parameter_servers.py", folder / "lazy"
    ) as servers:
        assert servers.wait([CHIEF], 120) == [0], servers.logs()
        facts = {key: value for line in servers.said(CHIEF) for key, value in line.items()}
    assert len(facts["devices"]) == 2
    assert facts["beside"]
    assert facts["behind"]
    assert facts["serial"] < 1e-6
    assert facts["steps"] == [200, 200]
    assert facts["concurrent"] < 1e-6
    assert facts["swapped"]


def test_averages_of_shards_on_servers_are_split(folder):
    (folder / "split").mkdir()
    with cluster.running(
        cluster.PARAMETER_SERVERS,
        "split_parameter_servers.py",
        folder / "split",
        str(folder / "split"),
    ) as servers:
        assert servers.wait([CHIEF], 120) == [0], servers.logs()
        said = servers.said(CHIEF)
    facts = {key: value for line in said for key, value in line.items()}
    assert len(facts["devices"]) == 2
    assert [line["resumed"] for line in said if "resumed" in line] == [True, True]
    for fact in ("beside", "remains", "serial", "concurrent", "swapped", "kept", "back", "whole"):
        assert facts[fact], fact
