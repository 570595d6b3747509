"""Starts a cluster of processes on this machine, for the examples that train on several.

On machines of your own you start a process on each, and set TF_CONFIG there as it is set here:
TensorFlow reads from it who takes part, and which of them this process is.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def own_task() -> tuple[str, int] | None:
    """The job and the number of this process in its cluster; None if it is in none yet."""
    task = json.loads(os.environ.get("TF_CONFIG", "{}")).get("task")
    return None if task is None else (task["type"], task["index"])


def run(jobs: Mapping[str, int], leader: str) -> int:
    """Runs this program once more for each task of a cluster, until those of one job have ended.

    Args:
      jobs: How many tasks each job has.
      leader: The job that ends by itself; the others are stopped then.

    Returns:
      The exit code: that of the first leader that failed, else 0.
    """
    with ExitStack() as stack:
        # Each socket reserves a port of the loopback interface until all have one.
        sockets = {
            job: [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
            for job, count in jobs.items()
        }
        cluster = {
            job: [f"127.0.0.1:{one.getsockname()[1]}" for one in listening]
            for job, listening in sockets.items()
        }
    processes: dict[str, list[subprocess.Popen[bytes]]] = {job: [] for job in jobs}
    try:
        for job, addresses in cluster.items():
            for index in range(len(addresses)):
                config = {"cluster": cluster, "task": {"type": job, "index": index}}
                environment = os.environ | {"TF_CONFIG": json.dumps(config)}
                command = [sys.executable, *sys.argv]
                started = subprocess.Popen(command, env=environment)  # noqa: S603 - this program.
                processes[job].append(started)
        codes = [process.wait() for process in processes[leader]]
    finally:
        for process in [one for of_job in processes.values() for one in of_job]:
            process.kill()
            process.wait()
    return next((code for code in codes if code), 0)
