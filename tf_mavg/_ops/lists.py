"""Pairs of variables: made from two lists, checked, and divided into what one op can take."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tf_mavg._ops.variables import FLOATING_DTYPES, HALF_DTYPES, base_dtype, is_resource, shards

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterable


@dataclass(frozen=True)
class Pair:
    """Two variables that an op works on together."""

    first: tf.Variable
    second: tf.Variable


@dataclass(frozen=True)
class PairBucket:
    """Pairs that one op can take: of one device, one kind of variable and one pair of dtypes."""

    pairs: list[Pair]

    @property
    def is_resource(self) -> bool:
        """Whether the variables are resources, not legacy reference variables."""
        return is_resource(self.pairs[0].first)

    @property
    def first(self) -> list[tf.Tensor]:
        """The op's inputs for the first variable of each pair."""
        return [_op_input(pair.first) for pair in self.pairs]

    @property
    def second(self) -> list[tf.Tensor]:
        """The op's inputs for the second variable of each pair."""
        return [_op_input(pair.second) for pair in self.pairs]

    @property
    def names(self) -> tuple[list[str], list[str]] | None:
        """By which names an op in a Session finds the resources of each side, without an input.

        None for reference variables, in eager mode and in functions, and for resources that their
        name and device do not tell.
        """
        if not self.is_resource or tf.compat.v1.get_default_graph().building_function:
            return None
        first = [_resource_name(pair.first) for pair in self.pairs]
        second = [_resource_name(pair.second) for pair in self.pairs]
        return (first, second) if all(first) and all(second) else None

    @property
    def first_dtype(self) -> tf.DType:
        """Dtype of the first variable of each pair."""
        return base_dtype(self.pairs[0].first)

    @property
    def second_dtype(self) -> tf.DType:
        """Dtype of the second variable of each pair."""
        return base_dtype(self.pairs[0].second)

    def colocated(self) -> contextlib.AbstractContextManager[Any]:
        """A scope that places ops with the variables, whatever scopes surround it."""
        variable = self.pairs[0].first
        graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
        if graph is None or graph.building_function:
            return tf.device(variable.device)  # type: ignore[no-any-return]
        return graph.colocate_with(variable.op, ignore_existing=True)  # type: ignore[no-any-return]


def _op_input(variable: tf.Variable) -> tf.Tensor:
    return variable.handle if is_resource(variable) else variable._ref()  # noqa: SLF001 - no public way to the reference.


def _resource_name(variable: tf.Variable) -> str:
    """The name of a variable in its device's default container; empty if it has none."""
    if not tf.is_symbolic_tensor(variable.handle):
        return ""
    op = variable.handle.op
    if op.type != "VarHandleOp" or op.get_attr("container"):
        return ""
    return op.get_attr("shared_name").decode()  # type: ignore[no-any-return]


def make_pairs(
    first: Iterable[tf.Variable], second: Iterable[tf.Variable], names: tuple[str, str]
) -> list[Pair]:
    """Pairs two lists of variables and checks all that does not depend on the op.

    Args:
      first: Variables; a partitioned one stands for its shards.
      second: As many variables.
      names: What the caller's arguments are called, for messages.

    Raises:
      ValueError: If the lists are empty or of unequal length, a variable occurs twice, or the
        shapes or devices of a pair differ.
      TypeError: If something is not a variable.
    """
    lists = {
        name: shards(variables) for name, variables in zip(names, (first, second), strict=True)
    }
    lengths = {name: len(variables) for name, variables in lists.items()}
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        received = " and ".join(f"{length} {name}" for name, length in lengths.items())
        message = (
            f"`{names[0]}` and `{names[1]}` must have one length, at least 1. Received: {received}."
        )
        raise ValueError(message)
    places: dict[int, str] = {}
    for name, variables in lists.items():
        for position, variable in enumerate(variables):
            place = f"{name}[{position}]"
            _check_is_variable(place, variable)
            other = places.setdefault(id(variable), place)
            if other != place:
                message = (
                    "All variables must be distinct. "
                    f"Received: {variable.name!r} as {other} and {place}."
                )
                raise ValueError(message)
    pairs = [Pair(*variables) for variables in zip(*lists.values(), strict=True)]
    for position, pair in enumerate(pairs):
        _check_pair(pair, [f"{name}[{position}]" for name in names])
    return pairs


def _check_is_variable(place: str, variable: object) -> None:
    if not isinstance(variable, tf.Variable):
        message = f"{place} must be a tf.Variable. Received: {variable!r}."
        raise TypeError(message)
    if isinstance(variable, tf.distribute.DistributedValues):
        message = (
            f"{place} must be a variable of one device. Received: {variable.name!r}, which "
            "tf.distribute spreads over several; tf_mavg does not serve these yet."
        )
        raise TypeError(message)
    if base_dtype(variable) not in FLOATING_DTYPES:
        message = (
            f"{place} must be bfloat16, float16, float32 or float64. "
            f"Received: {variable.name!r} of {base_dtype(variable).name}."
        )
        raise TypeError(message)


def _check_pair(pair: Pair, places: list[str]) -> None:
    def mismatch(what: str, first: object, second: object) -> str:
        return (
            f"{places[0]} and {places[1]} must {what}. Received: {pair.first.name!r} with {first} "
            f"and {pair.second.name!r} with {second}."
        )

    if not pair.first.shape.is_compatible_with(pair.second.shape):
        raise ValueError(mismatch("have one shape", pair.first.shape, pair.second.shape))
    if pair.first.device != pair.second.device:
        devices = (pair.first.device or "no device", pair.second.device or "no device")
        raise ValueError(mismatch("be on one device", *devices))
    if is_resource(pair.first) != is_resource(pair.second):
        kinds = [
            "a resource" if is_resource(v) else "a reference" for v in (pair.first, pair.second)
        ]
        raise ValueError(mismatch("be of one kind", *kinds))


def check_update_dtypes(pairs: list[Pair]) -> None:
    """Raises TypeError unless every pair is an average and a variable that an update accepts."""
    for position, pair in enumerate(pairs):
        average, variable = base_dtype(pair.first), base_dtype(pair.second)
        if average != variable and not (average == tf.float32 and variable in HALF_DTYPES):
            message = (
                f"averages[{position}] must have the dtype of its variable, or be float32 for a "
                f"float16 or bfloat16 variable. Received: {pair.first.name!r} of {average.name} "
                f"for {pair.second.name!r} of {variable.name}."
            )
            raise TypeError(message)


def check_swap_dtypes(pairs: list[Pair]) -> None:
    """Raises TypeError unless the variables of every pair have one dtype."""
    for position, pair in enumerate(pairs):
        first, second = base_dtype(pair.first), base_dtype(pair.second)
        if first != second:
            message = (
                f"The variables of pair {position} must have one dtype to change places. Received: "
                f"{pair.first.name!r} of {first.name} and {pair.second.name!r} of {second.name}."
            )
            raise TypeError(message)


def buckets(pairs: list[Pair]) -> list[PairBucket]:
    """Divides pairs into as few buckets as ops are needed, in order of first occurrence."""
    by_key: dict[tuple[object, ...], list[Pair]] = {}
    for pair in pairs:
        key = (
            pair.first.device,
            is_resource(pair.first),
            base_dtype(pair.first),
            base_dtype(pair.second),
        )
        by_key.setdefault(key, []).append(pair)
    return [PairBucket(members) for members in by_key.values()]


def emit(pairs: list[Pair], make_op: Callable[[PairBucket], Any], name: str) -> tf.Operation | None:
    """Makes one op a bucket, beside the bucket's variables.

    Returns:
      The operation that does all of them; None when executing eagerly.
    """
    with tf.name_scope(name) as scope:
        operations = []
        for bucket in buckets(pairs):
            with bucket.colocated():
                operations.append(make_op(bucket))
        return None if tf.executing_eagerly() else tf.group(*operations, name=scope)


def check_decay(decay: object) -> None:
    """Raises ValueError if `decay` is a number of the host's and not in [0, 1]; NaN is not."""
    known = isinstance(decay, numbers.Real | np.number)
    if known and not 0 <= decay <= 1:  # type: ignore[operator]
        message = f"`decay` must be in [0, 1]. Received: decay={decay}."
        raise ValueError(message)
