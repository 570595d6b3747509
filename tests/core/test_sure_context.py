"""SureContext: what interrupts its end is caught, and the end comes all the same."""

import gc
import weakref

import pytest

from tf_mavg._native import SureContext


class Interruption(BaseException):
    """What a handler of a signal raises."""


class Steps:
    """Calls of both functions, some of which are interrupted."""

    def __init__(self, interrupted_ends: int = 0, *, is_begin_interrupted: bool = False) -> None:
        """Takes how many of the first ends are interrupted."""
        self.calls: list[object] = []
        self.left = interrupted_ends
        self.is_begin_interrupted = is_begin_interrupted
        self.context = SureContext(self.enter, self.leave)

    def enter(self) -> None:
        """Notes the begin."""
        self.calls.append("enter")
        if self.is_begin_interrupted:
            raise Interruption("begin")  # noqa: EM101 - short.

    def leave(self, error: BaseException | None) -> None:
        """Notes the end, and what its body raised."""
        self.calls.append(error)
        if self.left:
            self.left -= 1
            raise Interruption(self.left)


def test_the_end_follows_the_body():
    steps = Steps()
    with steps.context as entered:
        steps.calls.append("body")
    assert entered is None
    assert steps.calls == ["enter", "body", None]


def test_the_end_is_told_what_the_body_raised_which_goes_on():
    steps, error = Steps(), ValueError("wrong")
    with pytest.raises(ValueError, match="wrong") as raised, steps.context:
        raise error
    assert raised.value is error
    assert steps.calls == ["enter", error]


@pytest.mark.parametrize("interrupts", [1, 2, 4])
def test_an_end_that_is_interrupted_is_called_again(interrupts):
    steps = Steps(interrupts)
    with pytest.raises(Interruption, match=str(interrupts - 1)), steps.context:
        pass
    assert steps.calls == ["enter", *[None] * (interrupts + 1)]


def test_an_end_that_fails_for_good_fails():
    steps = Steps(10_000)
    with pytest.raises(Interruption, match="9999"), steps.context:
        pass
    assert len(steps.calls) < 10


@pytest.mark.parametrize("interrupts", [0, 2])
def test_a_begin_that_is_interrupted_has_its_end(interrupts):
    steps = Steps(interrupts, is_begin_interrupted=True)
    with pytest.raises(Interruption, match="begin") as raised, steps.context:
        pytest.fail("the body ran")
    assert steps.calls == ["enter", *[raised.value] * (interrupts + 1)]


def test_it_can_be_entered_again():
    steps = Steps()
    for _ in range(2):
        with steps.context:
            pass
    assert steps.calls == ["enter", None] * 2


def test_it_keeps_nothing_alive():
    steps = Steps(3)
    with pytest.raises(Interruption), steps.context:
        pass
    gone = weakref.ref(steps)
    steps.context = None
    del steps
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("given", [(None, print), (print, 1)], ids=str)
def test_it_takes_two_functions(given):
    with pytest.raises(TypeError):
        SureContext(*given)
