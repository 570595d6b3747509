"""Names that a command line chooses from: an unknown one is refused with the nearest known one."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from .measuring.replicas import CASES as OF_REPLICAS
from .measuring.steps import ON_REQUEST, OPERATIONS, contains_one

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .measuring.steps import Choice


def check(choice: Choice) -> None:
    """Raises ValueError if a text of a choice is part of no name."""
    cases = [case for operation in OPERATIONS for case in operation.cases]
    workloads = [case.name for case in [*cases, *OF_REPLICAS, ON_REQUEST]]
    contestants = [entrant.label for operation in OPERATIONS for entrant in operation.entrants]
    _check("--workload", choice.workloads, workloads)
    _check("--contestant", choice.contestants, contestants)


def _check(option: str, texts: Iterable[str], names: Iterable[str]) -> None:
    known = list(dict.fromkeys(names))
    for text in texts:
        if any(contains_one(name, [text]) for name in known):
            continue
        nearest = difflib.get_close_matches(text, known, n=1, cutoff=0)[0]
        message = (
            f"{option} must be part of a name. Received: {text!r}; the nearest one is "
            f"{nearest!r}, and all are {', '.join(map(repr, known))}."
        )
        raise ValueError(message)
