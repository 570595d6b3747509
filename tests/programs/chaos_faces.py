"""What chaos.py kills: each face trains, swaps, saves and restores, and knows what must be left.

After n steps every element of every weight is n, and of every average n - 1 + 2**-n. So a value in
a wrong place shows, and so does one of another step.
"""

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf_keras

import tf_mavg
import tf_mavg.keras
import tf_mavg.tf_keras

tf1 = tf.compat.v1
SIZES = [1000, 50_000, 3]
DECAY = 0.5


def average_of(step: int) -> float:
    """The average of weights after so many steps."""
    return step - 1 + 2.0**-step


def check(step: int, weights: list[Any], averages: list[Any]) -> None:
    """Checks that all are those of a step."""
    for weight in weights:
        np.testing.assert_array_equal(weight, step)
    for average in averages:
        np.testing.assert_allclose(average, average_of(step), 1e-5, 1e-5)


class Manager:
    """ExponentialMovingAverage and a SwappingCheckpointManager."""

    def __init__(self, folder: Path) -> None:
        """Makes variables, averages and the manager."""
        self.strategy = self._strategy()
        with self.strategy.scope():
            # Of two workers, which must say how they would join what each of them assigns.
            mean = tf.VariableAggregation.MEAN
            self.step_count = tf.Variable(0, dtype=tf.int64)
            self.weights = [tf.Variable(tf.zeros(size), aggregation=mean) for size in SIZES]
            self.ema = tf_mavg.ExponentialMovingAverage(DECAY)
            self.ema.create_averages(self.weights)
        checkpoint = tf.train.Checkpoint(step=self.step_count, weights=self.weights, ema=self.ema)
        self.manager = tf_mavg.SwappingCheckpointManager(
            checkpoint, self.ema, self._folder(folder), max_to_keep=2
        )

    def _strategy(self) -> Any:
        return tf.distribute.get_strategy()

    def _folder(self, folder: Path) -> str:
        return str(folder / "checkpoints")

    @tf.function
    def _step(self) -> None:
        def step() -> None:
            for weight in self.weights:
                weight.assign_add(tf.ones_like(weight))
            self.ema.apply(self.weights)

        self.strategy.run(step)
        self.step_count.assign_add(1)

    def resume(self) -> bool:
        """Restores the last checkpoint; whether there was one."""
        found = self.manager.restore() is not None
        self.check()
        return found

    def check(self) -> None:
        """Checks values and the state of the swap."""
        assert not self.ema.is_swapped
        averages = [self.ema.average(weight).numpy() for weight in self.weights]
        check(int(self.step_count.numpy()), [weight.numpy() for weight in self.weights], averages)

    def save(self) -> None:
        """Saves."""
        self.manager.save()

    def act(self) -> None:
        """Does what may be interrupted."""
        self._step()
        self.save()
        with self.ema.swapped():
            pass
        self.manager.restore()


class Workers(Manager):
    """The same in each of two workers of a MultiWorkerMirroredStrategy."""

    def _strategy(self) -> Any:
        return tf.distribute.MultiWorkerMirroredStrategy()

    def _folder(self, folder: Path) -> str:
        # The chief's file counts; the other one writes beside it.
        index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
        return str(folder / ("checkpoints" if index == 0 else "beside"))

    def resume(self) -> bool:
        """Restores what the chief has saved."""
        latest = tf.train.latest_checkpoint(Path(self.manager.directory).parent / "checkpoints")
        if latest is not None:
            self.manager.restore(latest)
        self.check()
        return latest is not None

    def act(self) -> None:
        """Does what may be interrupted."""
        self._step()
        self.save()
        with self.ema.swapped():
            pass


class Session:
    """MovingAverageOptimizer in a graph, and a swapping saver."""

    def __init__(self, folder: Path) -> None:
        """Makes the graph."""
        self.folder = folder / "checkpoints"
        self.folder.mkdir(exist_ok=True)
        self.graph = tf.Graph()
        with self.graph.as_default():
            self.count = tf1.train.get_or_create_global_step()
            self.weights = [
                tf1.get_variable(f"w{i}", initializer=np.zeros(size, np.float32))
                for i, size in enumerate(SIZES)
            ]
            self.optimizer = tf_mavg.MovingAverageOptimizer(
                tf1.train.GradientDescentOptimizer(1.0), DECAY
            )
            self.train = self.optimizer.apply_gradients(
                [(-tf.ones_like(one), one) for one in self.weights], self.count
            )
            averages = self.optimizer.averages
            self.averages = [averages.average(weight) for weight in self.weights]
            self.saver = self.optimizer.swapping_saver(max_to_keep=2)
            self.session = tf1.Session()
            self.swapped = averages.swapped(self.session)
            self.session.run(tf1.global_variables_initializer())

    def resume(self) -> bool:
        """Restores the last checkpoint; whether there was one."""
        latest = tf.train.latest_checkpoint(str(self.folder))
        if latest is not None:
            with self.graph.as_default():
                self.saver.restore(self.session, latest)
        self.check()
        return latest is not None

    def check(self) -> None:
        """Checks values and the state of the swap."""
        assert not self.optimizer.averages.is_swapped
        check(*self.session.run([self.count, self.weights, self.averages]))

    def save(self) -> None:
        """Saves."""
        with self.graph.as_default():
            self.saver.save(
                self.session, str(self.folder / "model"), self.count, write_meta_graph=False
            )

    def act(self) -> None:
        """Does what may be interrupted."""
        self.session.run(self.train)
        self.save()
        with self.swapped:
            pass
        with self.graph.as_default():
            self.saver.restore(self.session, tf.train.latest_checkpoint(str(self.folder)))


def _minus_output(_: Any, output: Any) -> Any:
    return -output


class Fit:
    """`fit` of Keras 3 with an AverageModelCheckpoint to one path."""

    _keras: Any = keras
    _ours: Any = tf_mavg.keras

    def __init__(self, folder: Path) -> None:
        """Makes a model whose gradient is -1 everywhere."""
        self.path = folder / "model.keras"
        layers = self._keras.layers
        self.model = self._keras.Sequential(
            [
                layers.Input((SIZES[1],)),
                layers.Dense(1, use_bias=False, kernel_initializer="zeros", name="output"),
            ]
        )
        self.optimizer = self._ours.MovingAverage(self._keras.optimizers.SGD(1.0), DECAY)
        self.model.compile(self.optimizer, loss=_minus_output)
        self.callback = self._ours.AverageModelCheckpoint(str(self.path))

    def resume(self) -> bool:
        """Loads the file, if there is one: averages of one step, in the place of weights."""
        found = self.path.exists()
        if found:
            model = self._keras.models.load_model(self.path, compile=False)
            (kernel,) = model.get_weights()
            step = round(float(kernel[0, 0])) + 1
            check(step, [], [kernel])
        return found

    def check(self) -> None:
        """Checks values, the state of the swap, and what the model is compiled with."""
        assert not self.optimizer.is_swapped
        assert self.model.optimizer is self.optimizer
        (weight,) = self.model.trainable_variables
        averages = [self.optimizer.average(weight).numpy()]
        check(int(self.optimizer.iterations), [weight.numpy()], averages)

    def save(self) -> None:
        """Saves as the callback does after an epoch of the fit before."""
        self.callback.on_epoch_end(0, {})

    def act(self) -> None:
        """Does what may be interrupted."""
        rows = np.ones([2, SIZES[1]], np.float32)
        self.model.fit(rows, rows[:, :1], batch_size=1, verbose=0, callbacks=[self.callback])


class FitOfTfKeras(Fit):
    """`fit` of tf_keras."""

    _keras: Any = tf_keras
    _ours: Any = tf_mavg.tf_keras


class Merge:
    """merge_checkpoints of two files."""

    def __init__(self, folder: Path) -> None:
        """Writes the inputs, unless they are there."""
        self.folder = folder
        self.inputs = [folder / "first", folder / "second"]
        self.count = len(self._outputs())
        for step, path in enumerate(self.inputs):
            if not path.with_name(f"{path.name}.index").exists():
                values = {
                    f"w{i}": tf.Variable(tf.fill([n], 2.0 * step)) for i, n in enumerate(SIZES)
                }
                tf.train.Checkpoint(**values).write(str(path))

    def _outputs(self) -> list[Path]:
        return sorted(self.folder.glob("merged-*.index"))

    def resume(self) -> bool:
        """Checks all that was merged; whether there is any."""
        for output in self._outputs():
            reader = tf.train.load_checkpoint(str(output.with_suffix("")))
            for i, size in enumerate(SIZES):
                value = reader.get_tensor(f"w{i}/.ATTRIBUTES/VARIABLE_VALUE")
                np.testing.assert_array_equal(value, np.ones(size, np.float32))
        return bool(self._outputs())

    def check(self) -> None:
        """Checks that nothing but outputs is left by who could clear up."""
        self.resume()

    def save(self) -> None:
        """Merges."""
        self.act()

    def act(self) -> None:
        """Does what may be interrupted."""
        self.count += 1
        tf_mavg.merge_checkpoints(self.inputs, self.folder / f"merged-{os.getpid()}-{self.count}")


class Deaf(Merge):
    """What no signal ends: the second time that it acts, it waits whatever a handler raises."""

    def act(self) -> None:
        """Goes on."""
        if self.count:
            self.wait_for_nothing()
        super().act()

    def wait_for_nothing(self) -> None:
        """Does not end."""
        while True:
            with contextlib.suppress(BaseException):
                time.sleep(1000)


FACES = {
    "manager": Manager,
    "workers": Workers,
    "session": Session,
    "keras": Fit,
    "tf_keras": FitOfTfKeras,
    "merge": Merge,
    "deaf": Deaf,
}


def log(folder: Path) -> None:
    """Sends what a child prints to a file of its own."""
    file = os.open(folder / f"{os.getpid()}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.stdout.flush()
