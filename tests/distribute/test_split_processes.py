"""Split averages that workers share, in real processes: the bits of float32 ones, and files."""

import cluster
import pytest

pytestmark = pytest.mark.slow

PROGRAM = "split_shares.py"


def test_workers_share_split_averages_to_the_last_bit(tmp_path):
    (of_one_process,) = cluster.said_by_replicas(PROGRAM, tmp_path)
    expected = {"alike": True, "back": True, "read": [True, True, True], "moved": True}
    assert expected.items() <= of_one_process.items()
    with cluster.train(PROGRAM, tmp_path / "two") as workers:
        assert workers.wait(cluster.WORKERS, 100) == [0, 0], workers.logs()
        for task in cluster.WORKERS:
            assert workers.said(task) == [of_one_process]
