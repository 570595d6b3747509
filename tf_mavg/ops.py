"""The fused ops on lists of variables: one op a device and dtype, however long the lists are.

They check what the host knows, divide the lists, and emit the native ops; they keep no state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tf_mavg._compat.tensorflow import unconverted
from tf_mavg._ops.binding import Binding
from tf_mavg._ops.compiled import check_has_kernels
from tf_mavg._ops.finite import all_of
from tf_mavg._ops.library import OPS
from tf_mavg._ops.lists import Bucket, averaged_lists, buckets, emit, listed, swapped_lists
from tf_mavg._ops.rates import Rates
from tf_mavg._ops.rounding import Rounding
from tf_mavg._ops.split import join, split

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Binding", "all_finite", "apply_moving_average", "join", "split", "swap_variables"]


@unconverted
def apply_moving_average(  # noqa: PLR0913 - one for each thing to choose.
    averages: Iterable[tf.Variable] | Sequence[Sequence[tf.Variable]],
    variables: Iterable[tf.Variable],
    decay: Any = None,
    name: str | None = None,
    *,
    rates: Any = None,
    remainders: Iterable[Any] | None = None,
    rounding_key: Any = None,
) -> tf.Operation | None:
    """Moves every average towards its variable, all in one pass over memory.

    For each average, with the order and rounding of `tf.train.ExponentialMovingAverage`:

        average -= (average - variable) * (1 - decay)

    The arithmetic is in float32, and in float64 for float64 variables; `1 - decay` is taken in
    float32. All variables of a device and dtype are checked before the first of them is written.
    Several averages of a variable cost one reading of the variable.

    Args:
      averages: The variables that hold the averages. Each has the shape of its variable, and its
        dtype; or float32 where the variable is float16 or bfloat16. For several averages of each
        variable, a list of such lists.
      variables: As many variables: bfloat16, float16, float32 or float64, of any shape. All
        variables of all lists are distinct. A partitioned variable stands for its shards.
      decay: Scalar in [0, 1], float32 or converted to it: a number, tensor or variable. For several
        lists of averages, a list of a decay for each.
      name: Optional name of the returned operation.
      rates: In place of `decay`, what `1 - decay` is: numbers, an array or a tensor, one for each
        list of averages. A decay near 1 loses digits in float32; its rate does not.
      remainders: For averages that are split, see `tf_mavg.ops.split`, as many int16 variables as
        averages, in lists alike: each makes of a bfloat16 average of a bfloat16 variable a float32
        one, whose bits it completes. None in place of one for an average that is not split.
      rounding_key: By default averages are rounded to the nearest number. With a seed and the
        number of the update, two integers or an int64 tensor of both, averages of float16 and
        bfloat16 are rounded stochastically: up or down by chance, so that the mean is what float32
        has. The same key gives the same bits on every device; averages of a list draw alike, so
        each update needs a number of its own. Other averages are what they are without.

    Returns:
      The operation that updates all averages; None when executing eagerly.

    Raises:
      ValueError: If the lists are empty or of unequal length, a variable occurs twice, the shapes
        or devices of an average and its variable differ, the decays are not as many as the lists of
        averages, one of them is known to lie outside [0, 1], or `rounding_key` is not two numbers
        that fit into an int64.
      TypeError: If something is not a variable, dtypes do not fit, `decay` and `rates` are both
        given or both missing, or `rounding_key` holds something else than whole numbers.
      tf.errors.FailedPreconditionError: When run, if a variable is not initialized.
      tf.errors.InvalidArgumentError: When run, if shapes or decays turn out not to fit.
    """
    lists = averaged_lists(averages, variables, remainders)
    count = len(lists.sides) - 1
    wanted, rounding = Rates(count, decay, rates), Rounding.of(count, rounding_key)

    def make_op(bucket: Bucket) -> Any:
        of_bucket = wanted.of(bucket.indices)
        names = bucket.names
        if names:
            binding = OPS.bind_named_variables(
                averages=names[0],
                remainders=names[1],
                variables=names[2],
                T=bucket.last_dtype,
                Tavg=bucket.first_dtype,
            )
            return rounding.op("bound_apply", bucket)(binding=binding, rates=of_bucket)
        if bucket.is_split:
            update = (
                OPS.resource_apply_split_moving_average
                if bucket.is_resource
                else OPS.apply_split_moving_average
            )
            return update(
                averages=bucket.first,
                remainders=bucket.remainders,
                variables=bucket.last,
                rates=of_bucket,
            )
        if bucket.is_resource:
            return rounding.op("resource_apply", bucket)(
                averages=bucket.first,
                variables=bucket.last,
                rates=of_bucket,
                T=bucket.last_dtype,
                Tavg=bucket.first_dtype,
            )
        return rounding.op("apply", bucket)(
            averages=bucket.first, variables=bucket.last, rates=of_bucket
        )

    return emit(lists, make_op, name or "ApplyMovingAverage")


@unconverted
def swap_variables(
    first: Iterable[tf.Variable],
    second: Iterable[tf.Variable],
    copy: bool = False,  # noqa: FBT001, FBT002 - a flag of the op, named as the op's.
    name: str | None = None,
) -> tf.Operation | None:
    """Exchanges the values of two lists of variables, bit for bit.

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
      The operation that swaps all variables; None when executing eagerly.

    Raises:
      ValueError: If the lists are empty or of unequal length, a variable occurs twice, or the
        shapes or devices of two partners differ.
      TypeError: If something is not a variable, or the dtypes of two partners differ.
      tf.errors.FailedPreconditionError: When run, if a variable is not initialized.
      tf.errors.InvalidArgumentError: When run, if shapes turn out not to fit.
    """
    lists = swapped_lists(first, second)

    def make_op(bucket: Bucket) -> Any:
        if bucket.is_resource:
            return OPS.resource_swap_variables(
                first=bucket.first, second=bucket.last, T=bucket.first_dtype, copy=copy
            )
        return OPS.swap_variables(first=bucket.first, second=bucket.last, copy=copy)

    return emit(lists, make_op, name or "SwapVariables")


@unconverted
def all_finite(variables: Iterable[tf.Variable], name: str | None = None) -> tf.Tensor:
    """Says whether variables are finite: no element of any of them is infinite or NaN.

    One pass over memory that writes nothing and stops where it finds one that is not. A variable
    without elements is finite.

    Args:
      variables: Distinct variables: bfloat16, float16, float32 or float64, of any shape. A
        partitioned variable stands for its shards.
      name: Optional name of the returned tensor.

    Returns:
      A scalar bool tensor. For variables on a GPU, the op waits until the device has done all that
      it was asked for before, and its answer is in the host's memory.

    Raises:
      ValueError: If there are no variables, or one occurs twice.
      TypeError: If something is not a variable, or not of these dtypes.
      tf.errors.FailedPreconditionError: When run, if a variable is not initialized.
    """
    found = buckets(listed(variables))
    check_has_kernels()
    with tf.name_scope(name or "AllFinite") as scope:
        answers = []
        for bucket in found:
            op_name = scope if len(found) == 1 else None
            with bucket.colocated():
                if bucket.is_resource:
                    answer = OPS.resource_all_finite(bucket.last, bucket.last_dtype, name=op_name)
                else:
                    answer = OPS.all_finite(bucket.last, name=op_name)
                answers.append(answer)
        return all_of(answers, scope)
