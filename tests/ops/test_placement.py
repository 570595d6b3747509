"""A binding places the buffers of small variables side by side; nothing else changes."""

import gc

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from oracle import assert_same_bits
from resident import resident_bytes

from tf_mavg import ops

MIB = 2**20
LINE = 64  # Bytes that a cache brings at a time; buffers begin with one.

pytestmark = pytest.mark.cpu  # The memory of a GPU stays as TensorFlow gave it.


def memory_of(variable: tf.Variable) -> NDArray[np.signedinteger]:
    """The variable's own buffer, not a copy, as integers: not every dtype is one of Python's."""
    integers = {2: tf.int16, 4: tf.int32, 8: tf.int64}[variable.dtype.size]
    return np.asarray(memoryview(tf.bitcast(variable.read_value(), integers)))


def address(variable: tf.Variable) -> int:
    return memory_of(variable).ctypes.data


def gaps(variables: list[tf.Variable]) -> list[int]:
    """From the beginning of each to that of the next."""
    return np.diff([address(variable) for variable in variables]).tolist()


def sizes(variables: list[tf.Variable]) -> list[int]:
    """Bytes of each, in whole lines."""
    return [-(-memory_of(variable).nbytes // LINE) * LINE for variable in variables]


def lists_of(*shapes: tuple[int, ...], dtype: str = "float32"):
    """Averages and variables of these shapes, with memory of other things between them."""
    generator = np.random.default_rng(0)
    lists: tuple[list[tf.Variable], list[tf.Variable]] = ([], [])
    for shape in shapes:
        for members in lists:
            members.append(tf.Variable(generator.normal(size=shape), dtype=dtype))
            tf.Variable(tf.zeros(shape))
    return lists


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
def test_average_and_variable_lie_side_by_side_in_the_order_of_the_lists(dtype):
    averages, variables = lists_of((64,), (3, 5), (), (1000,), (1,), dtype=dtype)
    in_order = [v for pair in zip(averages, variables, strict=True) for v in pair]
    before = [variable.numpy() for variable in in_order]

    ops.Binding(averages, variables)

    assert address(in_order[0]) % LINE == 0
    assert gaps(in_order) == sizes(in_order)[:-1]
    for variable, value in zip(in_order, before, strict=True):
        assert_same_bits(variable.numpy(), value)


def test_many_variables_take_several_pieces_and_keep_their_values():
    averages, variables = lists_of(*[(MIB // 16 + i,) for i in range(100)])  # 50 MiB.
    in_order = [v for pair in zip(averages, variables, strict=True) for v in pair]
    before = [variable.numpy() for variable in in_order]
    ops.Binding(averages, variables)
    for variable, value in zip(in_order, before, strict=True):
        assert_same_bits(variable.numpy(), value)
    begun_anew = [g != s for g, s in zip(gaps(in_order), sizes(in_order), strict=False)]
    assert 0 < sum(begun_anew) < 10


def test_a_large_buffer_stays_and_an_empty_one_takes_no_room():
    averages, variables = lists_of((MIB,), (8,), (0,), (8,))
    large = address(averages[0]), address(variables[0])
    ops.Binding(averages, variables)
    assert (address(averages[0]), address(variables[0])) == large
    assert address(variables[3]) - address(averages[1]) == 3 * LINE


def test_who_holds_a_buffer_keeps_its_value():
    averages, variables = lists_of((4,), (4,))
    held = memory_of(averages[0])
    before = held.copy()
    binding = ops.Binding(averages, variables)
    binding.apply_moving_average(0.5)
    assert_same_bits(held, before)
    assert np.any(memory_of(averages[0]) != before)


def test_a_buffer_is_placed_once():
    averages, variables = lists_of((64,), (64,), (64,))
    ops.Binding(averages, variables)
    before = [address(variable) for variable in variables]
    ops.Binding(averages[1:], variables[1:])
    ops.Binding(averages[::-1], variables[::-1])
    assert [address(variable) for variable in variables] == before


def test_the_memory_goes_with_the_variables():
    averages, variables = lists_of(*[(MIB // 8,)] * 100)  # 100 MiB.
    binding = ops.Binding(averages, variables)
    before = resident_bytes()
    del averages, variables, binding
    gc.collect()
    # Not all: the allocator of a process that has had more may keep some for itself.
    assert before - resident_bytes() > 50 * MIB
