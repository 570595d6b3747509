"""A process that has imported TensorFlow and Keras, and runs each program in a fork of itself.

    python prepared.py

Each line of its input is JSON, and is answered by one. With "arguments" it starts a program, and
the answer is the number of its process: "arguments" are those that would follow `python`, a path
or `-c` and a text; "environment" has all variables; "folder" is where to run; "output" and
"errors" are files that get what is written. With "process" the answer is the status with which
that one has ended, or null while it runs.

A program finds what a new process would have that has made these imports: nothing has run before,
and what it changes ends with it. Only what the dynamic linker reads of the environment, and the
interpreter as it starts, is this process's own. Functions of atexit are not called.
"""

import os
import sys
import types
import warnings
from pathlib import Path

import keras  # noqa: F401 - imported once for all programs.
import tensorflow as tf  # noqa: F401 - the same.
from forks import answer_lines, run_and_end


def folders_to_import_from() -> list[str]:
    """Those that the environment names."""
    return [*filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]


def run(arguments: list[str]) -> None:
    """Runs a program as `python` does with these arguments."""
    warnings.filterwarnings("error", category=DeprecationWarning, module="__main__")
    module = types.ModuleType("__main__")
    if arguments[0] == "-c":
        name, text = "<string>", arguments.pop(1)
        sys.path[0] = ""
    else:
        name = module.__file__ = arguments[0]
        text = Path(name).read_text()
        sys.path[0] = str(Path(name).parent)
    sys.argv = arguments
    sys.modules["__main__"] = module
    exec(compile(text, name, "exec"), module.__dict__)  # noqa: S102 - as it is asked to.


def run_as_asked(
    arguments: list[str], environment: dict[str, str], folder: str, output: str, errors: str
) -> int:
    """Makes this process that of a program, runs it, and returns its status."""
    first, *others = sys.path
    own = folders_to_import_from()
    os.environ.clear()
    os.environ.update(environment)
    sys.path = [first, *folders_to_import_from(), *(one for one in others if one not in own)]
    for helper in ("forks", "places"):  # They keep this process's PYTHONPATH.
        del sys.modules[helper]
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for descriptor, path in ((1, output), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    try:
        run(arguments)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def start(**program: object) -> int:
    """Starts a program in a fork, and returns the number of that process."""
    child = os.fork()
    if child == 0:
        run_and_end(lambda: run_as_asked(**program))
    return child


def status_of(process: int) -> int | None:
    """The status with which a process has ended, which is asked for no more; None if it runs."""
    ended, status = os.waitpid(process, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def answer(**asked: object) -> int | None:
    """Does what a line asks."""
    return status_of(**asked) if "process" in asked else start(**asked)


if __name__ == "__main__":
    answer_lines(answer)
