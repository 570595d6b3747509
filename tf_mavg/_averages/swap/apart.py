"""Several holders of averages that swap at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tf_mavg._compat.distribute import name_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tf_mavg._averages.averages import Averages


def check_apart(holders: Iterable[Averages]) -> None:
    """Raises ValueError if two holders average one variable, whose place two averages would take.

    Args:
      holders: Holders, none of them twice.
    """
    seen: set[int] = set()
    for holder in holders:
        variables = {id(variable): variable for variable in holder.variables()}
        for key in variables.keys() & seen:
            message = (
                "Averages that are swapped together must be of different variables. Received: "
                f"{name_of(variables[key])!r}, which two of them average; leave it out of one, or "
                "swap one after the other."
            )
            raise ValueError(message)
        seen |= variables.keys()
