"""Values that variables get back: held while the variables have others, and not copied."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import tensorflow as tf


class HeldValues:
    """The values that plain variables had."""

    def __init__(self) -> None:
        """Holds nothing."""
        self._held: list[tuple[tf.Variable, tf.Tensor]] = []

    def hold(self, variables: Iterable[tf.Variable]) -> None:
        """Holds the values that variables have now, and those of no others.

        It reads without a copy: an assignment of another tensor leaves this one to its reader.
        """
        self._held = []
        self._held = [(variable, variable.read_value()) for variable in variables]

    def hold_more(self, variables: Iterable[tf.Variable]) -> None:
        """Holds the values of further variables; those that are held already keep theirs."""
        held = {id(variable) for variable, _ in self._held}
        self._held += [(one, one.read_value()) for one in variables if id(one) not in held]

    def put_back(self) -> None:
        """Gives the variables the values that are held."""
        for variable, value in self._held:
            variable.assign(value)
        self._held = []
