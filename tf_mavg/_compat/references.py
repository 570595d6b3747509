"""Reference variables, the legacy kind: the reference, and a read that stays in its place."""

from __future__ import annotations

import tensorflow as tf


def reference_of(variable: tf.Variable) -> tf.Tensor:
    """The reference that a reference variable is; as a tensor it would be a read."""
    return variable._ref()


def read_in_order(variable: tf.Variable, dtype: tf.DType) -> tf.Tensor:
    """The value of a variable after the control dependencies at hand, cast to a dtype.

    A Cast of what was read of a reference variable would lose them: Grappler casts the reference
    first, at no certain moment, and copies then. So the Cast takes the reference itself.
    """
    if hasattr(variable, "handle"):
        return tf.cast(variable.read_value(), dtype)
    reference = reference_of(variable)
    if dtype == variable.dtype.base_dtype:
        # Unlike an Identity, it has a kernel that copies: no later write is seen through it.
        return tf.raw_ops.DeepCopy(x=reference)
    return tf.raw_ops.Cast(x=reference, DstT=dtype)
