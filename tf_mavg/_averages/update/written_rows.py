"""Which rows of lazily averaged variables a step of an optimizer writes: those of its gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tf_mavg._compat.distribute import name_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tf_mavg._averages.averages import Averages


def rows_written(holder: Averages, pairs: Sequence[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    """The variables whose rows a step names, and those that are averaged lazily since one did.

    Args:
      holder: Their averages.
      pairs: The gradients and variables of the step.

    Returns:
      The variables, and for each the indices of its rows; None where the step writes all.

    Raises:
      ValueError: If a variable has a constraint, which writes all rows.
    """
    variables, indices = [], []
    for gradient, variable in pairs:
        entry = holder.entry_of(variable)
        is_sparse = isinstance(gradient, tf.IndexedSlices)
        if gradient is None or entry is None or not (is_sparse or entry in holder.lazy):
            continue
        if getattr(variable, "constraint", None) is not None:
            name = getattr(variable, "path", None) or name_of(variable)
            message = (
                'With sparse="lazy", a step must write no other rows than its gradients name. '
                f"Received: {name!r} with a constraint, which writes all; make it "
                'without one, or take sparse="dense".'
            )
            raise ValueError(message)
        variables.append(variable)
        indices.append(gradient.indices if is_sparse else None)
    return variables, indices
