"""What a step does to the variables at hand and their averages: by bindings, or by whole lists.

A binding hands the runtime one handle a device, however many variables there are. Functions that
XLA compiles must see the variables instead, SavedModels must hold them, and a graph of TensorFlow 1
binds them by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tf_mavg import ops
from tf_mavg._averages.components.replicas import (
    components_at_hand,
    pairs_at_hand,
    remainders_at_hand,
    two_lists,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tf_mavg._averages.entry import Entry
    from tf_mavg._averages.update.lazy_rows import LazyRows


class AtHand:
    """What the code at hand is to touch of the entries of variables.

    Attributes:
      components: The components of all variables.
      averaged: Those whose averages are this replica's.
      averages: For each index the averages of these.
      remainders: As many, of those that are split; None if none is.
      devices: Where steps are counted: beside all components, whoever has their averages.
      tables: For each index the averages that are lazy, which are none of `averages`.
    """

    def __init__(self, created: Sequence[tuple[Entry, ...]], lazy: LazyRows) -> None:
        """Takes the entries of each variable."""
        by_index = [list(entries) for entries in zip(*created, strict=True)]
        self.lazy = lazy
        self.tables = [lazy.tables(entries) for entries in by_index] if lazy else []
        dense = [[e for e in entries if e not in lazy] for entries in by_index]
        pairs = [two_lists(pairs_at_hand(entries)) for entries in dense]
        self.components = components_at_hand(by_index[0])
        self.averaged = pairs[0][1]
        self.averages = [averages for averages, _ in pairs]
        self.remainders: list[list[Any]] | None = None
        if any(entry.is_split for entry in dense[0]):
            self.remainders = [remainders_at_hand(entries) for entries in dense]
        self.devices = [component.device for component in self.components]

    def advance(self, decay: Any, rates: Any) -> list[tf.Operation]:
        """Notes a step for those that are lazy; the operations that do, in a function."""
        return self.lazy.advance(self.tables, decay, rates) if self.tables else []


class BoundWork:
    """A step in eager mode or a tf.function, which it makes no matter how long the lists are."""

    def __init__(self, at_hand: AtHand) -> None:
        """Binds what a step touches, if that is anything."""
        self.at_hand = at_hand
        averages, averaged = at_hand.averages, at_hand.averaged
        self._binding = ops.Binding(averages, averaged, at_hand.remainders) if averaged else None
        self._back: ops.Binding | None = None

    def update(self, decay: Any = None, *, rates: Any = None, rounding_key: Any = None) -> None:
        """Moves the averages, as `ops.apply_moving_average`."""
        if self._binding is not None:
            self._binding.apply_moving_average(decay, rates=rates, rounding_key=rounding_key)
        self.at_hand.advance(decay, rates)

    def all_finite(self) -> tf.Tensor:
        """Whether all components at hand are finite."""
        if self._binding is not None and len(self.at_hand.averaged) == len(self.at_hand.components):
            return self._binding.all_finite()
        return ops.all_finite(self.at_hand.components)

    def overwrite(self, rate: Any) -> None:
        """Gives the variables their first averages at rate 1, keeps them at rate 0."""
        if self._binding is None:
            return
        if self._back is None:
            with tf.init_scope():
                self._back = ops.Binding([self.at_hand.averaged], self.at_hand.averages[0])
        self._back.apply_moving_average(rates=rate)


class ListedWork:
    """A step that hands over every variable."""

    def __init__(self, at_hand: AtHand, name: str) -> None:
        """Does what `BoundWork` does, by operations of a name."""
        self.at_hand = at_hand
        self._name = name

    def update(
        self, decay: Any = None, *, rates: Any = None, rounding_key: Any = None
    ) -> tf.Operation:
        """As of `BoundWork`."""
        averages, averaged = self.at_hand.averages, self.at_hand.averaged
        advanced = self.at_hand.advance(decay, rates)
        if not averaged:
            return tf.group(*advanced)
        updated = ops.apply_moving_average(
            averages,
            averaged,
            decay,
            self._name,
            rates=rates,
            remainders=self.at_hand.remainders,
            rounding_key=rounding_key,
        )
        return tf.group(updated, *advanced) if advanced else updated

    def all_finite(self) -> tf.Tensor:
        """As of `BoundWork`."""
        return ops.all_finite(self.at_hand.components)

    def overwrite(self, rate: Any) -> tf.Operation:
        """As of `BoundWork`."""
        averages, averaged = self.at_hand.averages, self.at_hand.averaged
        if not averaged:
            return tf.group()
        name = f"{self._name}_Overwrite"
        return ops.apply_moving_average([averaged], averages[0], name=name, rates=rate)
