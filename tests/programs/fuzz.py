"""Hands damaged and lying files and arguments to what reads them; a program for test_fuzz.

Each line of its input is JSON: "target", "folder", "examples". A fork runs these examples, and the
answer is "" or what was wrong: an error of another kind than is documented, a value that is none of
the file's, or the end of the process. The fork notes each case before it tries it.
"""

import contextlib
import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import keras
import numpy as np
import tensorflow as tf
from forks import answer_lines, log_to, run_and_end
from hypothesis import strategies as st

import tf_mavg
import tf_mavg.keras
from tf_mavg._ops.library import OPS

tf1 = tf.compat.v1
SHAPES = {"a": [3, 2], "b": [7], "c": [2000]}


class Content(bytes):
    """What a file holds; shown in short."""

    def __repr__(self) -> str:
        """Its length and its sum."""
        return f"<{len(self)} bytes of sum {sum(self)}>"


@st.composite
def damaged(draw: Any, data: bytes) -> bytes:
    """A file that was cut, or has other bytes somewhere."""
    at = draw(st.integers(0, len(data) - 1))
    size, bits = draw(st.integers(1, 64)), draw(st.integers(1, 255))
    way = draw(st.sampled_from(["cut", "flip", "zero", "insert", "drop", "empty", "repeat"]))
    ways = {
        "cut": data[:at],
        "flip": data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :],
        "zero": data[:at] + bytes(len(data[at : at + size])) + data[at + size :],
        "insert": data[:at] + bytes([bits]) * size + data[at:],
        "drop": data[:at] + data[at + size :],
        "empty": b"",
        "repeat": data[:at] + data[at : at + size] + data[at:],
    }
    return Content(ways[way])


class Objects:
    """Variables with averages, and a manager."""

    def __init__(self, folder: Path, start: float, shapes: dict[str, list[int]]) -> None:
        """Makes variables at values that rise from `start`."""
        self.variables = {
            name: tf.Variable(start + np.arange(np.prod(shape), dtype=np.float32).reshape(shape))
            for name, shape in shapes.items()
        }
        self.ema = tf_mavg.ExponentialMovingAverage(0.5)
        self.ema.create_averages(list(self.variables.values()))
        for variable in self.variables.values():
            variable.assign_add(tf.ones_like(variable))
        self.checkpoint = tf.train.Checkpoint(ema=self.ema, **self.variables)
        self.manager = tf_mavg.SwappingCheckpointManager(self.checkpoint, self.ema, str(folder))

    def values(self) -> list[Any]:
        """All values."""
        averages = [self.ema.average(one) for one in self.variables.values()]
        return [one.numpy().tolist() for one in (*self.variables.values(), *averages)]


def contents(path: str) -> dict[str, Any]:
    """All values of a checkpoint, but notes."""
    reader = tf.train.load_checkpoint(path)
    return {
        key: np.asarray(reader.get_tensor(key)).tolist()
        for key in reader.get_variable_to_shape_map()
        if not key.startswith("tf_mavg/")
    }


def files_of(prefix: Path) -> list[Path]:
    """The files of a checkpoint: its index, then its data."""
    return sorted(prefix.parent.glob(f"{prefix.name}.*"), key=lambda one: one.suffix != ".index")


class Copies:
    """Copies of a checkpoint, one of whose files is damaged, or another checkpoint's."""

    def __init__(self, folder: Path, good: Path, other: Path) -> None:
        """Takes two checkpoints."""
        self._folder = folder
        self._files = {one.name.removeprefix(good.name): one.read_bytes() for one in files_of(good)}
        self._others = {
            one.name.removeprefix(other.name): one.read_bytes() for one in files_of(other)
        }
        self._number = 0

    def draw(self, data: Any) -> Path:
        """A copy's prefix."""
        self._number += 1
        prefix = self._folder / f"copy-{self._number}"
        which = data.draw(st.sampled_from([*self._files]))
        mixes = data.draw(st.booleans())
        for suffix, content in self._files.items():
            written = content
            if suffix == which:
                written = self._others[suffix] if mixes else data.draw(damaged(content))
            Path(f"{prefix}{suffix}").write_bytes(written)
        return prefix


def check_words(error: Exception, name: str = "") -> None:
    """Checks that an error is a sentence, and names a file."""
    assert str(error).count(" ") > 3, repr(error)
    assert name in str(error), repr(error)


@contextlib.contextmanager
def refused(path: Path, *, kinds: Any = (ValueError, OSError)) -> Any:
    """A context in which an error of these kinds may come, whose words name the file."""
    try:
        yield
    except kinds as error:
        check_words(error, path.name)


def two_checkpoints(folder: Path) -> tuple[Objects, Path, Path]:
    """What wrote two checkpoints, of one shape each."""
    first = Objects(folder / "first", 1.0, SHAPES)
    good = Path(first.manager.save())
    second = Objects(folder / "second", 1.0, {"a": [2, 3], "b": [9], "c": [2000]})
    return first, good, Path(second.manager.save())


def merging(folder: Path) -> Callable[[Any], None]:
    """Merges of a checkpoint with a damaged copy."""
    _, good, other = two_checkpoints(folder)
    copies, expected = Copies(folder, good, other), contents(str(good))

    def case(data: Any) -> None:
        copy = copies.draw(data)
        output = copy.with_name(f"{copy.name}-merged")
        inputs = data.draw(st.sampled_from([[copy, good], [good, copy], [copy, copy]]))
        with refused(copy):
            tf_mavg.merge_checkpoints(inputs, output)
            assert contents(str(output)) == expected

    return case


def converting(folder: Path) -> Callable[[Any], None]:
    """Conversions of a damaged copy."""
    first, good, other = two_checkpoints(folder)
    copies = Copies(folder, good, other)
    tf_mavg.convert_checkpoint(good, folder / "expected")
    expected = contents(str(folder / "expected"))
    del first

    def case(data: Any) -> None:
        copy = copies.draw(data)
        output = copy.with_name(f"{copy.name}-converted")
        with refused(copy):
            tf_mavg.convert_checkpoint(copy, output)
            assert contents(str(output)) == expected

    return case


def restoring(folder: Path) -> Callable[[Any], None]:
    """Restores of a damaged copy by the manager."""
    first, good, other = two_checkpoints(folder)
    copies, saved = Copies(folder, good, other), first.values()

    def case(data: Any) -> None:
        for variable in first.variables.values():
            variable.assign_add(tf.ones_like(variable))
        before, path = first.values(), copies.draw(data)
        kinds = (ValueError, AssertionError, tf.errors.OpError, OSError, RuntimeError, IndexError)
        try:
            first.manager.restore(str(path))
        except kinds:
            assert first.values() == before
        else:
            assert first.values() == saved
        assert not first.ema.is_swapped

    return case


def saver(folder: Path) -> Callable[[Any], None]:
    """Restores of a damaged copy by the swapping saver."""
    graph = tf.Graph()
    with graph.as_default():
        variables = [
            tf1.get_variable(name, initializer=np.arange(np.prod(s), dtype=np.float32).reshape(s))
            for name, s in SHAPES.items()
        ]
        optimizer = tf_mavg.MovingAverageOptimizer(tf1.train.GradientDescentOptimizer(1.0), 0.5)
        train = optimizer.apply_gradients([(tf.ones_like(one), one) for one in variables])
        averages = [optimizer.averages.average(one) for one in variables]
        swapping = optimizer.swapping_saver()
        session = tf1.Session()
        session.run(tf1.global_variables_initializer())
        session.run(train)
        good, other = (
            Path(swapping.save(session, str(folder / name), write_meta_graph=False))
            for name in ("good", "other")
        )

    def values() -> list[Any]:
        return [one.tolist() for one in session.run([*variables, *averages])]

    copies, saved = Copies(folder, good, other), values()

    def case(data: Any) -> None:
        with graph.as_default():
            session.run(train)
            before, path = values(), copies.draw(data)
            kinds = (ValueError, TypeError, tf.errors.OpError, OSError, RuntimeError, IndexError)
            try:
                swapping.restore(session, str(path))
            except kinds:
                assert values() == before
            else:
                assert values() == saved

    return case


def archives(folder: Path) -> Callable[[Any], None]:
    """Merges and conversions of damaged .keras files."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="output")])
    model.compile(tf_mavg.keras.MovingAverage("sgd", 0.5), "mse")
    model.fit(np.ones([4, 3]), np.ones([4, 2]), verbose=0)
    good = folder / "good.keras"
    model.save(good)
    content, numbers = good.read_bytes(), iter(range(10**9))
    expected = [weight.tolist() for weight in model.get_weights()]

    def case(data: Any) -> None:
        path = folder / f"copy-{next(numbers)}.keras"
        path.write_bytes(data.draw(damaged(content)))
        output = path.with_name(f"out-{path.name}")
        with refused(path):
            tf_mavg.merge_checkpoints([path, path], output)
            loaded = keras.models.load_model(output, compile=False)
            assert [weight.tolist() for weight in loaded.get_weights()] == expected

    return case


# What may stand where JSON has another value.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**6) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def descriptions(_: Path) -> Callable[[Any], None]:
    """Keras files whose description of averages says something else."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="output")])
    optimizer = tf_mavg.keras.MovingAverage(keras.optimizers.SGD(0.1), 0.5)
    model.compile(optimizer, "mse")
    model.fit(np.ones([4, 3]), np.ones([4, 2]), verbose=0)
    saved: dict[str, Any] = {}
    optimizer.save_own_variables(saved)
    (key,) = (key for key in saved if "average" in key and np.asarray(saved[key]).dtype == np.uint8)
    told = json.loads(bytes(saved[key]))

    def values() -> list[Any]:
        averages = map(optimizer.average, model.trainable_variables)
        return [np.asarray(one).tolist() for one in averages]

    def case(data: Any) -> None:
        lie = dict(told)
        field = data.draw(st.sampled_from([*told]))
        if data.draw(st.booleans()):
            lie[field] = data.draw(JSON)
        else:
            del lie[field]
        text = json.dumps(lie).encode()
        if data.draw(st.booleans()):
            text = data.draw(damaged(text))
        store = {**saved, key: np.frombuffer(text, np.uint8)}
        before = values()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                optimizer.load_own_variables(store)
            except ValueError as error:
                check_words(error)
                assert values() == before

    return case


def snapshots(folder: Path) -> Callable[[Any], None]:
    """Folders of snapshots whose list says something else."""
    variable = tf.Variable([1.0, 2.0])
    decays = [tf_mavg.decays.PowerFunction(0.05), tf_mavg.decays.PowerFunction(0.1)]
    ema = tf_mavg.ExponentialMovingAverage(decays)
    taken = tf_mavg.posthoc.Snapshots(
        folder / "good", ema, tf.train.Checkpoint(variable=variable).write
    )
    for _ in range(4):
        variable.assign_add([1.0, 1.0])
        ema.apply([variable])
        taken.save()
    content, numbers = (folder / "good" / "snapshots.json").read_bytes(), iter(range(10**9))
    listed = json.loads(content)

    def case(data: Any) -> None:
        copy = folder / f"copy-{next(numbers)}"
        shutil.copytree(folder / "good", copy)
        written = data.draw(damaged(content))
        if data.draw(st.booleans()):
            lie = [dict(one) for one in listed]
            lie[data.draw(st.integers(0, len(lie) - 1))][
                data.draw(st.sampled_from([*listed[0], "other"]))
            ] = data.draw(JSON)
            written = json.dumps(lie).encode()
        (copy / "snapshots.json").write_bytes(written)
        try:
            tf_mavg.posthoc.reconstruct(copy, copy / "out", 0.08)
        except (ValueError, OSError) as error:
            check_words(error)

    return case


def arguments(_: Path) -> Callable[[Any], None]:
    """Ops that are told of other variables than they get."""
    dtypes = {"float": tf.float32, "double": tf.float64, "half": tf.half, "bfloat16": tf.bfloat16}

    @st.composite
    def variable(draw: Any) -> Any:
        dtype = draw(st.sampled_from([*dtypes.values(), tf.int32]))
        shape = draw(st.sampled_from([[], [0], [1], [3], [2, 3], [6]]))
        made = tf.Variable(tf.cast(tf.fill(shape, 2), dtype), shape=tf.TensorShape(None))
        return made.handle

    def handles(data: Any, most: int = 3) -> list[Any]:
        return data.draw(st.lists(variable(), min_size=1, max_size=most))

    tensors = st.sampled_from(
        [0.5, float("nan"), 2.0, -1.0, [0.5], [0.5, 0.25], [], [[0.5]]],
    ).map(lambda value: tf.constant(value, tf.float32))

    def case(data: Any) -> None:
        kinds = {name: data.draw(st.sampled_from([*dtypes.values()])) for name in ("T", "Tavg")}
        op = data.draw(st.sampled_from(["average", "swap", "finite", "bind", "bound", "catch up"]))
        with contextlib.suppress(ValueError, TypeError, tf.errors.OpError):
            first, second = handles(data), handles(data)
            if op == "average":
                OPS.resource_apply_moving_average(
                    averages=first, variables=second, rates=data.draw(tensors), **kinds
                )
            elif op == "swap":
                OPS.resource_swap_variables(first=first, second=second, T=kinds["T"])
            elif op == "finite":
                OPS.resource_all_finite(variables=first, T=kinds["T"])
            elif op == "catch up":
                OPS.catch_up_rows(
                    averages=first,
                    seen=second,
                    clocks=handles(data),
                    variables=handles(data),
                    indices=[tf.constant([0, 5, -1])] * len(first),
                    **kinds,
                )
            else:
                binding = OPS.bind_variables(
                    averages=first, remainders=handles(data)[1:], variables=second, **kinds
                )
                if op == "bound":
                    binding = data.draw(st.sampled_from([binding, first[0]]))
                OPS.bound_apply_moving_average(binding=binding, rates=data.draw(tensors))
                OPS.bound_swap_variables(binding=binding)
                OPS.bound_all_finite(binding=binding)

    return case


TARGETS = {
    one.__name__: one
    for one in (
        *(merging, converting, restoring, saver),
        *(archives, descriptions, snapshots, arguments),
    )
}


def run(target: str, folder: Path, examples: int) -> None:
    """Runs examples of a target."""
    case = TARGETS[target](folder)
    numbers = iter(range(10**9))

    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[*hypothesis.HealthCheck],
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(st.data())
    def cases(data: Any) -> None:
        (folder / "case").write_text(f"{next(numbers)}")
        case(data)

    cases()


def answer(target: str, folder: str, examples: int) -> str:
    """Runs examples in a fork; says what was wrong."""
    log = Path(folder) / "log"
    child = os.fork()
    if child == 0:

        def examine() -> None:
            log_to(log)
            run(target, Path(folder), examples)

        run_and_end(examine)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == 0:
        return ""
    case = (Path(folder) / "case").read_text() if (Path(folder) / "case").exists() else "none"
    return f"case {case} ended the process with {status}\n{log.read_text()[-6000:]}"


if __name__ == "__main__":
    answer_lines(answer)
