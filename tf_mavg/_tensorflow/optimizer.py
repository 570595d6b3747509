"""The optimizer that brings back `tf.contrib.opt.MovingAverageOptimizer`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tf_mavg._compat.tensorflow import unconverted
from tf_mavg._tensorflow.exponential import ExponentialMovingAverage
from tf_mavg._tensorflow.saver import SwappingSaver, swapped_var_list

if TYPE_CHECKING:
    from collections.abc import Iterable

AVERAGE_SLOT = "average"


class MovingAverageOptimizer(tf.compat.v1.train.Optimizer):  # type: ignore[misc]
    """Wraps an optimizer and keeps moving averages of the variables that it trains.

    Evaluated with the averages, a network is usually better than with its last weights. A
    checkpoint of `swapping_saver` holds the averages under the variables' own names, so all that
    restores it with a plain Saver uses them without knowing.

        optimizer = tf.compat.v1.train.MomentumOptimizer(0.1, 0.9)
        optimizer = tf_mavg.MovingAverageOptimizer(optimizer)
        train_op = optimizer.minimize(loss)
        saver = optimizer.swapping_saver()  # After all variables are created, and minimize().
        ...
        saver.save(session, "model")

    It works in graphs of TensorFlow 1, with reference, resource and partitioned variables, in
    eager mode and in a tf.function.
    """

    def __init__(
        self,
        opt: tf.compat.v1.train.Optimizer,
        average_decay: float | tf.Tensor | tf.Variable = 0.9999,
        num_updates: float | tf.Tensor | tf.Variable | None = None,
        sequential_update: bool = True,  # noqa: FBT001, FBT002 - the signature that comes back.
    ) -> None:
        """Wraps `opt`.

        Args:
          opt: The `tf.compat.v1.train.Optimizer` that computes and applies gradients.
          average_decay: Scalar in [0, 1]: a number, tensor or variable. See
            `ExponentialMovingAverage`.
          num_updates: Optional count of updates so far; with it the decay warms up. See
            `ExponentialMovingAverage`.
          sequential_update: If True, the averages are updated after the variables. If False, at
            the same time in a graph of TensorFlow 1: an average may then see its variable before
            or after the step.

        Raises:
          TypeError: If `opt` is no such optimizer.
          ValueError: If `average_decay` is a number and not in [0, 1].
        """
        if not isinstance(opt, tf.compat.v1.train.Optimizer):
            message = f"`opt` must be a tf.compat.v1.train.Optimizer. Received: {opt!r}."
            raise TypeError(message)
        super().__init__(use_locking=False, name="MovingAverage")
        self._optimizer = opt
        self._sequential_update = sequential_update
        self._averages = ExponentialMovingAverage(average_decay, num_updates=num_updates)
        self._trained: dict[Any, tf.Variable] = {}  # What has an average, by reference.

    @property
    def averages(self) -> ExponentialMovingAverage:
        """The averages, with `average(variable)`, `swap()` and `swapped()`."""
        return self._averages

    def compute_gradients(self, *args: Any, **kwargs: Any) -> list[tuple[Any, Any]]:
        """Computes gradients with the wrapped optimizer; arguments and result are its own."""
        return self._optimizer.compute_gradients(*args, **kwargs)  # type: ignore[no-any-return]

    @unconverted
    def apply_gradients(
        self,
        grads_and_vars: Iterable[tuple[Any, tf.Variable]],
        global_step: tf.Variable | None = None,
        name: str | None = None,
    ) -> tf.Operation | None:
        """Applies gradients, then updates the averages of the variables that have one.

        Args:
          grads_and_vars: Pairs (gradient, variable) as `compute_gradients` returns them.
          global_step: Optional variable to increment by one after the variables are updated.
          name: Optional name of the wrapped optimizer's operation.

        Returns:
          The operation that does all of it; None when executing eagerly.

        Raises:
          TypeError: If `grads_and_vars` is malformed.
          ValueError: If no variable has a gradient.
          RuntimeError: When executing eagerly while averages and variables are swapped.
        """
        if tf.executing_eagerly():
            self._averages.check_not_swapped("Variables cannot be trained")
        grads_and_vars = _checked_pairs(grads_and_vars)
        # A variable that occurs twice, for tied weights, is averaged once.
        trained = {v.ref(): v for gradient, v in grads_and_vars if gradient is not None}
        # Before the step, so that averages start at the initial values in eager mode too.
        self._averages.create_averages(trained.values())
        self._restore_deferred(trained.values())
        train_op = self._optimizer.apply_gradients(
            grads_and_vars, global_step=global_step, name=name
        )
        self._trained.update(trained)
        after = [train_op] if self._sequential_update and train_op is not None else []
        with tf.control_dependencies(after):
            average_op = self._averages.apply(trained.values())
        if tf.executing_eagerly():
            return None
        return tf.group(train_op, average_op, name="train_with_averages")

    def swapping_saver(
        self,
        var_list: Any = None,
        name: str = "swapping_saver",
        *,
        start_missing_averages: bool = False,
        **kwargs: Any,
    ) -> SwappingSaver:
        """Makes a Saver that saves each average under its variable's name, and the other way.

        Use it while training, to save and to resume. To evaluate, restore its checkpoints with a
        plain Saver: the variables then hold the averages.

        Call it after all variables are created and after `minimize` or `apply_gradients`.

        Args:
          var_list: Variables to save, as `tf.compat.v1.train.Saver` takes them: a list or a
            dictionary by name; by default all variables of the graph.
          name: Name of the saver's ops.
          start_missing_averages: Whether `restore` accepts a checkpoint without averages, written
            by a plain Saver, and starts each missing average from its variable.
          **kwargs: Further arguments of `tf.compat.v1.train.Saver`.

        Returns:
          A `tf.compat.v1.train.Saver`.

        Raises:
          RuntimeError: If neither `minimize` nor `apply_gradients` has been called.
          ValueError: If `var_list` has a variable but not its average, or the other way.
        """
        if not self._trained:
            message = "Must call apply_gradients or minimize before creating the swapping_saver"
            raise RuntimeError(message)
        if var_list is None:
            var_list = tf.compat.v1.global_variables()
        pairs = [(v, self._averages.average(v)) for v in self._trained.values()]
        return SwappingSaver(
            swapped_var_list(var_list, pairs),
            averages=self._averages,
            start_missing_averages=start_missing_averages,
            name=name,
            **kwargs,
        )

    def get_slot(self, var: tf.Variable, name: str) -> tf.Variable | None:
        """The slot `name` of `var`: one of the wrapped optimizer's, or "average"."""
        if name == AVERAGE_SLOT:
            return self._averages.average(var)
        return self._optimizer.get_slot(var, name)

    def get_slot_names(self) -> list[str]:
        """The names of the wrapped optimizer's slots, and "average"."""
        return [*self._optimizer.get_slot_names(), AVERAGE_SLOT]

    def variables(self) -> list[tf.Variable]:
        """The state of the wrapped optimizer, then the averages."""
        averages = [self._averages.average(v) for v in self._trained.values()]
        return [*self._optimizer.variables(), *averages]

    def _trackable_children(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """What tf.train.Checkpoint saves beside the slots: what the wrapped optimizer has."""
        self._averages.check_can_save()
        return self._optimizer._trackable_children(*args, **kwargs)  # type: ignore[no-any-return]  # noqa: SLF001

    def _lookup_dependency(self, *args: Any, **kwargs: Any) -> Any:
        return self._optimizer._lookup_dependency(*args, **kwargs)  # noqa: SLF001

    def _restore_deferred(self, variables: Iterable[tf.Variable]) -> None:
        """Makes what a tf.train.Checkpoint holds of the wrapped optimizer before its first step."""
        self._maybe_initialize_trackable()
        if self._deferred_dependencies:
            with tf.init_scope():
                self._optimizer._create_slots(list(variables))  # noqa: SLF001
                for name, child in self._optimizer._trackable_children().items():  # noqa: SLF001
                    self._handle_deferred_dependencies(name, child)

    def _create_or_restore_slot_variable(
        self, slot_variable_position: Any, slot_name: str, variable: tf.Variable
    ) -> None:
        """Restores a slot from a tf.train.Checkpoint, and makes it if it does not exist yet."""
        if slot_name == AVERAGE_SLOT:
            self._averages.create_averages([variable])
            self._trained[variable.ref()] = variable
            slot_variable_position.restore(self._averages.average(variable))
        else:
            self._optimizer._create_or_restore_slot_variable(  # noqa: SLF001
                slot_variable_position, slot_name, variable
            )


def _checked_pairs(grads_and_vars: Iterable[Any]) -> list[tuple[Any, tf.Variable]]:
    pairs = list(grads_and_vars)
    for pair in pairs:
        is_pair = isinstance(pair, tuple | list) and len(pair) == 2  # noqa: PLR2004 - a pair.
        if not is_pair or not isinstance(pair[1], tf.Variable):
            message = (
                f"`grads_and_vars` must be pairs of a gradient and a variable. Received: {pair!r}."
            )
            raise TypeError(message)
    return pairs
