"""A signal whose handler raises comes before each line of a swap, save and restore, in turn.

Whatever it interrupts, weights and averages are in their places afterwards, and the state is right.
"""

import signal

import numpy as np
import pytest
from averaging_faces import FACES
from interrupts import Interruption, handled, run_interrupted

from tf_mavg._averages.swap.signals import uninterrupted

NAMES = ["a", "b"]
# Each line costs a run of a file's length.
STRIDE = 50
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
every_face = pytest.mark.parametrize("kind", [*FACES])


def made(kind):
    """Variables of a face, whose averages differ from them."""
    values = {name: np.float32([i, i + 0.25]) for i, name in enumerate(NAMES, start=1)}
    face = FACES[kind](values)
    face.create(NAMES)
    face.step(NAMES)
    return face


def values_of(face):
    """Weights and averages."""
    return [[list(face.weight(name)), list(face.average(name))] for name in NAMES]


def interrupt_everywhere(action, check, *, stride=1, times=1):
    """Runs an action, interrupted at each place of it in turn; returns how many there are."""
    at = 0
    with handled():
        while True:
            try:
                came = run_interrupted(action, at, times=times)
            except Interruption:
                came = True
            check()
            if not came:
                return at
            at += stride


@pytest.mark.sampled
@every_face
@pytest.mark.parametrize("times", [1, 3])
def test_swapped_always_swaps_back(kind, times):
    face = made(kind)
    before = values_of(face)

    def swap_and_back():
        with face.swapped():
            pass

    def check():
        assert not face.is_swapped
        assert values_of(face) == before

    places = interrupt_everywhere(swap_and_back, check, stride=4, times=times)
    assert places > 30


@every_face
def test_swap_is_done_or_not(kind):
    if kind == "InSession":
        pytest.skip("has the context only")
    face = made(kind)
    places = [values_of(face)]
    face.swap()
    places.append(values_of(face))

    def check():
        assert values_of(face) == places[face.is_swapped]

    assert interrupt_everywhere(face.swap, check, stride=4) > 20


@every_face
def test_a_save_leaves_all_in_place(kind, tmp_path):
    face = made(kind)
    before, count = values_of(face), iter(range(10_000))

    def save():
        face.save(str(tmp_path / f"{next(count)}"), swapping=True)

    def check():
        assert not face.is_swapped
        assert values_of(face) == before

    interrupt_everywhere(save, check, stride=STRIDE)


@every_face
def test_a_restore_is_done_or_not(kind, tmp_path):
    face = made(kind)
    saved = face.save(str(tmp_path / "saved"), swapping=True)
    restored = values_of(face)
    face.step(NAMES)
    before = values_of(face)

    def check():
        assert not face.is_swapped
        found = values_of(face)
        assert found in (before, restored)
        if found == restored:
            face.step(NAMES)

    interrupt_everywhere(lambda: face.restore(saved, swapping=True), check, stride=STRIDE)


def handlers():
    """The handlers of all signals but that which interrupts."""
    numbers = signal.valid_signals() - {signal.SIGTERM}
    return {one: signal.getsignal(one) for one in numbers}


def test_handlers_are_what_they_were():
    with handled(signal.SIGUSR1):
        before = handlers()

        def wait():
            with uninterrupted():
                pass

        def check():
            assert handlers() == before

        assert interrupt_everywhere(wait, check) > len(handlers())
