"""Groups: pairs of variables bound once, so that a step hands the runtime one handle a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tf_mavg._compat import control_dependencies
from tf_mavg._ops.library import OPS
from tf_mavg._ops.lists import (
    buckets,
    check_decay,
    check_swap_dtypes,
    check_update_dtypes,
    make_pairs,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    import tensorflow as tf


class PairGroups:
    """Pairs of resource variables bound to as few groups as ops are needed.

    Made in eager mode, used there and in a tf.function, where it is ordered like an op with all the
    variables as inputs. Not for a function that XLA compiles, which must see the variables, nor for
    one that is exported. It keeps the variables alive.
    """

    def __init__(self, averages: Iterable[tf.Variable], variables: Iterable[tf.Variable]) -> None:
        """Binds each average to its variable; arguments and errors as `apply_moving_average`."""
        self._pairs = make_pairs(averages, variables, ("averages", "variables"))
        check_update_dtypes(self._pairs)
        self._buckets = buckets(self._pairs)
        self._groups = []
        for bucket in self._buckets:
            with bucket.colocated():
                group = OPS.variable_pair_group(
                    averages=bucket.first,
                    variables=bucket.second,
                    T=bucket.second_dtype,
                    Tavg=bucket.first_dtype,
                )
            control_dependencies.declare(group, bucket.first, bucket.second)
            self._groups.append(group)

    def apply_moving_average(self, decay: float | tf.Tensor | tf.Variable) -> None:
        """`apply_moving_average` on the bound pairs."""
        check_decay(decay)
        for group in self._groups:  # The runtime places each op where its group is.
            OPS.group_apply_moving_average(group=group, decay=decay)

    def swap_variables(self) -> None:
        """`swap_variables` on the bound pairs."""
        # Pairs of a bucket are alike: all are looked at only to name the one that does not fit.
        if any(bucket.first_dtype != bucket.second_dtype for bucket in self._buckets):
            check_swap_dtypes(self._pairs)
        for group in self._groups:
            OPS.group_swap_variables(group=group)
