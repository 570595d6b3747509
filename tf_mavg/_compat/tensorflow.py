"""AutoGraph is kept out of what needs no conversion."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Callable

Function = TypeVar("Function", bound="Callable[..., object]")


def unconverted(function: Function) -> Function:
    """Marks a function that AutoGraph leaves as it is when a tf.function calls it.

    It would otherwise convert all that the function calls, loops over variables included: tracing
    a step of a thousand variables would take ten times as long.
    """
    return tf.autograph.experimental.do_not_convert(function)  # type: ignore[no-any-return]
