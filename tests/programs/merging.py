"""Programs of their own that merge: one tells its peak memory, one is killed on the way.

Arguments: what to do, then the paths of the inputs and of the output.
"""

import os
import resource
import signal
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import tf_mavg


def memory(*paths: str) -> None:
    """Prints by how many bytes the peak of memory grows while it merges."""
    *inputs, small, output = paths
    tf_mavg.merge_checkpoints([small], f"{output}-small")  # All code that it needs is loaded.
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tf_mavg.merge_checkpoints(inputs, output)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)


def killed(at: str, *paths: str) -> None:
    """Is killed at a value, or with "renamed" when the first file has its name."""
    *inputs, output = paths

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def watch() -> None:
        while not any(Path(output).parent.glob(f"{Path(output).name}*")):
            pass
        die()

    def keys(given: list[str]) -> Iterable[str]:
        for i, key in enumerate(given):
            if str(i) == at:
                die()
            yield key
        if at == "end":
            die()

    if at == "renamed":
        threading.Thread(target=watch, daemon=True).start()
    tf_mavg.merge_checkpoints(inputs, output, progress=keys)
    threading.Event().wait()


if __name__ == "__main__":
    {"memory": memory, "killed": killed}[sys.argv[1]](*sys.argv[2:])
