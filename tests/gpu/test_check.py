"""The parts of `tf_mavg check` that need a GPU, at sizes that any GPU takes."""

import pytest

from tf_mavg_check import streams
from tf_mavg_check.results import LeftOut

pytestmark = pytest.mark.gpu
form = pytest.mark.parametrize("form", ["small", "large"])


@form
def test_elements_beyond_a_boundary(form):
    text = streams.check_beyond_32_bits(form, boundaries=(2**16, 2**18))
    assert text.startswith("303,109 elements")


def test_too_little_memory_is_told():
    with pytest.raises(LeftOut, match=r"needs 4503599.6 GB of device memory, .* GB are free"):
        streams.check_beyond_32_bits("small", boundaries=(2**50,))


@form
def test_streams_keep_their_order(form):
    assert streams.check_order(form) == "2 streams"
