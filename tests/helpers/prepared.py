"""Python programs in processes of their own that have imported TensorFlow before they start.

An import of TensorFlow and Keras takes four seconds of a CPU, and tests start hundreds of
processes. Each is a fork of one that has made these imports: see programs/prepared.py, also for
what differs from a new process. What is tested about a start needs subprocess instead. Each
LD_LIBRARY_PATH has such a process of its own, since the dynamic linker reads it at the start alone;
a program whose path names the emulator's libraries runs on the emulated GPU. Several threads may
start programs at once.
"""

import atexit
import contextlib
import functools
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from forks import asked

_lock = threading.Lock()


@functools.cache
def _asked(libraries: str) -> Callable[..., Any]:
    """Asks the process that has made the imports with these libraries; it ends with this one."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(asked("prepared.py", {"LD_LIBRARY_PATH": libraries}))


def _ask(libraries: str, **what: object) -> Any:
    """The answer of that process: to one question at a time."""
    with _lock:
        return _asked(libraries)(**what)


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
        variables = {**os.environ, **(environment or {})}
        self.returncode: int | None = None
        self._libraries = variables.get("LD_LIBRARY_PATH", "")
        self.pid = _ask(
            self._libraries,
            arguments=[str(argument) for argument in arguments],
            folder=folder,
            output=output,
            errors=errors or output,
            environment=variables,
        )

    def poll(self) -> int | None:
        """The status with which it has ended; None if it runs."""
        if self.returncode is None:
            self.returncode = _ask(self._libraries, process=self.pid)
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


def must_run(*arguments: Any, **settings: Any) -> str:
    """What a program prints that must succeed; arguments as of `run`."""
    done = run(*arguments, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
