"""The fused ops on lists of variables: one op a device and pair of dtypes, however long the lists.

They check what the host knows, divide the pairs, and emit the native ops; they keep no state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tf_mavg._compat.tensorflow import unconverted
from tf_mavg._ops.binding import PairGroups
from tf_mavg._ops.library import OPS
from tf_mavg._ops.lists import (
    PairBucket,
    check_decay,
    check_swap_dtypes,
    check_update_dtypes,
    emit,
    make_pairs,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PairGroups", "apply_moving_average", "swap_variables"]


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
        names = bucket.names
        if names:
            group = OPS.named_variable_pair_group(
                averages=names[0],
                variables=names[1],
                T=bucket.second_dtype,
                Tavg=bucket.first_dtype,
            )
            return OPS.group_apply_moving_average(group=group, decay=rate)
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
