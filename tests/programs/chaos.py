"""Kills and hampers what trains and saves, and checks what is left; a program for test_chaos.

Each line of its input is JSON: "face" of chaos_faces, "folder", and either "signal", "kills" and
"seed", or "fault". It answers each with a line of JSON: how many of the children found a checkpoint
of the one before them, or "error". Children are forks, before TensorFlow has started a thread here.
"""

import contextlib
import json
import os
import pwd
import random
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chaos_faces
from forks import run_and_end

# What a child reports, a byte each.
NONE_FOUND, FOUND, ACTED = b"0", b"1", b"s"
MAX_SECONDS = 120
SECONDS_TO_NEXT = 15


class Failed(Exception):  # noqa: N818 - it is no error of the program.
    """A child has found something wrong."""


came: list[int] = []  # The signals that have come.


def stop(number: int, _: object) -> None:
    """Handles a signal as a job's program does."""
    came.append(number)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(number)


def child(run: Any, folder: Path, environment: dict[str, str]) -> tuple[int, int]:
    """Forks a child that runs a function; returns its id and what it reports to."""
    reading, writing = os.pipe()

    def act() -> None:
        os.close(reading)
        os.environ.update(environment)
        chaos_faces.log(folder)
        run(writing)

    process = os.fork()
    if process == 0:
        run_and_end(act)
    os.close(writing)
    return process, reading


def work(kind: str, folder: Path, report: int) -> None:
    """Goes on from what is there until a signal comes; then all is in its place."""
    face = chaos_faces.FACES[kind](folder)
    os.write(report, FOUND if face.resume() else NONE_FOUND)
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        while True:
            face.act()
            os.write(report, ACTED)
    except BaseException:
        if not came:  # TensorFlow makes other exceptions of these.
            raise
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    face.check()


def wait(process: int, number: int) -> None:
    """Waits for a child that a signal was sent to; raises Failed unless it ended well."""
    begin = again = time.monotonic()
    while time.monotonic() < begin + MAX_SECONDS:
        if number and time.monotonic() > again + SECONDS_TO_NEXT:
            # Python drops what a handler raises within a finalizer.
            again = time.monotonic()
            os.kill(process, number)
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            if code not in ({-number} if number == signal.SIGKILL else {0}):
                message = f"the child {process} ended with {code}"
                raise Failed(message)
            return
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    message = f"the child {process} did not end"
    raise Failed(message)


def environments(kind: str) -> list[dict[str, str]]:
    """The variables of each process of a face."""
    if kind != "workers":
        return [{}]
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    return [
        {
            "TF_CONFIG": json.dumps(
                {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            )
        }
        for index in range(2)
    ]


def campaign(kind: str, folder: Path, number: int, kills: int, seed: int) -> int:
    """Kills children one after the other; returns how many of them found a checkpoint."""
    rng, found = random.Random(seed), 0
    for _ in range(kills):
        children = [
            child(lambda report: work(kind, folder, report), folder, environment)
            for environment in environments(kind)
        ]
        # All workers end together: one alone would wait for the other.
        firsts = [os.read(reading, 1) for _, reading in children]
        start = time.monotonic()
        seconds = [os.read(reading, 1) for _, reading in children]
        if not all(firsts) or not all(seconds):
            for process, _ in children:
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
            message = f"a child could not go on: {firsts}, {seconds}"
            raise Failed(message)
        found += firsts[0] == FOUND
        # Somewhere in what it does next, however fast this machine is now.
        time.sleep(rng.uniform(0.0, 1.5 * (time.monotonic() - start)))
        for process, _ in children:
            os.kill(process, number)
        for process, reading in children:
            wait(process, number)
            os.close(reading)
    return found


@contextlib.contextmanager
def limited(which: int, value: int) -> Iterator[None]:
    """A context with a limit of this process."""
    before = resource.getrlimit(which)
    resource.setrlimit(which, (value, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(which, before)


@contextlib.contextmanager
def nobody(folder: Path) -> Iterator[None]:
    """A context of a user who may write nowhere below a folder."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    user = os.geteuid()
    if user == 0:  # Whom permissions do not keep.
        os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        yield
    finally:
        os.seteuid(user)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)


def faults(folder: Path) -> dict[str, Any]:
    """What hampers a save, by name."""
    return {
        # A file may not grow further, as on a full disk.
        "full": lambda: limited(resource.RLIMIT_FSIZE, 20_000),
        # No further file can be opened.
        "handles": lambda: limited(
            resource.RLIMIT_NOFILE, len([*Path("/proc/self/fd").iterdir()]) - 1
        ),
        "permissions": lambda: nobody(folder),
    }


def hampered(kind: str, folder: Path, fault: str, report: int) -> None:
    """A save that fails: it says so, all is in its place, and the last file is whole."""
    files = folder / "files"
    files.mkdir()
    face = chaos_faces.FACES[kind](files)
    face.act()
    kept = face.resume()
    assert kept
    refused = None
    with faults(files)[fault]():
        try:
            face.save()
        except Exception as error:  # noqa: BLE001 - of TensorFlow, of Keras, or of the system.
            refused = error
    assert refused is not None, "the save did not fail"
    face.check()
    assert face.resume()
    face.act()
    face.check()
    os.write(report, FOUND)


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Does what is asked."""
    folder = Path(asked["folder"])
    try:
        if "fault" in asked:
            process, _ = child(
                lambda report: hampered(asked["face"], folder, asked["fault"], report), folder, {}
            )
            wait(process, 0)
            return {"found": 1}
        number = signal.Signals[asked["signal"]]
        return {"found": campaign(asked["face"], folder, number, asked["kills"], asked["seed"])}
    except Failed as error:
        logs = "".join(path.read_text()[-3000:] for path in sorted(folder.glob("*.log"))[-2:])
        return {"error": f"{error}\n{logs}"}


def main() -> None:
    """Answers lines until there are no more."""
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
