"""Several MovingAverages of a model, which swap as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tf_mavg._averages.swap.apart import check_apart
from tf_mavg._averages.swap.signals import together

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Sequence


def all_swapped(
    optimizers: Sequence[Any], index: int = 0
) -> contextlib.AbstractContextManager[None]:
    """A context in which the weights of several MovingAverages hold averages: all or none.

    They swap in their order and back in the reverse one, each of them even if another one fails.

    Raises:
      ValueError: If two of them average one weight, or one has no averages of that index.
    """
    check_apart(optimizer.holder for optimizer in optimizers)
    return together([optimizer.swapped(index=index) for optimizer in optimizers])
