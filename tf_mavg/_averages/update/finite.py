"""What a step does where a variable is not finite: it updates, skips, or raises.

It is decided before anything is written, by one more pass over the variables. Each replica looks at
its components of all variables, whoever has their averages, so that those of equal components
decide alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

import tensorflow as tf

from tf_mavg._compat.distribute import name_of
from tf_mavg._compat.tensorflow import compiles_with_xla

if TYPE_CHECKING:
    from collections.abc import Sequence

UPDATE: Final = "update"
SKIP: Final = "skip"
RAISE: Final = "raise"
CHOICES: Final = (UPDATE, SKIP, RAISE)

_MUST: Final = "Variables must be finite to be averaged, since if_not_finite is set to raise."


def check_if_not_finite(choice: object) -> None:
    """Raises ValueError unless `choice` is a value of `if_not_finite`."""
    if choice not in CHOICES:
        message = f"`if_not_finite` must be one of {CHOICES}. Received: {choice!r}."
        raise ValueError(message)


def check_finite(finite: tf.Tensor, components: Sequence[Any]) -> list[tf.Operation]:
    """Refuses to go on unless all is finite.

    Args:
      finite: Whether it is: a boolean scalar.
      components: What was looked at.

    Returns:
      In a function or graph, the operations that what must not happen then waits for.

    Raises:
      RuntimeError: In a function that XLA compiles, which drops such operations.
      tf.errors.InvalidArgumentError: In eager mode, if something is not finite; else when run.
    """
    if tf.executing_eagerly():
        if not finite:
            _refuse(components)
        return []
    if compiles_with_xla():
        message = (
            "XLA compiles no step that raises. Received: if_not_finite='raise' in a function with "
            "jit_compile=True; use if_not_finite='skip', or compile without XLA."
        )
        raise RuntimeError(message)
    message = (
        f"{_MUST} Received: one of {len(components)} with NaN or infinite elements, the first of "
        f"which is {name_of(components[0])!r}; no average has changed."
    )
    with tf.device("/cpu:0"):  # Words lie on no GPU.
        return [tf.raw_ops.Assert(condition=finite, data=[tf.constant(message)])]


def _refuse(components: Sequence[Any]) -> NoReturn:
    """Names what is not finite."""
    found = [one for one in components if not tf.reduce_all(tf.math.is_finite(one.read_value()))]
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    message = (
        f"{_MUST} Received: {name_of(found[0])!r}{more}, with NaN or infinite elements; no average "
        "has changed."
    )
    raise tf.errors.InvalidArgumentError(None, None, message)
