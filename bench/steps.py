"""Times updates and swaps: which cases, and what came out in plain numbers."""

from __future__ import annotations

import contextlib
import gc
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .contestant import Ground
from .spread import summary
from .swaps import ARITHMETIC, SWAPS
from .turns import Settings, take_turns
from .updates import LIMIT, PEER, UPDATES
from .workloads import (
    BERT,
    BFLOAT16,
    FLOAT16,
    GPT,
    HUGE,
    MANY_LARGE,
    MANY_SMALL,
    MIXED,
    MOBILENET,
    RESNET,
    VERY_MANY,
    Case,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .contestant import Entrant


@dataclass(frozen=True)
class Operation:
    """What the contestants do, and whom they are compared with.

    Attributes:
      name: "update" or "swap".
      entrants: All contestants.
      cases: What they are measured on.
      baseline: Name of the contestants that the others' speed is a multiple of.
      limit: Name of the contestant that no other can be much faster than, if there is one.
    """

    name: str
    entrants: Sequence[Entrant]
    cases: Sequence[Case]
    baseline: str
    limit: str | None


UPDATE: Final = Operation(
    "update",
    UPDATES,
    [
        *map(Case, (MANY_SMALL, MANY_LARGE, VERY_MANY, RESNET, MOBILENET, BERT)),
        *(Case(MANY_LARGE, dtypes) for dtypes in (FLOAT16, BFLOAT16, MIXED)),
        Case(RESNET, MIXED),
        Case(GPT, MIXED),
    ],
    baseline=PEER,
    limit=LIMIT,
)
SWAP: Final = Operation(
    "swap",
    SWAPS,
    [*map(Case, (MANY_SMALL, MANY_LARGE, RESNET, MOBILENET, BERT)), Case(MANY_LARGE, BFLOAT16)],
    baseline=ARITHMETIC,
    limit=None,
)
ON_REQUEST: Final = Case(HUGE, BFLOAT16)


@dataclass(frozen=True)
class Choice:
    """What of all this is measured: names that contain one of these texts; all if there is none."""

    workloads: Sequence[str] = ()
    contestants: Sequence[str] = ()
    huge: bool = False

    def has_case(self, case: Case) -> bool:
        """Whether a case is measured."""
        return contains_one(case.name, self.workloads)

    def has_entrant(self, entrant: Entrant) -> bool:
        """Whether a contestant is."""
        return contains_one(entrant.label, self.contestants)


def contains_one(name: str, texts: Sequence[str]) -> bool:
    """Whether a name contains one of some texts, or there are none."""
    return not texts or any(text in name for text in texts)


def measure_steps(
    settings: Settings, choice: Choice, operations: Iterable[Operation] = (UPDATE, SWAP)
) -> list[dict[str, Any]]:
    """Measures every operation on every case that is chosen; an entry for each, ready for JSON."""
    entries = []
    for operation in operations:
        for case in [*operation.cases, *([ON_REQUEST] if choice.huge else [])]:
            entrants = [
                e for e in operation.entrants if choice.has_entrant(e) and e.takes_part(case)
            ]
            if choice.has_case(case) and entrants:
                entries.append(measure(operation, case, entrants, settings))
                gc.collect()
    return entries


def measure(
    operation: Operation, case: Case, entrants: Sequence[Entrant], settings: Settings
) -> dict[str, Any]:
    """Measures the contestants of a case together, ready for JSON."""
    print(f"{operation.name}, {case.name}: {len(entrants)} contestants", file=sys.stderr)
    with contextlib.ExitStack() as stack:
        ground = Ground(case, stack)
        contestants = [entrant.make(ground) for entrant in entrants]
        calls, seconds = take_turns([(c.step, c.wait) for c in contestants], settings)
    return {
        "operation": operation.name,
        "workload": case.workload.name,
        "dtypes": case.dtypes.name,
        "variables": len(case.workload.shapes),
        "elements": case.elements,
        "update_bytes": case.update_bytes,
        "baseline": operation.baseline,
        "limit": operation.limit,
        "contestants": [
            {"name": e.name, "runner": e.runner, "ours": e.ours, "calls_a_turn": n, **summary(s)}
            for e, n, s in zip(entrants, calls, seconds, strict=True)
        ],
    }
