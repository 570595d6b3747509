"""How commands run: a user's mistake is one sentence, and TensorFlow does not chat."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
import tempfile
from typing import IO, TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

P = ParamSpec("P")
R = TypeVar("R")


class Refused(click.ClickException):
    """What the user can put right: status 1, where an error in the command line itself has 2."""

    def __init__(self, message: str) -> None:
        """Takes the message of the command that runs."""
        super().__init__(message)
        self._command = click.get_current_context().command_path

    def show(self, file: IO[Any] | None = None) -> None:
        """Writes the message after the command's name."""
        click.echo(f"{self._command}: {self.message}", file, err=True)


def command_body(function: Callable[P, R]) -> Callable[P, R]:
    """The function of a command that needs TensorFlow, which it may import when it is called.

    Errors that users can put right end the command with their message alone.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            _import_quietly("tf_mavg")
            return function(*args, **kwargs)
        except (OSError, ValueError, ImportError) as error:
            raise Refused(str(error)) from error

    return run


def _import_quietly(module: str) -> None:
    """Imports a module; what native code then writes about itself is shown only if that fails."""
    if module in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # Errors still show.
    with tempfile.TemporaryFile() as written:
        try:
            with _standard_error_in(written):
                importlib.import_module(module)
        except BaseException:
            written.seek(0)
            click.echo(written.read(), err=True, nl=False)
            raise


@contextlib.contextmanager
def _standard_error_in(file: IO[bytes]) -> Iterator[None]:
    """Has native code, too, write its messages into a file."""
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
