"""Lists of variables side by side: checked, and divided into what one op can take."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import tensorflow as tf

from tf_mavg._compat.references import reference_of
from tf_mavg._ops.compiled import check_has_kernels
from tf_mavg._ops.variables import FLOATING_DTYPES, HALF_DTYPES, base_dtype, is_resource, shards

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterable, Sequence

# An op takes at most so many averages of a variable; kMostAverages of
# cc/core/formulas/moving_average.h, and kMostSplitAverages of cc/core/formulas/split.h.
_MOST_AVERAGES: Final = 4
_MOST_SPLIT_AVERAGES: Final = 2


@dataclass(frozen=True)
class Lists:
    """Lists of variables, whose members at one position belong together.

    Attributes:
      sides: The lists, of one length: each of averages, then the variables; or the two of a swap;
        or variables alone.
      names: What the caller calls each list, for messages.
      remainders: For each list of averages, the remainder of each that is split, and None of the
        others; empty if none is.
    """

    sides: tuple[list[Any], ...]
    names: tuple[str, ...]
    remainders: tuple[list[Any], ...] = ()

    def place(self, side: int, position: int) -> str:
        """What the caller calls a member."""
        return f"{self.names[side]}[{position}]"


@dataclass(frozen=True)
class Bucket:
    """What one op can take: variables of one device and kind, and of one dtype a side.

    Attributes:
      sides: As of `Lists`. All sides but the last are of one dtype.
      indices: Which of the caller's lists the sides but the last are from.
      remainder_sides: If the averages are split, their remainders, as many lists.
    """

    sides: tuple[list[Any], ...]
    indices: tuple[int, ...]
    remainder_sides: tuple[list[Any], ...] = ()

    @property
    def is_split(self) -> bool:
        """Whether the averages are split."""
        return bool(self.remainder_sides)

    @property
    def remainders(self) -> list[tf.Tensor]:
        """The op's inputs for the remainders, one list after the other."""
        return [_op_input(variable) for side in self.remainder_sides for variable in side]

    @property
    def is_resource(self) -> bool:
        """Whether the variables are resources, not legacy reference variables."""
        return is_resource(self.sides[-1][0])

    @property
    def first(self) -> list[tf.Tensor]:
        """The op's inputs for all sides but the last, one list after the other."""
        return [_op_input(variable) for side in self.sides[:-1] for variable in side]

    @property
    def last(self) -> list[tf.Tensor]:
        """The op's inputs for the last side."""
        return [_op_input(variable) for variable in self.sides[-1]]

    @property
    def names(self) -> tuple[list[str], list[str], list[str]] | None:
        """By which names an op in a Session finds resources, without an input.

        Of the first sides, of the remainders, and of the last side.

        None for reference variables, in eager mode and in functions, and for resources that their
        name and device do not tell.
        """
        if not self.is_resource or tf.compat.v1.get_default_graph().building_function:
            return None
        first = [_resource_name(variable) for side in self.sides[:-1] for variable in side]
        remainders = [_resource_name(one) for side in self.remainder_sides for one in side]
        last = [_resource_name(variable) for variable in self.sides[-1]]
        names = first, remainders, last
        return names if all(map(all, names)) else None

    @property
    def first_dtype(self) -> tf.DType:
        """Dtype of all sides but the last."""
        return base_dtype(self.sides[0][0])

    @property
    def last_dtype(self) -> tf.DType:
        """Dtype of the last side."""
        return base_dtype(self.sides[-1][0])

    def colocated(self) -> contextlib.AbstractContextManager[Any]:
        """A scope that places ops with the variables, whatever scopes surround it."""
        variable = self.sides[-1][0]
        graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
        if graph is None or graph.building_function:
            return tf.device(variable.device)  # type: ignore[no-any-return]
        return graph.colocate_with(variable.op, ignore_existing=True)  # type: ignore[no-any-return]


def _op_input(variable: tf.Variable) -> tf.Tensor:
    return variable.handle if is_resource(variable) else reference_of(variable)


def _resource_name(variable: tf.Variable) -> str:
    """The name of a variable in its device's default container; empty if it has none."""
    if not tf.is_symbolic_tensor(variable.handle):
        return ""
    op = variable.handle.op
    if op.type != "VarHandleOp" or op.get_attr("container"):
        return ""
    return op.get_attr("shared_name").decode()  # type: ignore[no-any-return]


def averaged_lists(
    averages: Iterable[Any], variables: Iterable[Any], remainders: Iterable[Any] | None = None
) -> Lists:
    """The lists of an update: `averages` is a list of variables, or a list of such lists.

    `remainders` are as many, or None if no average is split.

    Raises:
      ValueError: As `make_lists`; or if remainders are not as many as averages, or do not belong
        to them.
      TypeError: As `make_lists`; or if an average cannot serve its variable's dtype.
    """
    items = list(averages)
    is_nested = bool(items) and all(isinstance(item, list | tuple) for item in items)
    if is_nested:
        names = [f"averages[{index}]" for index in range(len(items))]
    else:
        items, names = [items], ["averages"]
    lists = make_lists([*items, variables], [*names, "variables"])
    if remainders is not None:
        given = list(remainders)
        lists = _with_remainders(lists, given if is_nested else [given])
    for side in range(len(items)):
        for position, (average, variable) in enumerate(
            zip(lists.sides[side], lists.sides[-1], strict=True)
        ):
            _check_average_dtype(lists.place(side, position), average, variable)
    return lists


def _with_remainders(lists: Lists, given: list[Any]) -> Lists:
    """The lists with the remainders of split averages, checked to belong to them."""
    sides = tuple([None if one is None else shards([one])[0] for one in side] for side in given)
    expected = [len(side) for side in lists.sides[:-1]]
    if [len(side) for side in sides] != expected:
        message = (
            "`remainders` must have one for each average, or None. Received: "
            f"{[len(side) for side in sides]} for {expected} averages."
        )
        raise ValueError(message)
    known = {id(variable) for side in lists.sides for variable in side}
    for side, remainders in enumerate(sides):
        for position, remainder in enumerate(remainders):
            if remainder is None:
                continue
            average, place = lists.sides[side][position], f"remainders[{side}][{position}]"
            fits = (
                isinstance(remainder, tf.Variable)
                and base_dtype(remainder) == tf.int16
                and base_dtype(average) == base_dtype(lists.sides[-1][position]) == tf.bfloat16
                and remainder.shape.is_compatible_with(average.shape)
                and (remainder.device or "no device") == (average.device or "no device")
                and is_resource(remainder) == is_resource(average)
            )
            if not fits or id(remainder) in known:
                message = (
                    f"{place} must be an int16 variable of its own, beside a bfloat16 average of a "
                    f"bfloat16 variable and of its shape. Received: {remainder!r} for {average!r}."
                )
                raise ValueError(message)
            known.add(id(remainder))
    is_split = any(one is not None for side in sides for one in side)
    return Lists(lists.sides, lists.names, sides if is_split else ())


def swapped_lists(first: Iterable[Any], second: Iterable[Any]) -> Lists:
    """The lists of a swap.

    Raises:
      ValueError: As `make_lists`.
      TypeError: As `make_lists`; or if two variables that are to change places differ in dtype.
    """
    lists = make_lists([first, second], ["first", "second"])
    check_swap_dtypes(*lists.sides)
    return lists


def listed(variables: Iterable[Any]) -> Lists:
    """The list of an op that takes variables alone.

    Raises:
      ValueError: As `make_lists`.
      TypeError: As `make_lists`.
    """
    return make_lists([variables], ["variables"])


def make_lists(sides: Sequence[Iterable[Any]], names: Sequence[str]) -> Lists:
    """Makes lists and checks all that does not depend on the op.

    Args:
      sides: The lists; a partitioned variable stands for its shards.
      names: What the caller's arguments are called, for messages.

    Raises:
      ValueError: If the lists are empty or of unequal length, a variable occurs twice, or the
        shapes or devices at a position differ.
      TypeError: If something is not a variable.
    """
    lists = Lists(tuple(shards(variables) for variables in sides), tuple(names))
    lengths = [len(variables) for variables in lists.sides]
    if len(set(lengths)) > 1 or 0 in lengths:
        received = _joined([f"{n} {name}" for n, name in zip(lengths, names, strict=True)])
        length = "one length, at least 1" if len(names) > 1 else "at least one member"
        message = (
            f"{_joined([f'`{name}`' for name in names])} must have {length}. Received: {received}."
        )
        raise ValueError(message)
    places: dict[int, str] = {}
    for side, variables in enumerate(lists.sides):
        for position, variable in enumerate(variables):
            place = lists.place(side, position)
            _check_is_variable(place, variable)
            other = places.setdefault(id(variable), place)
            if other != place:
                message = (
                    "All variables must be distinct. "
                    f"Received: {variable.name!r} as {other} and {place}."
                )
                raise ValueError(message)
    last = len(lists.sides) - 1
    for side in range(last):
        for position in range(lengths[0]):
            _check_belong_together(lists, (side, position), (last, position))
    return lists


def _joined(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


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


def _check_belong_together(lists: Lists, first: tuple[int, int], second: tuple[int, int]) -> None:
    variables = [lists.sides[side][position] for side, position in (first, second)]

    def check_equal(what: str, values: list[Any], *, equal: bool) -> None:
        if equal:
            return
        message = (
            f"{lists.place(*first)} and {lists.place(*second)} must {what}. "
            f"Received: {variables[0].name!r} with {values[0]} "
            f"and {variables[1].name!r} with {values[1]}."
        )
        raise ValueError(message)

    shapes = [variable.shape for variable in variables]
    check_equal("have one shape", shapes, equal=shapes[0].is_compatible_with(shapes[1]))
    devices = [variable.device or "no device" for variable in variables]
    check_equal("be on one device", devices, equal=devices[0] == devices[1])
    kinds = ["a resource" if is_resource(variable) else "a reference" for variable in variables]
    check_equal("be of one kind", kinds, equal=kinds[0] == kinds[1])


def _check_average_dtype(place: str, average: tf.Variable, variable: tf.Variable) -> None:
    dtypes = base_dtype(average), base_dtype(variable)
    if dtypes[0] != dtypes[1] and not (dtypes[0] == tf.float32 and dtypes[1] in HALF_DTYPES):
        message = (
            f"{place} must have the dtype of its variable, or be float32 for a "
            f"float16 or bfloat16 variable. Received: {average.name!r} of {dtypes[0].name} "
            f"for {variable.name!r} of {dtypes[1].name}."
        )
        raise TypeError(message)


def check_swap_dtypes(first: list[Any], second: list[Any]) -> None:
    """Raises TypeError unless the variables at each position have one dtype."""
    for position, variables in enumerate(zip(first, second, strict=True)):
        dtypes = [base_dtype(variable) for variable in variables]
        if dtypes[0] != dtypes[1]:
            received = [
                f"{variable.name!r} of {dtype.name}"
                for variable, dtype in zip(variables, dtypes, strict=True)
            ]
            message = (
                f"The variables at position {position} must have one dtype to change places. "
                f"Received: {received[0]} and {received[1]}."
            )
            raise TypeError(message)


def buckets(lists: Lists) -> list[Bucket]:
    """Divides lists into as few buckets as ops are needed, in order of first occurrence."""
    positions: dict[tuple[object, ...], list[int]] = {}
    for position, variables in enumerate(zip(*lists.sides, strict=True)):
        split = tuple(side[position] is not None for side in lists.remainders)
        key = (
            *(variables[-1].device, is_resource(variables[-1]), split),
            *map(base_dtype, variables),
        )
        positions.setdefault(key, []).append(position)
    found = []
    for key, members in positions.items():
        sides = [[side[position] for position in members] for side in lists.sides]
        if len(sides) == 1:  # Variables alone.
            found.append(Bucket((sides[-1],), ()))
        which_split: Any = key[2] or (False,) * (len(sides) - 1)
        alike: dict[tuple[object, bool], list[int]] = {}
        for index, dtype in enumerate(key[3:-1]):
            alike.setdefault((dtype, which_split[index]), []).append(index)
        for (_, is_split), indices in alike.items():
            most = _MOST_SPLIT_AVERAGES if is_split else _MOST_AVERAGES
            for begin in range(0, len(indices), most):
                chosen = tuple(indices[begin : begin + most])
                remainders = [[lists.remainders[i][p] for p in members] for i in chosen if is_split]
                averaged = (*(sides[i] for i in chosen), sides[-1])
                found.append(Bucket(averaged, chosen, tuple(remainders)))
    return found


def emit(lists: Lists, make_op: Callable[[Bucket], Any], name: str) -> tf.Operation | None:
    """Makes one op a bucket, beside the bucket's variables.

    Returns:
      The operation that does all of them; None when executing eagerly.

    Raises:
      RuntimeError: If XLA is to compile the op, and has no kernels for it.
    """
    check_has_kernels()
    with tf.name_scope(name) as scope:
        operations = []
        for bucket in buckets(lists):
            with bucket.colocated():
                operations.append(make_op(bucket))
        return None if tf.executing_eagerly() else tf.group(*operations, name=scope)


def check_decay(decay: object) -> None:
    """Raises ValueError if `decay` is a number of the host's and not in [0, 1]; NaN is not."""
    known = isinstance(decay, numbers.Real | np.number)
    if known and not 0 <= decay <= 1:  # type: ignore[operator]
        message = f"`decay` must be in [0, 1]. Received: decay={decay}."
        raise ValueError(message)
