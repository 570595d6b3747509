"""Who updates several averages of each variable: in one pass over memory, or in a pass for each."""

from __future__ import annotations

from itertools import chain
from typing import Final

import tf_mavg

from ..names import A_PASS_EACH, ONE_PASS
from ..workloads import EVERYONE, VARIABLES
from .contestant import Contestant, Entrant, Ground, outside_graphs


def one_pass(ground: Ground) -> Contestant:
    """All averages in one binding, and so in one op: it reads each variable once."""
    averages, variables = ground.lists_of_averages(), ground.variables(VARIABLES)
    binding, decays = tf_mavg.ops.Binding(averages, variables), ground.case.decays

    def step() -> None:
        binding.apply_moving_average(decays)

    return outside_graphs(step, [*chain(*averages)], variables)


def a_pass_each(ground: Ground) -> Contestant:
    """A binding for the averages of each decay."""
    averages, variables = ground.lists_of_averages(), ground.variables(VARIABLES)
    bindings = [tf_mavg.ops.Binding(of_decay, variables) for of_decay in averages]
    decays = ground.case.decays

    def step() -> None:
        for binding, decay in zip(bindings, decays, strict=True):
            binding.apply_moving_average(decay)

    return outside_graphs(step, [*chain(*averages)], variables)


SEVERAL_UPDATES: Final = (
    Entrant(ONE_PASS, "eager", one_pass, EVERYONE, mixed=True),
    Entrant(A_PASS_EACH, "eager", a_pass_each, EVERYONE, mixed=True),
)
