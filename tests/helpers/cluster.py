"""Real processes of a cluster on this machine: workers, or a chief with workers and servers."""

import json
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import prepared
from places import PROGRAMS, PROGRAMS_IMPORT

WORKERS = [("worker", 0), ("worker", 1)]
PARAMETER_SERVERS = [("chief", 0), *WORKERS, ("ps", 0), ("ps", 1)]

Task = tuple[str, int]


class Cluster:
    """The processes of one program, each with a task of its own."""

    def __init__(
        self,
        tasks: Sequence[Task],
        program: str,
        folder: Path,
        *arguments: str,
        servers_import: str = "tf_mavg",
    ) -> None:
        """Chooses free ports of the loopback interface; `start` starts a task there.

        Args:
          tasks: Workers that all run the program; or a chief that does, and what it works with.
          program: The name of a program.
          folder: Where to run and to log.
          *arguments: The program's.
          servers_import: The module that a chief's workers and servers import.
        """
        self._program = [str(PROGRAMS / program), *arguments]
        self._server = [str(PROGRAMS / "server.py"), servers_import]
        self._folder = folder
        with ExitStack() as stack:
            self._addresses: dict[str, list[str]] = {}
            for job, _ in tasks:
                listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
                address = f"127.0.0.1:{listening.getsockname()[1]}"
                self._addresses.setdefault(job, []).append(address)
        self.processes: dict[Task, prepared.Process] = {}
        for task in tasks:
            self.start(task)

    def start(self, task: Task) -> None:
        """Starts the process of a task, again if there was one."""
        job, index = task
        config = {"cluster": self._addresses, "task": {"type": job, "index": index}}
        environment = {
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "",
            "TF_CONFIG": json.dumps(config),
            "PYTHONPATH": PROGRAMS_IMPORT,
        }
        serves = "chief" in self._addresses and job != "chief"
        self.processes[task] = prepared.Process(
            self._server if serves else self._program,
            self._folder,
            output=self.log(task),
            environment=environment,
        )

    def log(self, task: Task) -> Path:
        """The file of what a task prints."""
        return self._folder / f"{task[0]}-{task[1]}.log"

    def wait(self, tasks: Sequence[Task], seconds: float) -> list[int | None]:
        """Waits until tasks have ended; returns their exit codes, None of one that goes on."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if all(self.processes[task].poll() is not None for task in tasks):
                break
            time.sleep(0.1)
        return [self.processes[task].poll() for task in tasks]

    def said(self, task: Task) -> list[Any]:
        """The lines of JSON that a task has printed."""
        lines = self.log(task).read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def logs(self) -> str:
        """The ends of what all tasks printed."""
        return "".join(self.log(task).read_text()[-3000:] for task in self.processes)

    def stop(self) -> None:
        """Ends all processes."""
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()


def said_by_replicas(program: str, folder: Path) -> list[Any]:
    """The lines of JSON of a program that runs as the replicas of one process, to its end."""
    printed = prepared.must_run(
        [PROGRAMS / program, "mirrored", folder / "mirrored"],
        folder,
        {"PYTHONPATH": PROGRAMS_IMPORT},
    )
    return [json.loads(line) for line in printed.splitlines()]


def train(program: str, folder: Path, *arguments: str) -> AbstractContextManager[Cluster]:
    """A context with two workers that run a program, and save in `folder`."""
    return running(WORKERS, program, folder, "workers", str(folder / "files"), *arguments)


@contextmanager
def running(
    tasks: Sequence[Task], program: str, folder: Path, *arguments: str, **options: str
) -> Iterator[Cluster]:
    """A context with a cluster that is stopped at its end; arguments as of `Cluster`."""
    folder.mkdir(parents=True, exist_ok=True)
    cluster = Cluster(tasks, program, folder, *arguments, **options)
    try:
        yield cluster
    finally:
        cluster.stop()
