"""Kills and hampers what trains and saves, and checks what is left; a program for test_chaos.

Each line of its input is JSON: "face" of chaos_faces, "folder", and either "signal", "kills" and
"seed", or "fault"; and "seconds", how long a child may take. It answers each with a line of JSON:
how many of the children found a checkpoint of the one before them, and how many went on as if no
signal had come; or "error", with the log of the child, which has stacks if it hangs. Children are
forks, before TensorFlow has started a thread here.
"""

import contextlib
import faulthandler
import json
import os
import pwd
import random
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import chaos_faces
from forks import answer_lines, run_and_end

# What a child reports, a byte each.
NONE_FOUND, FOUND, ACTED, DROPPED = b"0", b"1", b"s", b"d"


class Failed(Exception):  # noqa: N818 - it is no error of the program.
    """A child has found something wrong."""


came: list[int] = []  # The signals that have come.


def stop(number: int, _: object) -> None:
    """Handles a signal as a job's program does."""
    came.append(number)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(number)


class Child(NamedTuple):
    """A fork: its id, the pipe that it reports to, and the file that has what it prints."""

    process: int
    reading: int
    log: Path

    def kill(self) -> None:
        """Ends it, if it has not ended."""
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)

    def fail(self, what: str) -> NoReturn:
        """Raises the error that the child did this, with what it has printed."""
        message = f"the child {self.process} {what}\n{self.log.read_text()[-6000:]}"
        raise Failed(message)

    def reported(self, until: float) -> bytes:
        """The next byte that it reports, none once it has ended; raises Failed if none comes."""
        if not select.select([self.reading], [], [], max(0.0, until - time.monotonic()))[0]:
            os.kill(self.process, signal.SIGUSR1)  # Has it say where each thread stands.
            time.sleep(2)
            self.fail("hangs")
        return os.read(self.reading, 1)

    def works(self, seconds: float) -> bytes:
        """The next byte that it reports; raises Failed if it hangs or has ended."""
        said = self.reported(time.monotonic() + seconds)
        if not said:
            self.fail("could not go on")
        return said

    def end(self, number: int, seconds: float) -> bytes:
        """What else it reports, after a signal; raises Failed unless it ends, and well."""
        until = time.monotonic() + seconds
        said = b"".join(iter(lambda: self.reported(until), b""))
        os.close(self.reading)
        code = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        if code != (-number if number == signal.SIGKILL else 0):
            self.fail(f"ended with {code}")
        return said


def child(run: Any, folder: Path, environment: dict[str, str]) -> Child:
    """Forks a child that runs a function, which takes what it reports to."""
    reading, writing = os.pipe()

    def act() -> None:
        os.close(reading)
        os.environ.update(environment)
        chaos_faces.log(folder)
        faulthandler.register(signal.SIGUSR1)
        run(writing)

    process = os.fork()
    if process == 0:
        run_and_end(act)
    os.close(writing)
    return Child(process, reading, folder / f"{process}.log")


def work(kind: str, folder: Path, report: int) -> None:
    """Goes on from what is there until a signal comes; then all is in its place."""
    face = chaos_faces.FACES[kind](folder)
    os.write(report, FOUND if face.resume() else NONE_FOUND)
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        while not came:
            face.act()
            os.write(report, ACTED)
        # Python drops what a handler raises within a finalizer and the call of a weak reference,
        # and TensorFlow makes many of both. The one signal has come all the same.
        os.write(report, DROPPED)
    except BaseException:
        if not came:  # TensorFlow makes other exceptions of these.
            raise
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    face.check()


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


def killed(kind: str, folder: Path, number: int, seconds: float, part: float) -> bytes:
    """What children report that one signal each has ended, in some part of what they do."""
    children = [
        child(lambda report: work(kind, folder, report), folder, environment)
        for environment in environments(kind)
    ]
    try:
        firsts = [one.works(seconds) for one in children]
        start = time.monotonic()
        for one in children:
            one.works(seconds)
        # Somewhere in what it does next, however fast this machine is now.
        time.sleep(part * (time.monotonic() - start))
        # All workers end together: one alone would wait for the other.
        for one in children:
            os.kill(one.process, number)
        return firsts[0] + b"".join([one.end(number, seconds) for one in children])
    finally:
        for one in children:
            one.kill()


def campaign(asked: dict[str, Any]) -> dict[str, int]:
    """Kills children one after the other."""
    rng, said = random.Random(asked["seed"]), b""
    for _ in range(asked["kills"]):
        number, part = signal.Signals[asked["signal"]], rng.uniform(0.0, 1.5)
        said += killed(asked["face"], Path(asked["folder"]), number, asked["seconds"], part)
    return {"found": said.count(FOUND), "dropped": said.count(DROPPED)}


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


def answer(**asked: Any) -> dict[str, Any]:
    """Does what is asked."""
    try:
        if "fault" not in asked:
            return campaign(asked)
        folder = Path(asked["folder"])
        one = child(
            lambda report: hampered(asked["face"], folder, asked["fault"], report), folder, {}
        )
        try:
            return {"found": one.end(0, asked["seconds"]).count(FOUND)}
        finally:
            one.kill()
    except Failed as error:
        return {"error": str(error)}


if __name__ == "__main__":
    answer_lines(answer)
