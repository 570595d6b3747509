"""Checks of the CPU kernels, at every instruction level that this processor has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tf_mavg_check import kernels, rows
from tf_mavg_check.native import LEVELS, levels, native
from tf_mavg_check.results import Result
from tf_mavg_check.runners import Cpu
from tf_mavg_check.running import results_of

if TYPE_CHECKING:
    from collections.abc import Iterator


def results() -> Iterator[Result]:
    """Results of each level; one that this processor lacks is left out."""
    for level in LEVELS:
        if level in levels():
            yield from results_of(kernels.checks_of(Cpu(level)))
            yield from results_of(rows.checks_on_cpu(level))
        else:
            reason = f"this processor has {native().supported_cpu_level()} at most"
            yield Result(f"CPU, {level}", "left out", reason)
