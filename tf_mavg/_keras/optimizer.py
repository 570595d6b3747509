"""What the MovingAverage optimizers of Keras 3 and of tf_keras have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import tensorflow as tf

from tf_mavg._averages.averages import Averages
from tf_mavg._averages.checkpoints.identity import called, remainder_of
from tf_mavg._averages.choices import check_alone
from tf_mavg._averages.components.shares import check_placement
from tf_mavg._averages.dtypes import check_average_dtype
from tf_mavg._averages.update.finite import check_if_not_finite
from tf_mavg._averages.update.lazy_rows import DENSE, check_sparse
from tf_mavg._averages.update.pace import Pace, several
from tf_mavg._averages.update.rounding import seed_of
from tf_mavg._averages.update.written_rows import rows_written
from tf_mavg._compat.keras import WithoutWeights
from tf_mavg._keras.decays import Decays
from tf_mavg._keras.extra import ExtraVariables
from tf_mavg._keras.files.state import AveragingState
from tf_mavg._keras.finding import averaging_optimizers_of
from tf_mavg._keras.sparse_writes import check_writes_named_rows
from tf_mavg._keras.support import check_choice, is_averaged, path_of
from tf_mavg._ops.variables import tensorflow_variable

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterable, Sequence

    from tf_mavg._averages.update.pace import OneOrMore
    from tf_mavg.decays import Decay

WARM_UP = "iterations"
_WAY_OUT = "while averages and weights are swapped; leave `with optimizer.swapped():` first."


class AveragingOptimizer(AveragingState):
    """Base beside a Keras's own Optimizer: an optimizer that wraps another one and averages.

    Attributes:
      inner_optimizer: The wrapped optimizer.
      holder: What has the averages, as in every other class that averages.
    """

    # What the Keras's own Optimizer needs to be told beside a name.
    _base_arguments: ClassVar[dict[str, Any]] = {}

    def __init__(  # noqa: PLR0913, PLR0917 - one for each thing to choose.
        self,
        optimizer: Any,
        average_decay: OneOrMore[float | Decay] = 0.999,
        num_updates: str | None = None,
        average_dtype: str | None = None,
        exclude: str | Sequence[str] | Callable[[Any], bool] | None = None,
        name: str = "moving_average",
        *,
        placement: str = "replicated",
        overwrite_weights: bool = False,
        start_missing_averages: bool = False,
        start: int = 0,
        every: int = 1,
        overwrite_every: int | None = None,
        if_not_finite: Literal["update", "skip", "raise"] = "update",
        sparse: Literal["dense", "lazy"] = "dense",
        extra_variables: Iterable[Any] | Callable[[], Iterable[Any]] = (),
        rounding: Literal["nearest", "stochastic"] = "nearest",
        seed: int = 0,
    ) -> None:
        """Wraps `optimizer`.

        Args:
          optimizer: An optimizer of the same Keras, or its name.
          average_decay: Number in [0, 1]. It can be set later, and takes effect at the next step.
            Or a schedule of `tf_mavg.decays`, whose n-th decay is that of the n-th step. Or a list
            of such, for as many averages of each weight, all updated in one pass; `index` then says
            which is meant.
          num_updates: With "iterations" the decay warms up: it is the smaller of `average_decay`
            and `(1 + n) / (10 + n)` at the optimizer's n-th step.
          average_dtype: "float32" for float32 averages of float16 and bfloat16 weights; "same" for
            averages of the weights' own dtype, which in half precision stall when steps get small;
            "split" for float32 averages of bfloat16 weights that are kept as bfloat16 and a
            remainder of 16 bits: the same to the last bit, in the same memory, and swapped without
            loss. By default "split" for bfloat16 weights, and "float32" for float16 ones and where
            an average cannot be split.
          exclude: Which weights have no average: regular expressions to find in their path, or a
            function of the weight that tells. Others without: those that are not trained, unless
            they are among `extra_variables`.
          name: Name of the optimizer.
          placement: With "sharded", the replicas of a MirroredStrategy or
            MultiWorkerMirroredStrategy share the averages: each has and updates those of its share
            of the weights. By default each has all. Without a strategy both are the same.
          overwrite_weights: Whether the weights are the averages after `fit`, as they are with
            Keras's own `use_ema`. By default they are the trained ones.
          start_missing_averages: Whether a file that has averages of some weights only can be
            loaded: the others, such as a new head's, then start at their weights.
          start: How many steps have no average yet: a swap changes nothing, and a file holds the
            weights. The step after them copies the weights, too; a schedule's first decay would be
            its own.
          every: Averages move at each so many steps only, by the product of so many decays. With
            one of these two, or with a schedule, files hold the count of steps.
          overwrite_every: At each so many steps the weights take the values of their first
            averages, and train on from these, as with Keras's `ema_overwrite_frequency`. By default
            they never do. Averages must be of the weights' dtypes.
          extra_variables: Variables to average beside the trained ones, such as the statistics of
            batch normalization; or a function that returns them, which is called when the optimizer
            is built: `lambda: model.non_trainable_variables`. Those that are not floating-point,
            such as counts and the states of random numbers, have no average: a swap and a file
            leave them as they are. A configuration has the paths of the others, and finds them in
            the model that is compiled with the optimizer.
          if_not_finite: What a step does to averages where a weight has NaN or infinite elements.
            "skip" leaves all of them as they are, and does not count the step; "raise" raises
            tf.errors.InvalidArgumentError before any average has changed, which XLA cannot compile.
            Both cost one more reading of the weights. By default averages become what they would.
          sparse: With "lazy", a step touches only those rows of an average whose weight's rows it
            writes, where the gradient is a tf.IndexedSlices, as of an embedding. The averages are
            those of "dense", but for rounding. It needs an optimizer that writes no other rows,
            such as SGD without momentum or Adagrad, which the first such step makes sure of. By
            default a step updates all rows.
          rounding: With "stochastic", averages of float16 and bfloat16 go up or down by chance, so
            that their mean is what float32 has, and none stalls where steps get small: the
            stochastic rounding of Gupta et al., arXiv 1502.02551. It needs average_dtype="same".
            Averages of other dtypes are what they are without. Files hold the count of steps then.
          seed: What the random bits of stochastic rounding depend on, beside the number of the
            step, the element's place in its weight, and the index of the average: an int64. Every
            device, and a training that was resumed, draws the same.

        Raises:
          TypeError: If `optimizer` is no optimizer of the same Keras, a number of steps or `seed`
            is no whole number, or `extra_variables` is none of the above.
          ValueError: If another argument is none of the values above, two do not go together, or
            Keras knows no optimizer of that name.
        """
        decays = Decays(average_decay)
        check_choice("num_updates", num_updates, (None, WARM_UP))
        check_average_dtype(average_dtype)
        check_placement(placement)
        check_if_not_finite(if_not_finite)
        check_sparse(sparse)
        seed_or_none = seed_of(rounding, seed, average_dtype, num_updates, sparse)
        extra = ExtraVariables(extra_variables)
        wrapped = self._optimizer_of(optimizer)
        super().__init__(name=name, **self._base_arguments)  # type: ignore[call-arg]
        # What the base class sets is the wrapped optimizer's to say: its clipnorm, its use_ema.
        for setting in [key for key in vars(self) if not key.startswith("_")]:
            if setting not in {"name", "built"}:
                delattr(self, setting)
        pace = Pace(decays.for_pace(), start, every, overwrite_every)
        check_alone(pace, num_updates, placement, sparse)
        self.holder = Averages(
            "average",
            average_dtype,
            pace=pace,
            placement=placement,
            if_not_finite=if_not_finite,
            sparse=sparse,
            seed=seed_or_none,
            way_out=_WAY_OUT,
        )
        self._decays = decays
        self.rounding, self.seed = rounding, int(seed)
        self.num_updates = num_updates
        self.average_dtype = average_dtype
        self.placement = placement
        self.exclude = [exclude] if isinstance(exclude, str) else exclude
        self.overwrite_weights = overwrite_weights
        self.start_missing_averages = start_missing_averages
        self._weights, self._averaged, self._counts, self._is_built = (), (), (), False
        self._trained, self._extra = 0, extra
        self._writes_named_rows = False  # Whether that has been made sure of.
        self._is_traced = False  # Whether a function updates the averages.
        self._tracked = WithoutWeights(wrapped)
        self.inner_optimizer = wrapped
        tracked = super(AveragingState, self)._trackable_children()  # type: ignore[misc]
        # Nor the lists of weights: a checkpoint would know weights by their positions there.
        self._untold = frozenset({*tracked, "_weights", "_averaged", "_counts"})

    def _optimizer_of(self, optimizer: Any) -> Any:
        """The optimizer that is meant; TypeError if it is none that can be wrapped."""
        optimizers = self._keras.optimizers
        if isinstance(optimizer, str | dict):
            optimizer = optimizers.get(optimizer)
        if isinstance(optimizer, optimizers.Optimizer) and not isinstance(
            optimizer, AveragingOptimizer
        ):
            return optimizer
        name = self._keras.__name__
        message = (
            f"`optimizer` must be a {name}.optimizers.Optimizer that is no MovingAverage. "
            f"Received: {optimizer!r}"
        )
        kind = type(optimizer).__name__
        if ".legacy" in type(optimizer).__module__ or "optimizer_v2" in type(optimizer).__module__:
            message += f", which is legacy and not served; use {name}.optimizers.{kind}"
        raise TypeError(message + ".")

    def __getattr__(self, name: str) -> Any:
        """The wrapped optimizer's attributes: what this class does not define is its."""
        if not name.startswith("_"):
            for optimizer in self._wrapped_ones():
                if hasattr(optimizer, name):
                    return getattr(optimizer, name)
        message = f"{type(self).__name__!r} object has no attribute {name!r}"
        raise AttributeError(message)

    def __setattr__(self, name: str, value: Any) -> None:
        """Sets an attribute of this optimizer, or else of the wrapped one, where it has effect."""
        if name == "extra_variables":  # Past the base class, which would take them for its own.
            object.__setattr__(self, name, value)
            return
        if not (name.startswith("_") or name in self.__dict__ or hasattr(type(self), name)):
            for optimizer in self._wrapped_ones():
                if hasattr(optimizer, name):
                    setattr(optimizer, name, value)
                    return
        super().__setattr__(name, value)

    def __dir__(self) -> Iterable[str]:
        """All attributes but `inner_optimizer`, whose state Keras's savers would save once more.

        They walk over what is listed here, and this optimizer's own state is that of both.
        """
        return [name for name in super().__dir__() if name != "inner_optimizer"]

    def _wrapped_ones(self) -> list[Any]:
        """The wrapped optimizer; before it the one in a LossScaleOptimizer: its settings count."""
        wrapped = self.__dict__.get("inner_optimizer")
        if wrapped is None:  # This one is being made.
            return []
        inner = getattr(wrapped, "inner_optimizer", None)
        return [wrapped] if inner is None else [inner, wrapped]

    @property
    def average_decay(self) -> OneOrMore[float | Decay]:
        """The decay, or the list of them; what is set takes effect at the next step.

        That holds for steps that were traced or compiled, too.

        Raises:
          ValueError: If a number is set that is not in [0, 1]; there is or would be a schedule,
            which traced steps could not follow; or there are not as many as before.
        """
        return self._decays.given

    @average_decay.setter
    def average_decay(self, value: OneOrMore[float | Decay]) -> None:
        self._decays.set(value)

    @property
    def iterations(self) -> Any:
        """The wrapped optimizer's count of steps."""
        return self.inner_optimizer.iterations

    @property
    def learning_rate(self) -> Any:
        """The wrapped optimizer's learning rate."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def extra_variables(self) -> Any:
        """The variables to average beside the trained ones, or the function that returns them.

        Raises:
          RuntimeError: If they are set after the optimizer was built.
          TypeError: If what is set is neither.
        """
        return self._extra.given

    @extra_variables.setter
    def extra_variables(self, variables: Iterable[Any] | Callable[[], Iterable[Any]]) -> None:
        if self._is_built:
            message = (
                "`extra_variables` must be set before the optimizer is built: before the model "
                f"trains, or its averages are loaded. Received: {variables!r} after that."
            )
            raise RuntimeError(message)
        self._extra = ExtraVariables(variables)

    def look_for_extra_variables(self, model: Any) -> None:
        """Has the paths of a configuration be those of a model's variables: `compile` calls it."""
        self._extra.look_in(model)

    def average(self, weight: Any, index: int = 0) -> Any:
        """The average of a weight; None if it has none.

        An average starts at the value that its weight has when the average is first used: by this
        call, a step, a swap or a save.

        Args:
          weight: The weight.
          index: Which of its averages, if `average_decay` is a list: the position there.

        Raises:
          ValueError: If there is no average of that index.
        """
        self._prepare()
        return self.holder.average(weight, index)

    def average_value(self, weight: Any, index: int = 0) -> tf.Tensor | None:
        """The value of a weight's average, swapped or not; None if it has none.

        Of a split average, of which `average` has the bfloat16, it is the float32 with all bits.
        Arguments and errors are those of `average`.
        """
        self._prepare()
        return self.holder.value(weight, index)

    @property
    def is_swapped(self) -> bool:
        """Whether the weights hold the averages."""
        return self.holder.state.is_swapped

    def swapped(
        self, model: Any = None, *, index: int = 0
    ) -> contextlib.AbstractContextManager[None]:
        """A context in which the weights hold the averages; it always swaps back, bit for bit.

            with optimizer.swapped():
                model.evaluate(x, y)

        Meanwhile a training step, or saving the optimizer's state, is refused.

        Args:
          model: The model, for code that does not know whether this optimizer trains it.
          index: Which of the averages, if `average_decay` is a list.

        Raises:
          ValueError: If `model` is given and this optimizer is not the one that trains it, or there
            are no averages of that index.
          RuntimeError: If no weights are known yet; on entry, if already swapped.
        """
        if model is not None and not any(one is self for one in averaging_optimizers_of(model)):
            message = f"`model` must be trained by this optimizer. Received: {model.name!r}."
            raise ValueError(message)
        return self._checked().swaps.swapped(index=index)

    def swapped_for_saving(self, *, index: int = 0) -> contextlib.AbstractContextManager[None]:
        """As `swapped`, but checkpoints may be saved: with averages in the place of weights.

        A .keras or .weights.h5 file of that time is for evaluation: it is refused as one to train
        on from.
        """
        return self._checked().swaps.swapped_for_saving(index=index)

    def restart(self, weights: Iterable[Any] | None = None) -> tf.Operation | None:
        """Gives each average the value that its weight has now: after weights were set by hand.

        Args:
          weights: Weights that have averages; by default all.

        Returns:
          In a tf.function the operation that does it; None when executing eagerly.

        Raises:
          RuntimeError: If no weights are known yet, or averages and weights are swapped.
          ValueError: If a weight has no average.
        """
        return self._checked().restart(weights)

    def distance(
        self, weights: Iterable[Any] | None = None, *, index: int = 0, per_variable: bool = False
    ) -> tf.Tensor:
        """The Euclidean norm of averages minus weights: log it, to see in time what diverges.

        It is the same while they are swapped, but refused if an average has another dtype than its
        weight, which then holds a rounded copy. NaN or infinite says that a value is.

        Args:
          weights: Weights that have averages; by default all.
          index: Which of their averages.
          per_variable: Whether to give a norm for each weight, in their order.

        Returns:
          A float64 scalar, or a tensor of shape [number of weights].

        Raises:
          RuntimeError: If no weights are known yet, or another worker has an average.
          ValueError: If a weight has no average, or there is no average of that index.
        """
        return self._checked().distance(weights, index, per_variable=per_variable)

    def last_step(self) -> int:
        """How many steps the averages have seen, in eager mode."""
        steps = self.holder.steps.first
        return int(self.iterations if steps is None else steps)

    def last_decays(self) -> list[float]:
        """The decay of the last step that moved each average, or would have been the first.

        In eager mode.
        """
        if self.holder.counts:
            return self.holder.pace.last_decays(self.last_step())
        decays = self._current_decay()
        return [float(one) for one in several(decays)]

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """What the wrapped optimizer does at the end of fit; then `overwrite_weights`, if asked."""
        if self._is_built:  # The wrapped optimizer's use_ema writes over weights, too.
            self.holder.state.check_not_swapped("Variables cannot be overwritten")
        self.inner_optimizer.finalize_variable_values(var_list)
        if self.overwrite_weights and self._is_built:
            self._prepare()
            self.holder.overwrite()

    def exclude_from_weight_decay(self, *args: Any, **kwargs: Any) -> None:
        """As the wrapped optimizer's."""
        self.inner_optimizer.exclude_from_weight_decay(*args, **kwargs)

    def _build(self, weights: Sequence[Any]) -> None:
        """Builds the wrapped optimizer, and averages that start when they are first used."""
        extra = self._extra.variables()
        with tf.init_scope():  # It may be called while a training step is traced.
            have_values = all(bool(tensorflow_variable(w).is_initialized()) for w in weights)
            if have_values:
                self.inner_optimizer.build(weights)
        if not have_values:  # The function that is being traced makes the weights.
            self.inner_optimizer.build(weights)
        trained = {id(weight) for weight in weights}
        added = [v for v in extra if id(v) not in trained and is_averaged(v, self.exclude)]
        self._weights, self._trained = (*weights, *added), len(weights)
        self._averaged = tuple(w for w in self._weights if is_averaged(w, self.exclude))
        self._is_built = True
        created = self.holder.create(self._averaged, [path_of(w) for w in self._averaged])
        entries = [entry for of_weight in created for entry in of_weight]
        for entry in entries:
            name = called(f"{entry.name.replace('/', '_')}_average", entry.index)
            entry.shown = self._shown(entry.average if entry.shown is None else entry.shown, name)
            if entry.is_split:
                remainder = entry.shown_remainder
                remainder = entry.remainder if remainder is None else remainder
                entry.shown_remainder = self._shown(remainder, remainder_of(name))
        steps = self.holder.steps.first
        self._counts = () if steps is None else (self._shown(steps, "average_steps"),)
        self.holder.start_later([e for e in entries if not self.holder.was_restored(e)])

    def _guard(self) -> contextlib.AbstractContextManager[Any]:
        """A context for a step, which waits for the check that nothing is swapped.

        Raises:
          RuntimeError: If averages and weights are swapped now.
        """
        self._prepare()
        checks = self.holder.guard("No step can be taken", self._averaged[:1])
        return tf.control_dependencies(checks)  # type: ignore[no-any-return]

    def _catch_up(self, pairs: Sequence[tuple[Any, Any]]) -> None:
        """Before a step, has the rows that it writes be up to date, where averages are lazy.

        Args:
          pairs: The gradients and weights of the step.

        Raises:
          ValueError: If it writes others, too, or a weight cannot be averaged lazily.
          RuntimeError: In a function that XLA compiles.
        """
        if self.holder.sparse == DENSE:
            return
        weights, indices = rows_written(self.holder, pairs)
        if not weights:
            return
        if not self._writes_named_rows:
            check_writes_named_rows(self._keras, self._wrapped_ones()[0])
            self._writes_named_rows = True
        self.holder.lazy.catch_up(weights, indices)

    def _update(self) -> None:
        """Moves the averages towards the weights: after each real step."""
        if not self._averaged:
            return
        self._is_traced |= not tf.executing_eagerly()
        self.holder.update(self.holder.variables(), self._current_decay(), "UpdateAverages")

    def _current_decay(self) -> Any:
        """The decay of this step, or of each average.

        None if that is for the holder to say, which counts steps.
        """
        if self.holder.counts:
            return None
        return self._decays.current(self.iterations if self.num_updates == WARM_UP else None)

    def _checked(self) -> Averages:
        if not self._is_built:
            message = (
                "The optimizer has no averages yet; train the model or call "
                "optimizer.build(model.trainable_variables) first."
            )
            raise RuntimeError(message)
        self._prepare()
        if not self._averaged:
            message = (
                "No weight has an average, because `exclude` leaves out all of those that are "
                f"trained. Received: exclude={self.exclude!r}."
            )
            raise RuntimeError(message)
        return self.holder
