"""The optimizer that brings back `tf.contrib.opt.MovingAverageOptimizer`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import tensorflow as tf

from tf_mavg._averages.update.finite import UPDATE
from tf_mavg._averages.update.lazy_rows import CAUGHT_UP, DENSE
from tf_mavg._averages.update.written_rows import rows_written
from tf_mavg._compat.tensorflow import create_slots, unconverted
from tf_mavg._ops.variables import FLOATING_DTYPES, base_dtype, distinct, shards
from tf_mavg._tensorflow.exponential import ExponentialMovingAverage
from tf_mavg._tensorflow.holding import holders_of
from tf_mavg._tensorflow.saver import SwappingSaver, Unmarked
from tf_mavg._tensorflow.swapped_names import swapped_var_list

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tf_mavg._averages.update.pace import OneOrMore
    from tf_mavg._tensorflow.holding import HasAverages
    from tf_mavg.decays import Decay


# Those of TensorFlow whose sparse update writes the rows of the gradient alone.
_WRITE_NAMED_ROWS: Final = frozenset(
    {
        "AdadeltaOptimizer",
        "AdagradOptimizer",
        "FtrlOptimizer",
        "GradientDescentOptimizer",
        "LazyAdamOptimizer",
        "MomentumOptimizer",
        "ProximalAdagradOptimizer",
        "ProximalGradientDescentOptimizer",
        "RMSPropOptimizer",
    }
)


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

    def __init__(  # noqa: PLR0913 - contrib's arguments, and three more.
        self,
        opt: tf.compat.v1.train.Optimizer,
        average_decay: OneOrMore[float | tf.Tensor | tf.Variable | Decay] = 0.9999,
        num_updates: float | tf.Tensor | tf.Variable | None = None,
        sequential_update: bool = True,  # noqa: FBT001, FBT002 - the signature that comes back.
        *,
        extra_variables: Iterable[tf.Variable] | Callable[[], Iterable[tf.Variable]] = (),
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
        """Wraps `opt`.

        Args:
          opt: The `tf.compat.v1.train.Optimizer` that computes and applies gradients.
          average_decay: Scalar in [0, 1]: a number, tensor or variable; or a schedule of
            `tf_mavg.decays`; or a list of such, for as many averages of each variable. See
            `ExponentialMovingAverage`.
          num_updates: Optional count of updates so far; with it the decay warms up. See
            `ExponentialMovingAverage`.
          sequential_update: If True, the averages are updated after the variables. If False, at
            the same time in a graph of TensorFlow 1: an average may then see its variable before
            or after the step.
          extra_variables: Variables to average beside the trained ones, such as the statistics of
            batch normalization; or a function that returns them, which each step calls. Those that
            are not floating-point, such as counts, have no average: a swap and a file leave them
            as they are.
          average_dtype: See `ExponentialMovingAverage`.
          start: How many steps have no average yet. See `ExponentialMovingAverage`.
          every: Averages move at each so many steps. See `ExponentialMovingAverage`.
          overwrite_every: Variables take the values of their averages at each so many steps. See
            `ExponentialMovingAverage`.
          if_not_finite: What a step does to averages where a variable has NaN or infinite elements.
            See `ExponentialMovingAverage`.
          placement: See `ExponentialMovingAverage`.
          sparse: With "lazy", a step touches only those rows of an average whose variable's rows it
            writes, where the gradient is a tf.IndexedSlices. In a graph of TensorFlow 1 the
            variable must be a resource variable. It needs an optimizer that writes no other rows:
            GradientDescent, Momentum, Adagrad, Adadelta, RMSProp, Ftrl and their like, but not
            Adam. See `ExponentialMovingAverage`.
          rounding: How averages of half precision are rounded. See `ExponentialMovingAverage`.
          seed: See `ExponentialMovingAverage`.

        Raises:
          TypeError: If `opt` is no such optimizer, or a number of steps is no whole number.
          ValueError: If another argument is none that `ExponentialMovingAverage` takes, or
            `sequential_update` is False beside `overwrite_every` or `if_not_finite`, or with
            sparse="lazy" `opt` writes rows that no gradient names.
        """
        if not isinstance(opt, tf.compat.v1.train.Optimizer):
            message = (
                f"`opt` must be a tf.compat.v1.train.Optimizer. Received: {opt!r}. Optimizers "
                "of Keras are wrapped by tf_mavg.keras.MovingAverage and "
                "tf_mavg.tf_keras.MovingAverage."
            )
            raise TypeError(message)
        if not sequential_update and (overwrite_every is not None or if_not_finite != UPDATE):
            message = (
                "`overwrite_every` and `if_not_finite` need the averages to be updated after the "
                f"variables. Received: sequential_update={sequential_update}; leave it away."
            )
            raise ValueError(message)
        if sparse != DENSE and type(opt).__name__ not in _WRITE_NAMED_ROWS:
            message = (
                'With sparse="lazy", `opt` must write no other rows than its gradients name, as '
                f"{', '.join(sorted(_WRITE_NAMED_ROWS))} do. Received: a {type(opt).__name__}; "
                'take one of these, or sparse="dense".'
            )
            raise ValueError(message)
        super().__init__(use_locking=False, name="MovingAverage")
        self._optimizer = opt
        self._sequential_update = sequential_update
        self._averages = ExponentialMovingAverage(
            average_decay,
            num_updates=num_updates,
            average_dtype=average_dtype,
            start=start,
            every=every,
            overwrite_every=overwrite_every,
            if_not_finite=if_not_finite,
            placement=placement,
            sparse=sparse,
            rounding=rounding,
            seed=seed,
        )
        self.holder = self._averages.holder
        self.holder.tracked.offers_slots = False  # This optimizer does.
        self._extra_variables = extra_variables

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
        grads_and_vars = _checked_pairs(grads_and_vars)
        trained = [variable for gradient, variable in grads_and_vars if gradient is not None]
        extra: Any = self._extra_variables
        # A variable that occurs twice, for tied weights, is averaged once.
        extra = shards(extra() if callable(extra) else extra)
        averaged = distinct([*trained, *(v for v in extra if base_dtype(v) in FLOATING_DTYPES)])
        self.holder.state.check_not_swapped("Variables cannot be trained")
        # Before the step, so that averages start at the initial values in eager mode too.
        since = self.holder.count
        self.holder.create(averaged)
        self._restore_deferred(trained)
        before = self.holder.guard("Variables cannot be trained", averaged)
        indices = None
        if self.holder.sparse != DENSE:
            indices = CAUGHT_UP
            variables, rows = rows_written(self.holder, grads_and_vars)
            with tf.control_dependencies(before):
                before += self.holder.lazy.catch_up(variables, rows, since)
        with tf.control_dependencies(before):
            train_op = self._optimizer.apply_gradients(
                grads_and_vars, global_step=global_step, name=name
            )
        # An average that is updated meanwhile has at least seen that its rows are caught up.
        after = [train_op] if self._sequential_update and train_op is not None else before
        with tf.control_dependencies(after):
            average_op = self._averages.apply(averaged, indices=indices)
        if tf.executing_eagerly():
            return None
        return tf.group(train_op, average_op, name="train_with_averages")

    def swapping_saver(
        self,
        var_list: Any = None,
        name: str = "swapping_saver",
        *,
        start_missing_averages: bool = False,
        unmarked: Unmarked | None = None,
        others: Sequence[HasAverages] = (),
        **kwargs: Any,
    ) -> SwappingSaver:
        """Makes a Saver that saves each average under its variable's name, and the other way.

        Of several averages of a variable that is the first; the others keep their names.

        Use it while training, to save and to resume. To evaluate, restore its checkpoints with a
        plain Saver: the variables then hold the averages.

        Call it after all variables are created and after `minimize` or `apply_gradients`. A
        MonitoredTrainingSession saves and resumes with a plain Saver unless it is given this one:

            scaffold = tf.compat.v1.train.Scaffold(saver=optimizer.swapping_saver())
            with tf.compat.v1.train.MonitoredTrainingSession(
                scaffold=scaffold, checkpoint_dir="training"
            ) as session:
                ...

        A checkpoint bears a mark, which says which averages it holds in the place of which
        variables. So it may be resumed from when other variables are averaged than before.

        The saver that `tf.compat.v1.train.import_meta_graph` returns for a checkpoint restores the
        trained weights into the variables, and not the averages, because it is a copy of this one.

        Args:
          var_list: What to save, as `tf.compat.v1.train.Saver` takes it: a list or a dictionary by
            name; by default all variables and other saveable objects of the graph.
          name: Name of the saver's ops.
          start_missing_averages: Whether `restore` accepts a checkpoint that lacks averages, and
            starts each of these from its variable.
          unmarked: How `restore` takes a checkpoint that has averages but no mark: "plain" if each
            value stands under its own name, because a plain Saver wrote it; "swapped" if the
            swapping saver of tf.contrib.opt did. By default it is refused.
          others: Others whose averages are saved and restored with these: a GAN's second optimizer.
          **kwargs: Further arguments of `tf.compat.v1.train.Saver`.

        Returns:
          A `tf.compat.v1.train.Saver`.

        Raises:
          RuntimeError: If neither `minimize` nor `apply_gradients` has been called, of this one or
            of another.
          TypeError: If `builder` or `saver_def` is among the further arguments, or one of `others`
            has no averages.
          ValueError: If `var_list` has a variable but not its average, or the other way, or
            `unmarked` is none of these, or two average one variable.
        """
        holders = holders_of("others", [self, *others])
        if not all(holder.entries() for holder in holders):
            message = "Must call apply_gradients or minimize before creating the swapping_saver"
            raise RuntimeError(message)
        if var_list is None:
            beside = {id(one) for holder in holders for one in holder.lazy.variables()}
            var_list = [
                *(one for one in tf.compat.v1.global_variables() if id(one) not in beside),
                *tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.SAVEABLE_OBJECTS),
            ]
        return SwappingSaver(
            swapped_var_list(var_list, [e for holder in holders for e in holder.entries()]),
            holders=holders,
            start_missing_averages=start_missing_averages,
            unmarked=unmarked,
            name=name,
            **kwargs,
        )

    def get_slot(self, var: tf.Variable, name: str) -> tf.Variable | None:
        """The slot `name` of `var`: one of the wrapped optimizer's, or "average".

        The slots of further averages are "average_1" and so on; that of the remainder of a split
        one is "average_remainder", "average_1_remainder".
        """
        if self.holder.tracked.has_slot(name):
            return self.holder.tracked.get_slot(var, name)
        return self._optimizer.get_slot(var, name)

    def get_slot_names(self) -> list[str]:
        """The names of the wrapped optimizer's slots, and those of averages, as of `get_slot`."""
        return [*self._optimizer.get_slot_names(), *self.holder.tracked.names_of_slots()]

    def variables(self) -> list[tf.Variable]:
        """The state of the wrapped optimizer, then the averages; in a graph, its own."""
        averages = [part for entry in self.holder.entries() for part in entry.wholes]
        return [*self._optimizer.variables(), *averages, *self.holder.steps_at_hand()]

    def _trackable_children(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """What tf.train.Checkpoint saves beside the slots: what the wrapped optimizer has."""
        own = self._optimizer._trackable_children(*args, **kwargs)  # noqa: SLF001
        return {**own, "averages": self.holder.tracked}

    def _lookup_dependency(self, *args: Any, **kwargs: Any) -> Any:
        return self._optimizer._lookup_dependency(*args, **kwargs)  # noqa: SLF001

    def _restore_deferred(self, variables: Iterable[tf.Variable]) -> None:
        """Makes what a tf.train.Checkpoint holds of the wrapped optimizer before its first step."""
        self._maybe_initialize_trackable()
        if self._deferred_dependencies:
            with tf.init_scope():
                create_slots(self._optimizer, variables)
                for name, child in self._optimizer._trackable_children().items():  # noqa: SLF001
                    self._handle_deferred_dependencies(name, child)

    def _create_or_restore_slot_variable(
        self, slot_variable_position: Any, slot_name: str, variable: tf.Variable
    ) -> None:
        """Restores a slot from a tf.train.Checkpoint, and makes it if it does not exist yet."""
        is_ours = self.holder.tracked.has_slot(slot_name)
        owner = self.holder.tracked if is_ours else self._optimizer
        owner._create_or_restore_slot_variable(  # noqa: SLF001
            slot_variable_position=slot_variable_position, slot_name=slot_name, variable=variable
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
