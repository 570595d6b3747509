"""Random programs over every face: what they leave is what a model in NumPy says.

A program makes variables and averages, trains, swaps, saves, restores into other variables, copies,
fails and is interrupted. The model knows numbers by the names of variables, so that a value in a
wrong place shows. Every number is its own: no two variables have the same.
"""

import contextlib
import copy
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from averaging_faces import CHANGE, DECAY, FACES, Eager, InSession
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from interrupts import Interruption, handled, run_interrupted

NAMES = ["a", "b", "c", "d"]
every_face = pytest.mark.parametrize("kind", [*FACES])
# Keras 3 writes variables with an old way of NumPy's.
OLD_NUMPY = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@dataclass
class Numbers:
    """What the model knows of one variable: float64 arrays."""

    weight: np.ndarray
    average: np.ndarray | None = None

    def step(self, *, starts_before: bool) -> None:
        """The variable moves, then its average, which starts before that or after it."""
        if self.average is None and starts_before:
            self.average = self.weight
        self.weight = self.weight + CHANGE
        if self.average is None:
            self.average = self.weight
        self.average = self.average - (self.average - self.weight) * (1 - DECAY)


@dataclass
class World:
    """Variables of one face, and what the model says of them."""

    face: Eager
    model: dict[str, Numbers]
    is_swapped: bool = False

    def check(self) -> None:
        """Compares all values with the model."""
        assert self.face.is_swapped == self.is_swapped
        for name, numbers in self.model.items():
            weight, average = self.face.weight(name), self.face.average(name)
            assert (average is None) == (numbers.average is None), name
            expected = [numbers.weight, numbers.average]
            if self.is_swapped and average is not None:
                weight, average = average, weight
            np.testing.assert_array_equal(weight, expected[0].astype(np.float32), name)
            if average is not None:
                np.testing.assert_allclose(average, expected[1], 1e-6, err_msg=name)

    def found(self) -> dict[str, tuple[bytes, bytes | None]]:
        """All values, in their own places."""
        values = {}
        for name in self.model:
            weight, average = self.face.weight(name), self.face.average(name)
            if self.face.is_swapped and average is not None:
                weight, average = average, weight
            values[name] = weight.tobytes(), None if average is None else average.tobytes()
        return values


@dataclass
class Saved:
    """A checkpoint, and what it holds."""

    path: str
    swapping: bool
    model: dict[str, Numbers]


class Programs(RuleBasedStateMachine):
    """A program of one face: its steps are the rules."""

    kind: str

    def __init__(self) -> None:
        """Begins without variables."""
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.worlds: list[World] = []
        self.saved: list[Saved] = []
        self.numbers = iter(range(1, 10_000))

    def teardown(self) -> None:
        """Takes away what is left."""
        for world in self.worlds:
            if isinstance(world.face, InSession):
                world.face.close()
        shutil.rmtree(self.folder)

    @property
    def now(self) -> World:
        """The variables at work."""
        return self.worlds[-1]

    def make(self, kind: str, names: list[str]) -> World:
        """Variables of a face, at values of their own."""
        values = {name: 1000.0 * next(self.numbers) + np.arange(2.0) / 4 for name in names}
        face = FACES[kind]({name: value.astype(np.float32) for name, value in values.items()})
        model = {name: Numbers(value) for name, value in values.items()}
        if kind == "InSession":
            for one in model.values():
                one.average = one.weight
        return World(face, model)

    @initialize(
        names=st.permutations(NAMES),
        count=st.integers(2, 4),
        made=st.permutations(NAMES),
        trained=st.permutations(NAMES),
    )
    def begin(self, names: list[str], count: int, made: list[str], trained: list[str]) -> None:
        """Makes the first variables, and averages of them: in another order, some in the step."""
        self.worlds.append(self.make(self.kind, names[:count]))
        self.create(made)
        self.step(order=trained, traced=False)

    def chosen(self, order: list[str]) -> list[str]:
        """The variables of a step: some, or all where a face trains all."""
        names = [name for name in order if name in self.now.model]
        return names if self.now.face.trains_all else names[: max(1, len(names) - len(order) % 2)]

    def fresh(self, names: list[str]) -> None:
        """Notes in the model the averages that are made now."""
        for name in [*self.now.model] if self.now.face.trains_all else names:
            numbers = self.now.model[name]
            if numbers.average is None:
                numbers.average = numbers.weight

    @rule(order=st.permutations(NAMES))
    def create(self, order: list[str]) -> None:
        """Makes averages of some variables, in another order."""
        names = self.chosen(order)[:2]
        if self.now.is_swapped:
            if self.kind in {"DropIn", "Version1"}:
                with pytest.raises(RuntimeError, match="while averages and variables are swapped"):
                    self.now.face.create(names)
            return
        self.now.face.create(names)
        self.fresh(names)

    @rule(order=st.permutations(NAMES), traced=st.booleans())
    def step(self, *, order: list[str], traced: bool) -> None:
        """Trains some variables."""
        names = self.chosen(order)
        if not self.now.is_swapped:
            if traced:
                self.now.face.create(names)
                self.fresh(names)
            self.now.face.step(names, traced=traced)
            for name in names:
                self.now.model[name].step(starts_before=self.now.face.starts_before)
            self.fresh(names)
            return
        with pytest.raises((RuntimeError, tf.errors.InvalidArgumentError), match="swap"):
            self.now.face.step(names, traced=traced)

    @precondition(lambda self: any(one.average is not None for one in self.now.model.values()))
    @rule()
    def swap(self) -> None:
        """Swaps, there or back."""
        self.now.face.swap()
        self.now.is_swapped = not self.now.is_swapped

    @rule()
    def swap_for_a_while(self) -> None:
        """Swaps around a block that fails."""
        has_averages = any(one.average is not None for one in self.now.model.values())
        if self.now.is_swapped or not has_averages:
            with pytest.raises(RuntimeError), self.now.face.swapped():
                pytest.fail("the block ran")
            return
        with pytest.raises(ZeroDivisionError), self.now.face.swapped():
            self.now.is_swapped = True
            self.now.check()
            raise ZeroDivisionError
        self.now.is_swapped = False

    @rule(swapping=st.booleans())
    def save(self, *, swapping: bool) -> None:
        """Saves, if that is allowed now."""
        has_averages = any(one.average is not None for one in self.now.model.values())
        path = str(self.folder / f"saved-{len(self.saved)}")
        if isinstance(self.now.face, InSession) and self.now.is_swapped and not swapping:
            return  # What a Saver of TensorFlow's own does, nobody hears of.
        if self.now.is_swapped or (swapping and not has_averages):
            with pytest.raises((RuntimeError, ValueError)):
                self.now.face.save(path, swapping=swapping)
            return
        written = self.now.face.save(path, swapping=swapping)
        self.saved.append(Saved(written, swapping, copy.deepcopy(self.now.model)))

    @precondition(lambda self: not self.now.is_swapped)
    @rule(
        swapping=st.booleans(),
        trained=st.permutations(NAMES),
        order=st.permutations(NAMES),
        count=st.integers(1, 4),
    )
    def save_and_resume(
        self, *, swapping: bool, trained: list[str], order: list[str], count: int
    ) -> None:
        """Trains, saves, and goes on in new variables: what a program is most of the time."""
        self.step(order=trained, traced=False)
        self.save(swapping=swapping)
        self.resume(which=-1, order=order, count=count)

    @precondition(lambda self: self.saved)
    @rule(which=st.integers(0, 100), order=st.permutations(NAMES), count=st.integers(1, 4))
    def resume(self, which: int, order: list[str], count: int) -> None:
        """Restores into new variables: in another order, fewer, or more of them."""
        saved = self.saved[which % len(self.saved)]
        world = self.make(self.kind, order[:count])
        if world.face.trains_all:  # Restores are into what is built.
            world.face.create(order[:count])
            for numbers in world.model.values():
                numbers.average = numbers.weight
        lacks = [name for name in order[:count] if name not in saved.model]
        if self.kind == "InSession" and lacks:
            with pytest.raises(tf.errors.NotFoundError):
                world.face.restore(saved.path, swapping=saved.swapping)
        elif lacks and saved.swapping:
            with pytest.raises(AssertionError):
                world.face.restore(saved.path, swapping=True)
        else:
            world.face.restore(saved.path, swapping=saved.swapping)
            for name in order[:count]:
                if name in saved.model:
                    world.model[name] = copy.deepcopy(saved.model[name])
        if isinstance(self.now.face, InSession):
            self.now.face.close()
            self.worlds.pop()
        self.worlds.append(world)
        world.check()
        del self.worlds[:-3]

    @precondition(lambda self: self.now.face.can_copy)
    @rule()
    def copy(self) -> None:
        """Goes on with a copy; the original stays as it is."""
        if self.now.is_swapped and self.kind != "DropIn":
            with pytest.raises(RuntimeError):
                self.now.face.copy()
            return
        copied = World(self.now.face.copy(), copy.deepcopy(self.now.model), self.now.is_swapped)
        self.worlds.append(copied)
        del self.worlds[:-3]

    @rule()
    def fail(self) -> None:
        """Fails: nothing has changed."""
        before = self.now.found()
        made = [name for name, numbers in self.now.model.items() if numbers.average is not None]
        with pytest.raises((TypeError, ValueError, RuntimeError, tf.errors.OpError)):
            self.now.face.fail()
        after = self.now.found()
        for name in before:
            assert after[name][0] == before[name][0]
            if name in made:
                assert after[name] == before[name]
        self.resynchronize()

    def resynchronize(self) -> None:
        """Notes the averages that a step has made before it failed: at their variables' values."""
        for name, numbers in self.now.model.items():
            if numbers.average is None and self.now.face.average(name) is not None:
                numbers.average = numbers.weight

    @precondition(lambda self: not self.now.is_swapped)
    @rule(
        what=st.sampled_from(["swapped", "save", "swap", "restore", "step"]),
        at=st.integers(0, 400),
        times=st.integers(1, 2),
        order=st.permutations(NAMES),
    )
    def interrupt(self, what: str, at: int, times: int, order: list[str]) -> None:
        """A signal raises somewhere in what is done: all is in its place, and what it was or is."""
        names = self.chosen(order)
        self.now.face.create(names)
        self.fresh(names)
        face, before = self.now.face, self.now.found()
        allowed = [before]
        path = str(self.folder / f"interrupted-{next(self.numbers)}")
        actions = {
            "swapped": self.swap_and_back,
            "save": lambda: face.save(path, swapping=True),
            "swap": face.swap,
            "restore": lambda: face.restore(path, swapping=True),
            "step": lambda: face.step(names),
        }
        if what == "restore":
            path = face.save(path, swapping=True)
            face.step([*self.now.model])  # What is restored is not what is there.
            allowed.append(self.now.found())
        with handled(), contextlib.suppress(Interruption):
            run_interrupted(actions[what], at, times=times)
        self.now.is_swapped = face.is_swapped
        assert what == "swap" or not face.is_swapped
        if what == "step":
            self.check_partly(before)
        else:
            assert self.now.found() in allowed
        self.adopt(self.now.found())

    def swap_and_back(self) -> None:
        """A block that does nothing."""
        with self.now.face.swapped():
            pass

    def check_partly(self, before: dict[str, Any]) -> None:
        """After an interrupted step each value is the old one or the new one."""
        for name, values in self.now.found().items():
            weight, average = (np.frombuffer(one, np.float32) for one in values)
            old_weight, old_average = (np.frombuffer(one, np.float32) for one in before[name])
            new_weight = old_weight + np.float32(CHANGE)
            assert np.array_equal(weight, old_weight) or np.array_equal(weight, new_weight)
            moved = old_average - (old_average - new_weight) * np.float32(DECAY)
            assert any(np.allclose(average, one, 1e-6) for one in (old_average, moved))

    def adopt(self, values: dict[str, Any]) -> None:
        """Has the model go on from what was found."""
        for name, (weight, average) in values.items():
            numbers = self.now.model[name]
            numbers.weight = np.frombuffer(weight, np.float32).astype(np.float64)
            if average is not None:
                numbers.average = np.frombuffer(average, np.float32).astype(np.float64)

    @invariant()
    def values_are_those_of_the_model(self) -> None:
        """All variables of the program are what the model says."""
        for world in self.worlds:
            world.check()


def run(kind: str, examples: int, steps: int, **settings: object) -> None:
    hypothesis.stateful.run_state_machine_as_test(
        type(kind, (Programs,), {"kind": kind}),
        settings=hypothesis.settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            suppress_health_check=[*hypothesis.HealthCheck],
            **settings,
        ),
    )


@OLD_NUMPY
@every_face
def test_random_programs(kind):
    run(kind, 8, 10, phases=[hypothesis.Phase.generate])  # A long run makes failures short.


@pytest.mark.long
@OLD_NUMPY
@every_face
def test_many_random_programs(kind):
    run(kind, 400, 40)
