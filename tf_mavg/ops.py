"""The fused ops on lists of variables: one op a device and pair of dtypes, however long the lists.

This is the lowest layer of the package. It checks what the host knows, divides the pairs, and emits
the native ops; it keeps no state but the groups that its caller holds.
"""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tf_mavg._autograph import unconverted
from tf_mavg._library import OPS
from tf_mavg._pairs import (
    PairBucket,
    buckets,
    check_swap_dtypes,
    check_update_dtypes,
    emit,
    make_pairs,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["apply_moving_average", "swap_variables"]


@unconverted
def apply_moving_average(
    averages: Iterable[tf.Variable],
    variables: Iterable[tf.Variable],
    decay: float | tf.Tensor | tf.Variable,
    name: str | None = None,
) -> tf.Operation | None:
    """Moves every average towards its variable, all in one pass over memory.

    For each pair, with the order and rounding of `tf.train.ExponentialMovingAverage`:

        average -= (average - variable) * (1 - decay)

    The arithmetic is in float32, and in float64 for float64 pairs; `1 - decay` is taken in
    float32. All pairs of a device and dtype are checked before the first of them is written.

    Args:
      averages: The variables that hold the averages. Each has the shape of its variable, and its
        dtype; or float32 where the variable is float16 or bfloat16.
      variables: As many variables: bfloat16, float16, float32 or float64, of any shape. All
        variables of both lists are distinct. A partitioned variable stands for its shards.
      decay: Scalar in [0, 1], float32 or converted to it.
      name: Optional name of the returned operation.

    Returns:
      The operation that updates all averages; None when executing eagerly.

    Raises:
      ValueError: If the lists are empty or of unequal length, a variable occurs twice, the shapes
        or devices of a pair differ, or `decay` is known to lie outside [0, 1].
      TypeError: If something is not a variable, or the dtypes of a pair do not fit.
      tf.errors.FailedPreconditionError: When run, if a variable is not initialized.
      tf.errors.InvalidArgumentError: When run, if shapes or `decay` turn out not to fit.
    """
    pairs = make_pairs(averages, variables, ("averages", "variables"))
    check_update_dtypes(pairs)
    check_decay(decay)

    def make_op(bucket: PairBucket) -> Any:
        rate = tf.convert_to_tensor(decay, tf.float32, name="decay")
        if bucket.is_resource:
            return OPS.resource_apply_moving_average(
                averages=bucket.first,
                variables=bucket.second,
                decay=rate,
                T=bucket.second_dtype,
                Tavg=bucket.first_dtype,
            )
        return OPS.apply_moving_average(averages=bucket.first, variables=bucket.second, decay=rate)

    return emit(pairs, make_op, name or "ApplyMovingAverage")


@unconverted
def swap_variables(
    first: Iterable[tf.Variable],
    second: Iterable[tf.Variable],
    copy: bool = False,  # noqa: FBT001, FBT002 - a flag of the op, named as the op's.
    name: str | None = None,
) -> tf.Operation | None:
    """Exchanges the values of every pair of variables, bit for bit.

    The buffers change places, so the cost depends on the number of variables only and no byte
    moves. NaN payloads, infinities and denormal numbers are kept, and two swaps are the identity.

    Args:
      first: Variables: bfloat16, float16, float32 or float64.
      second: As many variables; each has the dtype and shape of its partner. All variables of both
        lists are distinct. A partitioned variable stands for its shards.
      copy: Whether to exchange the bytes and leave every buffer where it is, for those who hold on
        to an address: a captured CUDA graph, DLPack, a communication library.
      name: Optional name of the returned operation.

    Returns:
      The operation that swaps all pairs; None when executing eagerly.

    Raises:
      ValueError: If the lists are empty or of unequal length, a variable occurs twice, or the
        shapes or devices of a pair differ.
      TypeError: If something is not a variable, or the dtypes of a pair differ.
      tf.errors.FailedPreconditionError: When run, if a variable is not initialized.
      tf.errors.InvalidArgumentError: When run, if shapes turn out not to fit.
    """
    pairs = make_pairs(first, second, ("first", "second"))
    check_swap_dtypes(pairs)

    def make_op(bucket: PairBucket) -> Any:
        if bucket.is_resource:
            return OPS.resource_swap_variables(
                first=bucket.first, second=bucket.second, T=bucket.first_dtype, copy=copy
            )
        return OPS.swap_variables(first=bucket.first, second=bucket.second, copy=copy)

    return emit(pairs, make_op, name or "SwapVariables")


class EagerGroups:
    """Pairs of resource variables bound once, so that an eager step costs one handle a device.

    It keeps the variables alive. Eager execution only: inside a tf.function the runtime would not
    see which variables a group touches.
    """

    def __init__(self, averages: Iterable[tf.Variable], variables: Iterable[tf.Variable]) -> None:
        """Binds each average to its variable; arguments and errors as `apply_moving_average`."""
        pairs = make_pairs(averages, variables, ("averages", "variables"))
        check_update_dtypes(pairs)
        self._groups = []
        for bucket in buckets(pairs):
            with bucket.colocated():
                group = OPS.variable_pair_group(
                    averages=bucket.first,
                    variables=bucket.second,
                    T=bucket.second_dtype,
                    Tavg=bucket.first_dtype,
                )
            self._groups.append(group)

    def apply_moving_average(self, decay: float | tf.Tensor | tf.Variable) -> None:
        """`apply_moving_average` on the bound pairs."""
        check_decay(decay)
        for group in self._groups:  # The runtime places each op where its group is.
            OPS.group_apply_moving_average(group=group, decay=decay)


def check_decay(decay: object) -> None:
    """Raises ValueError if `decay` is a number of the host's and not in [0, 1]; NaN is not."""
    known = isinstance(decay, numbers.Real | np.number)
    if known and not 0 <= decay <= 1:  # type: ignore[operator]
        message = f"`decay` must be in [0, 1]. Received: decay={decay}."
        raise ValueError(message)
