"""What is averaged by what: creation of averages, their update, and the swap with the variables."""

from __future__ import annotations

import contextlib
import operator
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tf_mavg import ops
from tf_mavg._averages.creation import create_average
from tf_mavg._averages.swap import SwapState, uninterrupted
from tf_mavg._compat.tensorflow import unconverted
from tf_mavg._ops.lists import check_decay
from tf_mavg._ops.variables import FLOATING_DTYPES, base_dtype, shards, tensorflow_variable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Lists of variables whose groups are kept for the next step. Who averages parts of a model by turns
# has a few; who makes a new list of other variables each time gains nothing by keeping them.
_GROUPS_KEPT = 8


class ExponentialMovingAverage(
    SwapState,
    tf.train.ExponentialMovingAverage,  # type: ignore[misc]
    tf.__internal__.tracking.Trackable,  # type: ignore[misc]
):
    """Maintains moving averages of variables: a drop-in for `tf.train.ExponentialMovingAverage`.

    Same arguments, methods, names of variables and, in float32 and float64, the same numbers bit
    for bit; but all averages of a device and dtype are updated by one fused op. float16 and
    bfloat16 averages are computed in float32 and rounded once a step, which is closer to the exact
    result. Added are `swap`, `swapped`, and `tf.train.Checkpoint(ema=ema)`, which saves averages in
    the order in which they were made.

    At every step, with `decay` or, if `num_updates` is given, the smaller of it and
    `(1 + num_updates) / (10 + num_updates)`:

        average -= (average - variable) * (1 - decay)

    Averages start at the value of their variable.

        ema = tf_mavg.ExponentialMovingAverage(decay=0.999)
        for batch in data:
            train_step(batch)
            ema.apply(variables)
        with ema.swapped():
            evaluate()
    """

    def __init__(
        self,
        decay: float | tf.Tensor | tf.Variable,
        num_updates: float | tf.Tensor | tf.Variable | None = None,
        zero_debias: bool = False,  # noqa: FBT001, FBT002 - the signature of the class it replaces.
        name: str = "ExponentialMovingAverage",
        *,
        grouped: bool = False,
    ) -> None:
        """Makes an object without averages; `apply` makes them.

        Args:
          decay: Scalar in [0, 1]: a number, tensor or variable. Read at every step.
          num_updates: Optional count of updates so far: a number, tensor or variable. Read at
            every step.
          zero_debias: For averages of tensors in graphs of TensorFlow 1, as in
            `tf.train.ExponentialMovingAverage`, which does these.
          name: Name of the ops, and the last part of the averages' names.
          grouped: Whether a tf.function, too, binds variables once and hands its steps one handle a
            device, as eager execution always does. Much cheaper for very many small variables; but
            XLA cannot compile such a function, and a SavedModel cannot hold it.

        Raises:
          ValueError: If `decay` is a number and not in [0, 1].
        """
        check_decay(decay)
        super().__init__(decay, num_updates, zero_debias, name)
        self._grouped = grouped
        self._groups: list[tuple[list[Any], ops.PairGroups]] = []  # The last used is the last.
        self._swap_ops: dict[tuple[tf.Graph, int], tf.Operation] = {}
        self._make_flags()

    @unconverted
    def apply(self, var_list: Iterable[tf.Variable] | None = None) -> tf.Operation | None:
        """Updates the averages of `var_list`, and makes those that do not exist yet.

        Args:
          var_list: Distinct variables of bfloat16, float16, float32 or float64, of TensorFlow or
            of Keras 3; by default the trainable variables of the graph. A partitioned variable
            stands for its shards. In graphs of TensorFlow 1 there may be tensors among them, whose
            averages start at zero.

        Returns:
          The operation that updates the averages; None when executing eagerly.

        Raises:
          TypeError: If an element is of another dtype, or a tensor in TensorFlow 2.
          ValueError: If the list is empty or names a variable twice.
          RuntimeError: While averages and variables are swapped; inside a tf.function when it runs,
            as tf.errors.InvalidArgumentError.
        """
        elements = list(tf.compat.v1.trainable_variables() if var_list is None else var_list)
        guard = self.check_not_swapped("Averages cannot be updated", for_xla=not self._grouped)
        if tf.executing_eagerly():
            self._groups_of(elements).apply_moving_average(self._current_decay())
            return None
        with tf.control_dependencies(guard):
            return self._apply_in_graph(elements)

    def _apply_in_graph(self, elements: list[Any]) -> tf.Operation:
        if self._grouped and tf.compat.v1.executing_eagerly_outside_functions():
            with tf.init_scope():
                groups = self._groups_of(elements)
            with tf.name_scope(self.name):
                groups.apply_moving_average(self._current_decay())
            return tf.group()
        tensors, variables = self._checked(elements)
        updates = [super().apply(tensors)] if tensors else []
        if variables:
            averages = self._averages_of(variables)
            with tf.name_scope(self.name):
                decay = self._current_decay()
            updates.append(ops.apply_moving_average(averages, variables, decay, name=self.name))
        return tf.group(*updates)

    def average(self, var: tf.Variable) -> tf.Variable | None:
        """The average of a variable, which may be a Keras 3 one; None if it has none."""
        return super().average(tensorflow_variable(var))

    @unconverted
    def create_averages(self, variables: Iterable[tf.Variable]) -> None:
        """Makes the averages that do not exist yet, each at the value of its variable.

        `apply` does it when it must; call it before the first training step for averages that
        start at the initial values.

        Args:
          variables: Variables, each of one device; a partitioned one stands for its shards.
        """
        for variable in shards(variables):
            if variable.ref() in self._averages:
                continue
            # No device scope of the caller's: an average lies where its variable does, and
            # init_scope would bring the scope back within colocation.
            with tf.compat.v1.device(None), tf.init_scope():
                average = create_average(variable, self.name)
                # A checkpoint that was restored earlier may hold its value.
                self._handle_deferred_dependencies(f"average_{len(self._averages)}", average)
                self._averages[variable.ref()] = average
                tf.compat.v1.add_to_collection(
                    tf.compat.v1.GraphKeys.MOVING_AVERAGE_VARIABLES, variable
                )

    @unconverted
    def swap(self) -> tf.Operation | None:
        """Exchanges the values of all variables and their averages, exactly and without a copy.

        Returns:
          The operation that swaps; None when executing eagerly.

        Raises:
          RuntimeError: If `apply` has not been called.
          TypeError: If an average has another dtype than its variable.
        """
        if not tf.executing_eagerly():
            return self._exchange()
        with uninterrupted():
            self._exchange()
            self._note_swapped(value=not self._is_swapped)
        return None

    def swapped(
        self, session: tf.compat.v1.Session | None = None
    ) -> contextlib.AbstractContextManager[None]:
        """A context in which the variables hold the averages; it always swaps back.

            with ema.swapped():
                evaluate()

        In a graph of TensorFlow 1 this call makes the swap op, unless an earlier one did: make it
        before the graph is finalized, and enter the context when needed.

        Args:
          session: In a graph, the Session to run in; by default the default Session.

        Raises:
          RuntimeError: If `apply` has not been called; on entry, if already swapped, or if there
            is no Session to run in.
        """
        if tf.executing_eagerly():
            return self._swapped_by(self._exchange)
        key = (tf.compat.v1.get_default_graph(), len(self._averages))
        if key not in self._swap_ops:
            self._swap_ops[key] = self.swap()
        return self._swapped_in_session(self._swap_ops[key], session)

    def _trackable_children(self, save_type: str = "checkpoint", **kwargs: Any) -> dict[str, Any]:
        """What is saved by object; TensorFlow asks each time that it saves or restores."""
        if save_type == "checkpoint":
            self.check_can_save()
        children = super()._trackable_children(save_type, **kwargs)
        children.update(self.children_of_functions(save_type))
        for i, average in enumerate(self._averages.values()):
            children[f"average_{i}"] = average
        return children  # type: ignore[no-any-return]

    def _exchange(self) -> tf.Operation | None:
        variables = [ref.deref() for ref in self._averages]
        variables = [v for v in variables if isinstance(v, tf.Variable)]
        if not variables:
            message = "apply() must be called before averages can change places with variables."
            raise RuntimeError(message)
        if tf.executing_eagerly():
            self._groups_of(variables).swap_variables()
            return None
        return ops.swap_variables([self.average(variable) for variable in variables], variables)

    @contextlib.contextmanager
    def _swapped_in_session(
        self, swap: tf.Operation, session: tf.compat.v1.Session | None
    ) -> Iterator[None]:
        session = session or tf.compat.v1.get_default_session()
        if session is None:
            message = "swapped() needs a Session in graph mode: pass it or enter `with session:`."
            raise RuntimeError(message)
        with self._swapped_by(lambda: _run_without_hooks(session, swap)):
            yield

    def _checked(self, elements: list[Any]) -> tuple[list[tf.Tensor], list[tf.Variable]]:
        """Divides what is to be averaged into tensors and variables of one device."""
        if not elements:
            message = "`var_list` must name at least one variable. Received: an empty list."
            raise ValueError(message)
        tensors: list[tf.Tensor] = []
        variables: list[tf.Variable] = []
        for element in shards(elements):
            (variables if isinstance(element, tf.Variable) else tensors).append(element)
            if base_dtype(element) not in FLOATING_DTYPES:
                message = (
                    "The variables must be bfloat16, half, float, or double. "
                    f"Received: {element.name!r} of {base_dtype(element).name}."
                )
                raise TypeError(message)
        if tensors and tf.compat.v1.executing_eagerly_outside_functions():
            message = f"Only variables can be averaged in TensorFlow 2. Received: {tensors[0]!r}."
            raise TypeError(message)
        return tensors, variables

    def _current_decay(self) -> float | tf.Tensor:
        """The decay of this step, a float32 scalar computed as TensorFlow's class does."""
        if self._num_updates is None and isinstance(self._decay, float):
            return self._decay
        decay = tf.cast(_read(self._decay), tf.float32)
        if self._num_updates is None:
            return decay
        count = tf.cast(_read(self._num_updates), tf.float32)
        return tf.minimum(decay, (1.0 + count) / (10.0 + count))

    def _averages_of(self, variables: list[tf.Variable]) -> list[tf.Variable]:
        """The average of each variable, made if need be."""
        self.create_averages(variables)
        return [self.average(variable) for variable in variables]

    def _groups_of(self, elements: list[Any]) -> ops.PairGroups:
        """The groups bound to just these elements; a step is cheap because it finds them here."""
        for bound, groups in self._groups[::-1]:
            if len(bound) == len(elements) and all(map(operator.is_, bound, elements)):
                return groups
        _, variables = self._checked(elements)
        groups = ops.PairGroups(self._averages_of(variables), variables)
        self._groups = [*self._groups, (elements, groups)][-_GROUPS_KEPT:]
        return groups


def _run_without_hooks(session: Any, operation: tf.Operation) -> None:
    """Runs in a Session; in a MonitoredSession past its hooks, one of which may save just then."""
    if hasattr(session, "run_step_fn"):
        session.run_step_fn(lambda step_context: step_context.session.run(operation))
    else:
        session.run(operation)


def _read(value: Any) -> Any:
    """The value now: a reference variable converts to a tensor read at an unordered moment."""
    return value.read_value() if isinstance(value, tf.Variable) else value
