"""Runs checks one after the other, whatever becomes of each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tf_mavg_check.results import LeftOut, Result, Wrong

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tf_mavg_check.results import Check, Checks, Outcome


def results_of(checks: Checks) -> Iterator[Result]:
    """The result of each check, as soon as it is there."""
    for check in checks:
        began = time.perf_counter()
        outcome, detail = _outcome_of(check)
        yield Result(check.subject, outcome, detail, time.perf_counter() - began)


def _outcome_of(check: Check) -> tuple[Outcome, str]:
    try:
        return "passed", check.run()
    except LeftOut as reason:
        return "left out", str(reason)
    except Wrong as difference:
        return "failed", str(difference)
    except Exception as error:  # noqa: BLE001 - whatever a broken installation raises.
        return "failed", f"{type(error).__name__}: {error}"
