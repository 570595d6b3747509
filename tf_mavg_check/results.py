"""What a check found: one result for each thing that was checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

Outcome = Literal["passed", "failed", "left out"]


class Result(NamedTuple):
    """What became of one check.

    Attributes:
      subject: What was checked, as in "GPU, PTX, large table: swap".
      outcome: "passed", "failed" or "left out".
      detail: How much was compared, what differs, or why it was left out.
      seconds: How long it took.
    """

    subject: str
    outcome: Outcome
    detail: str
    seconds: float = 0.0


class LeftOut(Exception):  # noqa: N818 - it is no error.
    """Says why a check cannot be done here."""


class Wrong(Exception):  # noqa: N818 - it is what a check looks for.
    """Says what a kernel got wrong."""


class Check(NamedTuple):
    """Something to check.

    Attributes:
      subject: As of its result.
      run: Does it, and says how much was compared.

    `run` raises LeftOut or Wrong; any other exception is a failure as well.
    """

    subject: str
    run: Callable[[], str]


Checks = Iterator[Check]
