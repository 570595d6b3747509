"""Times updates and swaps: which cases, and what came out in plain numbers."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .. import device, names
from ..contestants.contestant import Ground
from ..contestants.several import SEVERAL_UPDATES
from ..contestants.swap_contexts import SWAP_CONTEXTS
from ..contestants.swaps import SWAPS
from ..contestants.updates import UPDATES
from ..names import A_PASS_EACH, ARITHMETIC, DROP_IN, LIMIT, PEER
from ..workloads import (
    BERT,
    BFLOAT16,
    FLOAT16,
    GPT,
    HUGE,
    MANY_LARGE,
    MANY_SMALL,
    MIXED,
    MOBILENET,
    PEERS,
    Case,
)
from . import caches
from .spread import summary
from .turns import Settings, take_turns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..contestants.contestant import Entrant


@dataclass(frozen=True)
class Operation:
    """What the contestants do, and whom they are compared with.

    Attributes:
      name: As tables call it: "update", "swap"...
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
    names.UPDATE,
    UPDATES,
    [
        Case(MANY_SMALL),
        Case(dataclasses.replace(MANY_SMALL, field=PEERS), cold=True),
        *map(Case, (MANY_LARGE, MOBILENET, BERT)),
        *(Case(MANY_LARGE, dtypes) for dtypes in (FLOAT16, BFLOAT16, MIXED)),
        Case(GPT, MIXED),
    ],
    baseline=PEER,
    limit=LIMIT,
)
SWAP: Final = Operation(
    names.SWAP,
    SWAPS,
    [*map(Case, (MANY_SMALL, MANY_LARGE, MOBILENET, BERT))],
    baseline=ARITHMETIC,
    limit=None,
)
SWAPPED: Final = Operation(
    names.SWAPPED, SWAP_CONTEXTS, [Case(MANY_SMALL)], baseline=DROP_IN, limit=None
)
SEVERAL: Final = Operation(
    names.SEVERAL,
    SEVERAL_UPDATES,
    [Case(MANY_LARGE, averages=count) for count in (2, 3)],
    baseline=A_PASS_EACH,
    limit=None,
)
OPERATIONS: Final = (UPDATE, SEVERAL, SWAP, SWAPPED)
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
    settings: Settings, choice: Choice, operations: Iterable[Operation] = OPERATIONS
) -> list[dict[str, Any]]:
    """Measures every operation on every case that is chosen; an entry for each, ready for JSON."""
    entries = []
    for operation in operations:
        for case in [*operation.cases, *([ON_REQUEST] if choice.huge else [])]:
            if case.cold and device.has_gpu():  # Only the processor's caches can be emptied.
                continue
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
    flushes = [caches.new_flush(entrant.runner) for entrant in entrants] if case.cold else None
    if flushes:  # A second call in a turn would find what the first one left.
        settings = dataclasses.replace(settings, turn_seconds=0)
    with contextlib.ExitStack() as stack:
        ground = Ground(case, stack)
        steps = [(c.step, c.wait) for c in (entrant.make(ground) for entrant in entrants)]
        calls, seconds = take_turns(steps, settings, flushes)
    return {
        "operation": operation.name,
        "workload": case.workload.name,
        "dtypes": case.dtypes.name,
        "condition": case.condition,
        "averages": case.averages,
        **({"flush": caches.evidence(flushes[0])} if flushes else {}),
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
