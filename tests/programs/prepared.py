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

import json
import os
import sys
import traceback
import types
import warnings
from pathlib import Path

import keras  # noqa: F401 - imported once for all programs.
import tensorflow as tf  # noqa: F401


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


def be(
    arguments: list[str], environment: dict[str, str], folder: str, output: str, errors: str
) -> None:
    """Makes this process that of a program, and ends it."""
    status = 1
    try:
        os.environ.clear()
        os.environ.update(environment)
        sys.path[1:1] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for descriptor, path in ((1, output), (2, errors)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
        run(arguments)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:  # noqa: BLE001 - whatever it is, the errors have it.
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def start(**program: object) -> int:
    """Starts a program in a fork, and returns the number of that process."""
    child = os.fork()
    if child == 0:
        be(**program)
    return child


def status_of(process: int) -> int | None:
    """The status with which a process has ended, which is asked for no more; None if it runs."""
    ended, status = os.waitpid(process, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def main() -> None:
    """Answers lines until there are no more."""
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps((status_of if "process" in asked else start)(**asked)), flush=True)


if __name__ == "__main__":
    main()
