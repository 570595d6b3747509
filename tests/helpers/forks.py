"""Programs that have made their imports once, answer lines of JSON, and do their work in forks."""

import contextlib
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from places import PROGRAMS, PROGRAMS_IMPORT


def run_and_end(work: Callable[[], int | None]) -> NoReturn:
    """Does a fork's work and ends the process: with its status or 0; or with 1 and a traceback."""
    status = 1
    try:
        status = work() or 0
    except BaseException:  # noqa: BLE001 - whatever it is, the log has it.
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def log_to(path: str | os.PathLike[str]) -> None:
    """Has a file take what this process prints."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)


def answer_lines(answer: Callable[..., Any]) -> None:
    """Answers each line of the input, until there are no more: the other side of `asked`."""
    for line in sys.stdin:
        sys.stdout.write(f"{json.dumps(answer(**json.loads(line)))}\n")
        sys.stdout.flush()


@contextlib.contextmanager
def asked(
    program: str, environment: Mapping[str, str] | None = None
) -> Iterator[Callable[..., Any]]:
    """A program of tests/programs as a function: of what a line asks, gives what it answers.

    `environment` has variables beside those of this process.
    """
    variables = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": PROGRAMS_IMPORT, **(environment or {})}
    process = subprocess.Popen(
        [sys.executable, PROGRAMS / program],
        env=os.environ | variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def ask(**what: object) -> Any:
        process.stdin.write(f"{json.dumps(what, default=str)}\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    with process:
        yield ask
        process.kill()
