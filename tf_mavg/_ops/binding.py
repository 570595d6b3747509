"""Bindings: variables and averages bound once, so that a step hands over one handle a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf

from tf_mavg._compat import control_dependencies
from tf_mavg._compat.tensorflow import is_cpu_here, runs_at_once
from tf_mavg._native import PreparedCall
from tf_mavg._ops.finite import all_of
from tf_mavg._ops.library import OPS
from tf_mavg._ops.lists import Bucket, averaged_lists, buckets, check_swap_dtypes
from tf_mavg._ops.rates import Rates
from tf_mavg._ops.rounding import Rounding

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Binding:
    """Resource variables and their averages, bound to as few handles as ops are needed.

    Made in eager mode, used there and in a tf.function, where it is ordered like an op with all the
    variables as inputs. Not for a function that XLA compiles, which must see the variables, nor for
    one that is exported. It keeps the variables alive.
    """

    def __init__(
        self,
        averages: Iterable[tf.Variable] | Sequence[Sequence[tf.Variable]],
        variables: Iterable[tf.Variable],
        remainders: Iterable[Any] | None = None,
    ) -> None:
        """Binds averages to their variables.

        Args:
          averages: The average of each variable; or several such lists, for several averages of
            each variable.
          variables: The variables.
          remainders: Of split averages; all as of `apply_moving_average`, with its errors.
        """
        self._lists = averaged_lists(averages, variables, remainders)
        self._count = len(self._lists.sides) - 1
        self._buckets = buckets(self._lists)
        self._handles = [_bind(bucket) for bucket in self._buckets]
        # Variables of more averages than one op takes are bound several times, and looked at once.
        by_first_variable = {
            id(bucket.sides[-1][0]): handle
            for handle, bucket in zip(self._handles, self._buckets, strict=True)
        }
        self._handles_of_variables = list(by_first_variable.values())
        # Of the last eager step: its decay, and for each handle what does it once more.
        self._kept_decay: Any = None
        self._kept: list[_KeptStep] = []

    def apply_moving_average(
        self, decay: Any = None, *, rates: Any = None, rounding_key: Any = None
    ) -> None:
        """`apply_moving_average` on the bound variables."""
        if decay is None or decay is not self._kept_decay or rounding_key is not None:
            self._update(decay, rates, rounding_key)
            return
        if rates is not None:
            Rates(self._count, decay, rates)  # Raises.
        at_once = runs_at_once()
        for handle, of_bucket, prepared in self._kept:
            # What has failed has changed nothing, and the op says why.
            if not at_once or prepared is None or not prepared():
                OPS.bound_apply_moving_average(handle, of_bucket)

    def _update(self, decay: Any, rates: Any, rounding_key: Any) -> None:
        wanted, rounding = Rates(self._count, decay, rates), Rounding.of(self._count, rounding_key)
        steps, ops = [], []
        for handle, bucket in zip(self._handles, self._buckets, strict=True):
            with bucket.colocated():
                steps.append((handle, wanted.of(bucket.indices)))
                ops.append(rounding.op("bound_apply", bucket))
        if rounding_key is None and tf.executing_eagerly() and _stays_as_it_is(decay):
            self._kept_decay = decay
            self._kept = [
                _KeptStep(*step, _prepare(bucket, *step))
                for step, bucket in zip(steps, self._buckets, strict=True)
            ]
        # The runtime places each op where its binding is.
        for op, (handle, of_bucket) in zip(ops, steps, strict=True):
            op(binding=handle, rates=of_bucket)

    def swap_variables(self, index: int = 0, copy: bool = False) -> None:  # noqa: FBT001, FBT002 - as ops.swap_variables.
        """`swap_variables` of the bound variables and their averages of list `index`."""
        if not 0 <= index < self._count:
            message = (
                f"`index` must be that of one of the {self._count} lists of averages. "
                f"Received: index={index}."
            )
            raise ValueError(message)
        chosen = [
            (handle, bucket)
            for handle, bucket in zip(self._handles, self._buckets, strict=True)
            if index in bucket.indices
        ]
        # Dtypes of a bucket are alike: all are looked at only to name the one that does not fit.
        if any(bucket.first_dtype != bucket.last_dtype for _, bucket in chosen):
            check_swap_dtypes(self._lists.sides[index], self._lists.sides[-1])
        for handle, bucket in chosen:
            OPS.bound_swap_variables(handle, index=bucket.indices.index(index), copy=copy)

    def all_finite(self) -> tf.Tensor:
        """`all_finite` of the bound variables, not of their averages."""
        return all_of([OPS.bound_all_finite(handle) for handle in self._handles_of_variables])


class _KeptStep(NamedTuple):
    """A step of a bucket that may come again.

    Attributes:
      handle: That of the binding.
      rates: Its rates.
      prepared: What runs it at once; None where only the op can.
    """

    handle: tf.Tensor
    rates: tf.Tensor
    prepared: PreparedCall | None


def _prepare(bucket: Bucket, handle: tf.Tensor, rates: tf.Tensor) -> PreparedCall | None:
    """A step that passes by the eager runtime, which takes longer than a thousand small updates."""
    if not is_cpu_here(bucket.sides[-1][0].device):
        return None
    with bucket.colocated():
        addresses = OPS.prepare_bound_update(handle, rates)
    return PreparedCall(*addresses.numpy().tolist())


def _bind(bucket: Bucket) -> tf.Tensor:
    """Binds what one op can take, on its device, and declares what the handle stands for."""
    first, remainders, last = bucket.first, bucket.remainders, bucket.last
    try:
        with bucket.colocated():
            handle = OPS.bind_variables(
                averages=first,
                remainders=remainders,
                variables=last,
                T=bucket.last_dtype,
                Tavg=bucket.first_dtype,
            )
    except tf.errors.NotFoundError as error:
        if "registered in binary" not in str(error):
            raise
        message = (
            "A process must import tf_mavg before it serves others, since their averages are "
            f"updated in it. Received: variables on {bucket.sides[-1][0].device}, whose process "
            "has not; import tf_mavg there, before tf.distribute.Server(...).join()."
        )
        raise tf.errors.NotFoundError(None, None, message) from error
    control_dependencies.declare(handle, first + remainders, last)
    return handle


def _stays_as_it_is(decay: Any) -> bool:
    """Whether this object will always be this decay: a number, or a tensor that has its value."""
    if isinstance(decay, tuple):
        return all(map(_stays_as_it_is, decay))
    return isinstance(decay, float | int | tf.Tensor)  # A variable is none of them.
