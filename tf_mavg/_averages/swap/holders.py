"""All holders of averages of the process: what changes variables can ask who has swapped them."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tf_mavg._averages.averages import Averages

_HOLDERS: weakref.WeakSet[Averages] = weakref.WeakSet()


def note_holder(holder: Averages) -> None:
    """Notes that a holder was made."""
    _HOLDERS.add(holder)


def swapped_holders(variables: Iterable[Any]) -> list[Averages]:
    """The holders that have put averages in the place of some of the variables."""
    asked = list(variables)
    return [
        holder
        for holder in list(_HOLDERS)
        if holder.state.is_swapped and any(holder.entry_of(one) is not None for one in asked)
    ]
