"""What an op has prepared is called and freed by its addresses."""

import ctypes

import pytest

from tf_mavg import _native

RUN = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p)
FREE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def address(function):
    return ctypes.cast(function, ctypes.c_void_p).value


@pytest.mark.parametrize("answer", [True, False])
def test_it_is_run_and_freed_once(answer):
    ran, freed = [], []

    def run_it(what):
        ran.append(what)
        return answer

    run, free = RUN(run_it), FREE(freed.append)
    call = _native.PreparedCall(41, address(run), address(free))
    assert call() is answer
    assert call() is answer
    assert (ran, freed) == ([41, 41], [])
    del call
    assert freed == [41]
