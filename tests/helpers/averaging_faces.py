"""Every face that averages, behind one: variables by name, and what averages them."""

import contextlib
import copy
from collections.abc import Iterator, Sequence
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

import tf_mavg
import tf_mavg.keras
import tf_mavg.tf_keras

tf1 = tf.compat.v1
DECAY: Final = 0.5

# Each step adds this to each variable that it trains.
CHANGE: Final = 1.0


class Eager:
    """Base of the faces of eager mode.

    Attributes:
      variables: Variables by name, in the order of making.
      averages: What has their averages.
    """

    trains_all: bool = False  # Whether a step must train all variables.
    can_copy: bool = True
    starts_before: bool = True  # Whether averages that a step makes start before it.

    def __init__(self, values: dict[str, NDArray]) -> None:
        """Makes variables of these values, in their order, without averages."""
        self.variables = {name: self._variable(value, name) for name, value in values.items()}
        self.averages = self._averages()
        self._steps: dict[tuple[str, ...], Any] = {}

    def _variable(self, value: NDArray, name: str) -> Any:
        return tf.Variable(value, name=name)

    def _averages(self) -> Any:
        raise NotImplementedError

    @property
    def holder(self) -> Any:
        """What has the averages."""
        return self.averages.holder

    def create(self, names: Sequence[str]) -> None:
        """Makes averages of variables."""
        raise NotImplementedError

    def _step(self, variables: list[Any]) -> None:
        """Adds CHANGE to each variable, then averages."""
        raise NotImplementedError

    def step(self, names: Sequence[str], *, traced: bool = False) -> None:
        """Takes a step that trains variables, eagerly or as a function that is traced once."""
        variables = [self.variables[name] for name in names]
        if not traced:
            self._step(variables)
            return
        key = tuple(names)
        if key not in self._steps:
            self._steps[key] = tf.function(lambda: [self._step(variables), None][1])
        self._steps[key]()

    @property
    def is_swapped(self) -> bool:
        """Whether averages and variables have changed places."""
        return bool(self.holder.state.is_swapped)

    def swap(self) -> None:
        """Has averages and variables change places, there or back."""
        self.holder.swaps.swap()

    def swapped(self) -> contextlib.AbstractContextManager[None]:
        """A context in which they have."""
        return self.averages.swapped()  # type: ignore[no-any-return]

    def weight(self, name: str) -> NDArray:
        """The value of a variable."""
        return np.array(self.variables[name].numpy())

    def average(self, name: str) -> NDArray | None:
        """The value of the variable that holds the average of one; None if there is none."""
        average = self.holder.average(self.variables[name])
        return None if average is None else np.array(average.numpy())

    def _manager(self, path: str, *, starts: bool = False) -> Any:
        checkpoint = tf.train.Checkpoint(averages=self.averages, **self.variables)
        return tf_mavg.SwappingCheckpointManager(
            checkpoint, self.averages, path, start_missing_averages=starts
        )

    def save(self, path: str, *, swapping: bool) -> str:
        """Writes a checkpoint below a path, with averages in the place of variables or without."""
        if swapping:
            return str(self._manager(path).save())
        return str(tf.train.Checkpoint(averages=self.averages, **self.variables).write(path))

    def restore(self, path: str, *, swapping: bool) -> None:
        """Restores what `save` wrote; of a plain one what is there."""
        if swapping:
            self._manager(path).restore(path)
        else:
            checkpoint = tf.train.Checkpoint(averages=self.averages, **self.variables)
            checkpoint.read(path).expect_partial()

    def copy(self) -> "Eager":
        """A copy of variables and averages."""
        copied = copy.copy(self)
        copied.variables, copied.averages = copy.deepcopy((self.variables, self.averages))
        copied._steps = {}
        return copied

    def fail(self) -> None:
        """Fails within a step, before anything may have changed."""
        raise NotImplementedError


class DropIn(Eager):
    """ExponentialMovingAverage."""

    starts_before = False

    def _averages(self) -> Any:
        return tf_mavg.ExponentialMovingAverage(DECAY)

    def create(self, names: Sequence[str]) -> None:
        """Makes averages."""
        self.averages.create_averages([self.variables[name] for name in names])

    def _step(self, variables: list[Any]) -> None:
        with tf.control_dependencies(self.averages.guard()):
            for variable in variables:
                variable.assign_add(tf.fill(variable.shape, CHANGE))
        self.averages.apply(variables)

    def fail(self) -> None:
        """Has no variable of an unfit dtype averaged."""
        self.averages.apply([*self.variables.values(), tf.Variable(1)])


class Version1(Eager):
    """MovingAverageOptimizer in eager mode."""

    def _averages(self) -> Any:
        return tf_mavg.MovingAverageOptimizer(tf1.train.GradientDescentOptimizer(1.0), DECAY)

    can_copy = False

    def create(self, names: Sequence[str]) -> None:
        """Makes averages."""
        self.averages.averages.create_averages([self.variables[name] for name in names])

    def _step(self, variables: list[Any]) -> None:
        self.averages.apply_gradients([(tf.fill(one.shape, -CHANGE), one) for one in variables])

    def swapped(self) -> contextlib.AbstractContextManager[None]:
        """A context in which averages and variables have changed places."""
        return self.averages.averages.swapped()  # type: ignore[no-any-return]

    def fail(self) -> None:
        """Has the inner optimizer refuse gradients."""
        self.averages.apply_gradients([(None, one) for one in self.variables.values()])


class Keras3(Eager):
    """MovingAverage of Keras 3."""

    trains_all = True
    _keras: Any = keras
    _ours: Any = tf_mavg.keras

    def _variable(self, value: NDArray, name: str) -> Any:
        return keras.Variable(value, name=name)

    def _averages(self) -> Any:
        # Names of one's own: Keras 3 numbers its, and TensorFlow keeps a kernel for each name of a
        # variable. A long run would seem to leak 75 KB an optimizer, without averages as well.
        inner = self._keras.optimizers.SGD(1.0, name="inner")
        return self._ours.MovingAverage(inner, DECAY, name="averaging")

    def create(self, names: Sequence[str]) -> None:
        """Builds the optimizer, for all variables in this order."""
        rest = [name for name in self.variables if name not in names]
        self.averages.build([self.variables[name] for name in (*names, *rest)])
        for variable in self.variables.values():
            self.averages.average(variable)  # It starts now.

    def _step(self, variables: list[Any]) -> None:
        gradients = [tf.fill(one.shape, -CHANGE) for one in variables]
        self.averages.apply_gradients(zip(gradients, variables, strict=True))

    def fail(self) -> None:
        """Has the inner optimizer fail."""
        name = "apply" if self._keras is keras else "apply_gradients"
        inner = self.averages.inner_optimizer

        def refuse(*_: object, **__: object) -> None:
            message = "the inner optimizer fails"
            raise ValueError(message)

        object.__setattr__(inner, name, refuse)
        try:
            self._step(list(self.variables.values()))
        finally:
            object.__delattr__(inner, name)


class TfKeras(Keras3):
    """MovingAverage of tf_keras."""

    _keras: Any = tf_keras
    _ours: Any = tf_mavg.tf_keras

    def _variable(self, value: NDArray, name: str) -> Any:
        return tf.Variable(value, name=name)


class InSession(Eager):
    """MovingAverageOptimizer in a graph and a Session, with a swapping saver."""

    trains_all = True
    can_copy = False

    def __init__(self, values: dict[str, NDArray]) -> None:
        """Makes a graph with averages of all variables."""
        self._graph = tf.Graph()
        with self._entered():
            super().__init__(values)
            gradients = [(tf.fill(v.shape, -CHANGE), v) for v in self.variables.values()]
            self._train = self.averages.apply_gradients(gradients)
            self._session = tf1.Session()
            self._saver = self.averages.swapping_saver()
            self._plain = tf1.train.Saver()
            self._context = self.averages.averages.swapped(self._session)
            self._session.run(tf1.global_variables_initializer())
        self._open: Any = None

    @contextlib.contextmanager
    def _entered(self) -> Iterator[None]:
        with self._graph.as_default():
            yield

    def _variable(self, value: NDArray, name: str) -> Any:
        return tf1.get_variable(name, initializer=value, use_resource=True)

    def _averages(self) -> Any:
        return tf_mavg.MovingAverageOptimizer(tf1.train.GradientDescentOptimizer(1.0), DECAY)

    def create(self, names: Sequence[str]) -> None:
        """They are there."""

    def step(self, names: Sequence[str], *, traced: bool = False) -> None:
        """Takes the step that the graph has."""
        del names, traced
        self._session.run(self._train)

    def swapped(self) -> contextlib.AbstractContextManager[None]:
        """A context in which averages and variables have changed places."""
        with self._entered():
            return self.averages.averages.swapped(self._session)  # type: ignore[no-any-return]

    def swap(self) -> None:
        """Enters the context, or leaves it."""
        if self._open is None:
            opened = self.swapped()
            with self._entered():
                opened.__enter__()
            self._open = opened
        else:
            with self._entered():
                self._open.__exit__(None, None, None)
            self._open = None

    def weight(self, name: str) -> NDArray:
        """The value of a variable."""
        return np.array(self._session.run(self.variables[name]))

    def average(self, name: str) -> NDArray | None:
        """The value of its average."""
        with self._entered():
            average = self.holder.average(self.variables[name])
        return np.array(self._session.run(average))

    def save(self, path: str, *, swapping: bool) -> str:
        """Saves."""
        saver = self._saver if swapping else self._plain
        with self._entered():
            return str(saver.save(self._session, path, write_meta_graph=False, write_state=False))

    def restore(self, path: str, *, swapping: bool) -> None:
        """Restores."""
        with self._entered():
            (self._saver if swapping else self._plain).restore(self._session, path)

    def fail(self) -> None:
        """Runs an op that fails."""
        with (
            self._entered(),
            tf.control_dependencies([tf.debugging.Assert(tf.zeros([], tf.bool), ["fails"])]),
        ):
            failed = tf.no_op()
        self._session.run(failed)

    def close(self) -> None:
        """Closes the Session."""
        self._session.close()


FACES = {one.__name__: one for one in (DropIn, Version1, Keras3, TfKeras, InSession)}
