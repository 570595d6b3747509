"""A process that has imported TensorFlow and Keras, and runs each program in a fork of itself.

    python prepared.py

Each line of its input is JSON: "program", the text; "folder", to run in; "output", a file that
takes what the program writes. It answers each with a line: the status that the program ended with.
A program finds what a new process would have that has made these imports: nothing has run before,
and what it changes ends with it.
"""

import json
import os
import sys
import traceback
import types
import warnings

import keras  # noqa: F401 - imported once for all programs.
import tensorflow as tf  # noqa: F401


def run(program: str) -> None:
    """Runs a program as `python -c` does."""
    warnings.filterwarnings("error", category=DeprecationWarning, module="__main__")
    sys.argv = ["-c"]
    sys.modules["__main__"] = module = types.ModuleType("__main__")
    exec(compile(program, "<string>", "exec"), module.__dict__)  # noqa: S102 - as it is asked to.


def run_and_end(program: str, folder: str, output: str) -> None:
    """Runs a program in this process, and ends the process."""
    status = 1
    try:
        os.chdir(folder)
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        run(program)
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:  # noqa: BLE001 - whatever it is, the output has it.
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    """Answers lines until there are no more."""
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            run_and_end(**asked)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
