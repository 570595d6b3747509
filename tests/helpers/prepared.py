"""Python programs in processes of their own that have imported TensorFlow before they start.

An import of TensorFlow and Keras takes four seconds of a CPU, and tests start hundreds of
processes. Each is a fork of one that has made these imports: see programs/prepared.py, also for
what differs from a new process. What is tested about a start needs subprocess instead.
"""

import atexit
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from places import PROGRAMS

# Nothing but these lines of JSON goes between the two processes.
Line = dict[str, Any]


@functools.cache
def _server() -> subprocess.Popen[str]:
    """The process that has made the imports; it ends with this one."""
    process = subprocess.Popen(
        [sys.executable, PROGRAMS / "prepared.py"],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(_end, process)
    return process


def _end(process: subprocess.Popen[str]) -> None:
    """Ends the server, whose programs have ended."""
    process.kill()
    process.communicate()


def _ask(line: Line) -> int | None:
    """What the server answers."""
    server = _server()
    server.stdin.write(f"{json.dumps(line)}\n")
    server.stdin.flush()
    return json.loads(server.stdout.readline())


class Process:
    """A process that runs a program; its methods are those of subprocess.Popen."""

    def __init__(
        self,
        arguments: list[object],
        folder: Path,
        output: Path,
        errors: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Starts it.

        Args:
          arguments: A path or "-c" and a text, and the program's own.
          folder: Where to run.
          output: A file at whose end stands what it prints.
          errors: The same of its errors; None is `output`.
          environment: Variables beside those of this process.
        """
        self.returncode: int | None = None
        self.pid = _ask(
            {
                "arguments": [str(argument) for argument in arguments],
                "folder": str(folder),
                "output": str(output),
                "errors": str(errors or output),
                "environment": {**os.environ, **(environment or {})},
            }
        )

    def poll(self) -> int | None:
        """The status with which it has ended; None if it runs."""
        if self.returncode is None:
            self.returncode = _ask({"process": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits until it has ended, at most so many seconds."""
        deadline = time.monotonic() + (timeout or float("inf"))
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.02)
        return status

    def send_signal(self, number: signal.Signals) -> None:
        """Sends it a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it, if it runs."""
        self.send_signal(signal.SIGKILL)


def run(
    arguments: list[object],
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout: float = 300,
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end, and returns what it wrote, as subprocess.run does.

    Raises:
      TimeoutExpired: It took more than so many seconds, and was killed.
    """
    with tempfile.TemporaryDirectory() as files:
        output, errors = Path(files, "output"), Path(files, "errors")
        process = Process(arguments, folder or Path.cwd(), output, errors, environment)
        try:
            status = process.wait(timeout)
        finally:
            process.kill()
        return subprocess.CompletedProcess(
            arguments, status, output.read_text(), errors.read_text()
        )
