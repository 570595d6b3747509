"""The drop-in for `tf.train.ExponentialMovingAverage`: its face on the holder of averages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import tensorflow as tf

from tf_mavg._averages.averages import Averages
from tf_mavg._averages.checkpoints.identity import called
from tf_mavg._averages.choices import check_alone
from tf_mavg._averages.components.shares import check_placement
from tf_mavg._averages.dtypes import check_average_dtype
from tf_mavg._averages.update.finite import check_if_not_finite
from tf_mavg._averages.update.lazy_rows import CAUGHT_UP, LAZY, check_sparse
from tf_mavg._averages.update.pace import Pace, value_now
from tf_mavg._averages.update.rounding import seed_of
from tf_mavg._compat.tensorflow import unconverted
from tf_mavg._ops.variables import (
    FLOATING_DTYPES,
    base_dtype,
    is_variable,
    shards,
    tensorflow_variable,
)

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Iterable, Sequence

    from tf_mavg._averages.update.pace import OneOrMore
    from tf_mavg.decays import Decay


class ExponentialMovingAverage(
    tf.train.ExponentialMovingAverage,  # type: ignore[misc]
    tf.__internal__.tracking.Trackable,  # type: ignore[misc]
):
    """Maintains moving averages of variables: a drop-in for `tf.train.ExponentialMovingAverage`.

    Same arguments, methods, names of variables and, in float32 and float64, the same numbers bit
    for bit; but all averages of a device and dtype are updated by one fused op. float16 and
    bfloat16 averages are computed in float32 and rounded once a step, which is closer to the exact
    result. Added are `swap`, `swapped`, `restart` and `overwrite`, and
    `tf.train.Checkpoint(ema=ema)`, which saves each average as a slot variable: it belongs to its
    variable, whatever the order.

    At every step, with `decay` or, if `num_updates` is given, the smaller of it and
    `(1 + num_updates) / (10 + num_updates)`:

        average -= (average - variable) * (1 - decay)

    Averages start at the value of their variable. With a list of decays each variable has as many
    averages, all updated in one pass; `index` then says which is meant.

        ema = tf_mavg.ExponentialMovingAverage(decay=0.999)
        for batch in data:
            train_step(batch)
            ema.apply(variables)
        with ema.swapped():
            evaluate()

    Attributes:
      holder: What has the averages, as in every other class that averages.
    """

    def __init__(  # noqa: PLR0913 - the arguments of the class it replaces, and four more.
        self,
        decay: OneOrMore[float | tf.Tensor | tf.Variable | Decay],
        num_updates: float | tf.Tensor | tf.Variable | None = None,
        zero_debias: bool = False,  # noqa: FBT001, FBT002 - the signature of the class it replaces.
        name: str = "ExponentialMovingAverage",
        *,
        average_dtype: str | None = "same",
        start: int = 0,
        every: int = 1,
        overwrite_every: int | None = None,
        if_not_finite: Literal["update", "skip", "raise"] = "update",
        placement: str = "replicated",
        sparse: Literal["dense", "lazy"] = "dense",
        rounding: Literal["nearest", "stochastic"] = "nearest",
        seed: int = 0,
    ) -> None:
        """Makes an object without averages; `apply` makes them.

        Args:
          decay: Scalar in [0, 1]: a number, tensor or variable, read at every step; or a schedule
            of `tf_mavg.decays`, whose n-th decay is that of the n-th `apply`. Or a list of such,
            for as many averages of each variable: updating two costs less than updating one twice,
            since the variable is read once.
          num_updates: Optional count of updates so far: a number, tensor or variable. Read at
            every step.
          zero_debias: For averages of tensors in graphs of TensorFlow 1, as in
            `tf.train.ExponentialMovingAverage`, which does these.
          name: Name of the ops, and the last part of the averages' names; that of further
            averages of a variable is followed by their index, as in "ExponentialMovingAverage_1".
          average_dtype: "same" for averages of their variables' dtypes, as TensorFlow's class has
            them; "float32" for float32 averages of float16 and bfloat16 variables, which do not
            stall when steps get small; "split" for float32 averages of bfloat16 variables that are
            kept as bfloat16 and a remainder of 16 bits: they are the same to the last bit, cost the
            same memory, and change places with their variables without loss.
          start: How many calls of `apply` only copy: there is no average yet, so a swap changes
            nothing, and a file holds the weights. The call after them copies, too; a schedule's
            first decay would be its own.
          every: Averages move at each so many calls of `apply` only, by the product of so many
            decays. With one of these two, or with a schedule, `apply` counts its calls, and
            checkpoints hold the count.
          overwrite_every: At each so many calls of `apply`, after the averages have moved, the
            variables take the values of their first averages, and train on from these: Switch EMA,
            arXiv 2402.09240. By default they never do.
          if_not_finite: What `apply` does where a variable has NaN or infinite elements. "skip"
            leaves all averages as they are, and does not count the step; "raise" raises
            tf.errors.InvalidArgumentError before any average has changed, which XLA cannot compile.
            Both cost one more reading of the variables. By default averages become what they
            would.
          placement: With "sharded", the replicas of a MirroredStrategy or
            MultiWorkerMirroredStrategy share the averages: each has and updates those of its share
            of the variables. By default each has all. Without a strategy both are the same.
          sparse: With "lazy", `apply` touches only the rows of a variable that its `indices` name,
            where `catch_up` has named them before the step: for embeddings, of which a step writes
            a few rows. The averages are those of "dense", but for rounding. By default `apply`
            updates all rows.

          rounding: With "stochastic", averages of float16 and bfloat16 go up or down by chance, so
            that their mean is what float32 has, and none stalls where steps get small. It is the
            stochastic rounding of Gupta et al., arXiv 1502.02551. Averages of other dtypes are what
            they are without. `apply` counts its calls then, and checkpoints hold the count.
          seed: What the random bits of stochastic rounding depend on, beside the number of the
            call, the element's place in its variable, and the index of the average: an int64. Every
            device, and a program that was resumed, draws the same.

        Raises:
          TypeError: If `start`, `every`, `overwrite_every` or `seed` is no whole number.
          ValueError: If `decay` is a number and not in [0, 1], `average_dtype`, `if_not_finite`,
            `placement`, `sparse` or `rounding` is another one, `rounding` is "stochastic" beside
            float32 averages or `num_updates`, `seed` does not fit into an int64, `start` is below
            0, `every` or `overwrite_every` below 1, or `num_updates` is given beside one of these
            or a schedule, or `overwrite_every` beside "sharded", or `overwrite_every`, "sharded" or
            "stochastic" beside "lazy".
        """
        pace = Pace(decay, start, every, overwrite_every)
        check_average_dtype(average_dtype)
        check_placement(placement)
        check_if_not_finite(if_not_finite)
        check_sparse(sparse)
        seed_or_none = seed_of(rounding, seed, average_dtype, num_updates, sparse)
        check_alone(pace, num_updates, placement, sparse)
        # The base class keeps those of tensors, which it makes and updates.
        super().__init__(pace.decays[0], num_updates, zero_debias, name)
        self.holder = Averages(
            name,
            average_dtype,
            pace=pace,
            placement=placement,
            if_not_finite=if_not_finite,
            sparse=sparse,
            seed=seed_or_none,
        )
        self._track_trackable(self.holder.tracked, "averages")

    @property
    def is_swapped(self) -> bool:
        """Whether averages and variables have changed places and not yet changed back.

        It tells of swaps that ran in eager mode or by `swapped`, and of restored checkpoints that
        hold averages in the place of variables; not of a swap op that a Session or a tf.function
        ran.
        """
        return self.holder.state.is_swapped

    @unconverted
    def apply(
        self,
        var_list: Iterable[tf.Variable] | None = None,
        *,
        indices: Sequence[Any] | None = None,
    ) -> tf.Operation | None:
        """Updates the averages of `var_list`, and makes those that do not exist yet.

        Args:
          var_list: Distinct variables of bfloat16, float16, float32 or float64, of TensorFlow or
            of Keras 3; by default the trainable variables of the graph. A partitioned variable
            stands for its shards. In graphs of TensorFlow 1 there may be tensors among them, whose
            averages start at zero.
          indices: With sparse="lazy", for each of `var_list` the rows that the step has written, as
            `catch_up` takes them, and not others than were named there; None for a variable that
            was not named, or of which all rows were.

        Returns:
          The operation that updates the averages; None when executing eagerly.

        Raises:
          TypeError: If an element is of another dtype, or a tensor in TensorFlow 2.
          ValueError: If the list is empty or names a variable twice, or `indices` do not fit.
          RuntimeError: While averages and variables are swapped, or if rows were written that
            `catch_up` has not seen before; inside a tf.function when it runs, as
            tf.errors.InvalidArgumentError.
          tf.errors.InvalidArgumentError: With if_not_finite="raise", if a variable is not finite.
        """
        # A list of TensorFlow's own, which tracks, may hold other elements than it shows.
        elements: Any = var_list if type(var_list) in {list, tuple} else _listed(var_list)
        if not tf.executing_eagerly():
            return self._apply_in_graph(elements, indices)
        self.holder.state.check_not_swapped("Averages cannot be updated")
        if indices is not None or self.holder.lazy:
            self._check_rows(elements, indices)
        self.holder.update.eagerly(elements, self._current_decay(), _check)
        return None

    def _apply_in_graph(
        self, elements: Sequence[Any], indices: Sequence[Any] | None
    ) -> tf.Operation:
        tensors, variables = _check(elements)
        if tensors and (self.holder.counts or self.holder.of_each > 1):
            message = (
                "Averages of tensors take one plain decay, without `start`, `every` and "
                f"`rounding`. Received: {tensors[0]!r}; average it by an object of its own."
            )
            raise ValueError(message)
        self.holder.state.check_not_swapped("Averages cannot be updated")
        self.holder.count_for(variables)
        self.holder.create(variables)  # What a function must know of them is made beside them.
        checks = self.holder.guard("Averages cannot be updated", variables)
        if indices is not None or self.holder.lazy:
            checks += self._check_rows(elements, indices)
        with tf.control_dependencies(checks):
            updates = [super().apply(tensors)] if tensors else []
            if variables:
                with tf.name_scope(self.name):
                    decay = self._current_decay()
                updates.append(self.holder.update(variables, decay, self.name))
            return tf.group(*updates)

    @unconverted
    def catch_up(
        self, var_list: Iterable[tf.Variable], indices: Sequence[Any]
    ) -> tf.Operation | None:
        """With sparse="lazy": names rows of variables that a step is about to write.

        Call it before the optimizer, whose step must write these rows alone, and `apply` after it:

            ema.catch_up([table], [gradient.indices])
            optimizer.apply_gradients([(gradient, table)])
            ema.apply([table], indices=[gradient.indices])

        A variable that it names once is averaged lazily from then on. A tf.function that was traced
        before could not know: name rows from the first step on.

        Args:
          var_list: Variables of one device, and shards of such; others are left to `apply` alone.
          indices: For each of them the rows, its indices in the first dimension: an int32 or int64
            tensor of any shape and order, with or without duplicates; or the tf.IndexedSlices that
            have them. None for all rows, before a step that is to write a lazy variable as a whole.

        Returns:
          The operation that the optimizer must wait for; None when executing eagerly.

        Raises:
          ValueError: Without sparse="lazy"; if the two are not equally many, or a variable lies on
            several devices, has no rows, or is a reference variable.
          RuntimeError: While averages and variables are swapped, as `apply`; in a function that XLA
            compiles; if another function was traced before that updates all rows of the average; in
            a graph of TensorFlow 1, if the average was made before.
          tf.errors.InvalidArgumentError: On a CPU, if an index is that of no row; no average has
            changed. A GPU passes over it.
        """
        elements = list(var_list)
        if self.holder.sparse != LAZY or len(elements) != len(indices):
            message = (
                'Rows are caught up with sparse="lazy", those of each variable. Received: '
                f"sparse={self.holder.sparse!r}, with `indices` of {len(indices)} for "
                f"{len(elements)} variables."
            )
            raise ValueError(message)
        _check(elements)
        self.holder.start_late()
        with tf.control_dependencies(self.holder.guard("Rows cannot be caught up", elements)):
            done = self.holder.lazy.catch_up(elements, list(map(_rows, indices)))
        return None if tf.executing_eagerly() else tf.group(*done)

    def _check_rows(
        self, elements: Sequence[Any], indices: Sequence[Any] | None
    ) -> list[tf.Operation]:
        if indices is not None and indices is not CAUGHT_UP:
            indices = list(map(_rows, indices))
        return self.holder.lazy.checks(elements, indices)

    def average(self, var: tf.Variable, index: int = 0) -> tf.Variable | None:
        """The average of a variable, which may be a Keras 3 one; None if it has none.

        With sparse="lazy" it is up to date until the next `apply`: ask anew after that. In a graph
        of TensorFlow 1 it is so whenever it is read.

        Args:
          var: The variable.
          index: Which of its averages, if `decay` is a list: the position there.

        Raises:
          ValueError: If there is no average of that index.
        """
        average = self.holder.average(var, index)
        return super().average(var) if average is None and tf.is_tensor(var) else average

    def average_value(self, var: tf.Variable, index: int = 0) -> tf.Tensor | None:
        """The value of a variable's average, swapped or not; None if it has none.

        Of a split average, of which `average` has the bfloat16, it is the float32 with all bits. In
        a function or a graph it is read where the average is when this is called: swapped or not.

        Args:
          var: The variable, which may be a Keras 3 one.
          index: Which of its averages, if `decay` is a list.

        Raises:
          ValueError: If there is no average of that index.
        """
        return self.holder.value(var, index)

    def average_name(self, var: tf.Variable, index: int = 0) -> str:
        """The name of a variable's average, or what it would be called; as `average`."""
        average = self.holder.average(var, index)
        if average is None:
            return called(super().average_name(tensorflow_variable(var)), index)
        return average.name.removesuffix(":0")  # type: ignore[no-any-return]

    @unconverted
    def create_averages(self, variables: Iterable[tf.Variable]) -> None:
        """Makes the averages that do not exist yet, each at the value of its variable.

        `apply` does it when it must; call it before the first training step for averages that
        start at the initial values.

        Args:
          variables: Variables, each of one device; a partitioned one stands for its shards.

        Raises:
          TypeError: If an element is no variable, or of another dtype than `apply` takes.
          RuntimeError: While averages and variables are swapped.
        """
        elements = list(variables)
        if not elements:
            return
        self.holder.state.check_not_swapped("Averages cannot be made")
        tensors, _ = _check(elements)
        if tensors:
            message = f"Averages are made of variables. Received: {tensors[0]!r}."
            raise TypeError(message)
        self.holder.create(elements)

    @unconverted
    def guard(self) -> list[tf.Operation]:
        """Refuses a step while averages and variables are swapped, before it trains anything.

        `apply` refuses too, but in a step of your own it comes last:

            with tf.control_dependencies(ema.guard()):
                train(batch)
            ema.apply(variables)

        Returns:
          In a tf.function, the operations that a step must wait for.

        Raises:
          RuntimeError: If they are swapped now.
        """
        return self.holder.guard("No step can be taken", self.holder.variables())

    @unconverted
    def restart(self, variables: Iterable[tf.Variable] | None = None) -> tf.Operation | None:
        """Gives each average the value that its variable has now: after weights were set by hand.

        Args:
          variables: Variables that have averages; by default all.

        Returns:
          The operation that does it; None when executing eagerly.

        Raises:
          ValueError: If a variable has no average.
          RuntimeError: While averages and variables are swapped.
        """
        return self.holder.restart(variables)

    @unconverted
    def overwrite(
        self, variables: Iterable[tf.Variable] | None = None, *, index: int = 0
    ) -> tf.Operation | None:
        """Gives each variable the value of its average, for good; otherwise as `restart`.

        Args:
          variables: Variables that have averages; by default all.
          index: Which of their averages.
        """
        return self.holder.overwrite(variables, index)

    @unconverted
    def distance(
        self,
        variables: Iterable[tf.Variable] | None = None,
        *,
        index: int = 0,
        per_variable: bool = False,
    ) -> tf.Tensor:
        """The Euclidean norm of averages minus variables: log it, to see in time what diverges.

        It is the same while they are swapped, but refused if an average has another dtype than its
        variable, which then holds a rounded copy. NaN or infinite says that a value is.

        Args:
          variables: Variables that have averages; by default all.
          index: Which of their averages.
          per_variable: Whether to give a norm for each variable, in their order.

        Returns:
          A float64 scalar, or a tensor of shape [number of variables].

        Raises:
          RuntimeError: If there are no averages yet, or another worker has one.
          ValueError: If a variable has no average, or there is no average of that index.
        """
        return self.holder.distance(variables, index, per_variable=per_variable)

    @unconverted
    def swap(self, *, index: int | None = None) -> tf.Operation | None:
        """Exchanges the values of all variables and their averages, exactly and without a copy.

        Args:
          index: Which averages; by default those that are swapped now, else the first.

        Returns:
          The operation that swaps; None when executing eagerly.

        Raises:
          RuntimeError: If `apply` has not been called; when executing eagerly, if averages of
            another index are swapped now.
          TypeError: If an average has another dtype than its variable.
          ValueError: If there are no averages of that index.
        """
        return self.holder.swaps.swap(index)

    def swapped(
        self, session: tf.compat.v1.Session | None = None, *, index: int = 0
    ) -> contextlib.AbstractContextManager[None]:
        """A context in which the variables hold the averages; it always swaps back.

            with ema.swapped():
                evaluate()

        In a graph of TensorFlow 1 this call makes the swap op, unless an earlier one did: make it
        before the graph is finalized, and enter the context when needed.

        Args:
          session: In a graph, the Session to run in; by default the default Session.
          index: Which of the averages, if `decay` is a list.

        Raises:
          RuntimeError: If `apply` has not been called; on entry, if already swapped, or if there
            is no Session to run in.
          ValueError: If there are no averages of that index.
        """
        return self.holder.swaps.swapped(session, index)

    def swapped_for_saving(
        self, session: tf.compat.v1.Session | None = None, *, index: int = 0
    ) -> contextlib.AbstractContextManager[None]:
        """As `swapped`, but checkpoints may be saved: with averages in the place of variables."""
        return self.holder.swaps.swapped_for_saving(session, index)

    def _current_decay(self) -> Any:
        """The decay of this step, a float32 scalar computed as TensorFlow's class does.

        As many if there are several averages. None if that is for the holder to say, which counts
        steps.
        """
        pace = self.holder.pace
        if self.holder.counts:
            return None
        if self._num_updates is None and pace.only_numbers:
            return pace.given
        decays = [value_now(decay, tf.float32) for decay in pace.decays]
        if self._num_updates is not None:
            count = value_now(self._num_updates, tf.float32)
            decays = [tf.minimum(decay, (1.0 + count) / (10.0 + count)) for decay in decays]
        return decays if len(decays) > 1 else decays[0]


def _rows(indices: Any) -> Any:
    """The rows that a user names: a tensor, or None for all."""
    if isinstance(indices, tf.IndexedSlices):
        return indices.indices
    if indices is None or tf.is_tensor(indices):
        return indices
    given = np.asarray(indices)
    return tf.constant(given if given.size else given.astype(np.int64))


def _listed(var_list: Iterable[Any] | None) -> list[Any]:
    return list(tf.compat.v1.trainable_variables() if var_list is None else var_list)


def _check(elements: Sequence[Any]) -> tuple[list[tf.Tensor], list[tf.Variable]]:
    """Divides what is to be averaged into tensors and variables of one device."""
    if not elements:
        message = "`var_list` must name at least one variable. Received: an empty list."
        raise ValueError(message)
    tensors: list[tf.Tensor] = []
    variables: list[tf.Variable] = []
    known: set[int] = set()
    for element in shards(elements):
        if not is_variable(element) and not tf.is_tensor(element):
            message = f"`var_list` must hold variables. Received: {element!r}."
            raise TypeError(message)
        if id(element) in known:
            message = f"The variables must be distinct. Received: {element.name!r} twice."
            raise ValueError(message)
        known.add(id(element))
        (variables if is_variable(element) else tensors).append(element)
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
