"""The GPU kernels without TensorFlow, against the CPU kernels; on the GPU that gpu.py lends."""

import concurrent.futures
import itertools

import numpy as np
import pytest
from gpu_arrays import assert_same_numbers, sizes_around_boundaries
from gpu_emulator.driver import Driver
from oracle import (
    AVERAGE_DTYPES,
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    SAME_DTYPES,
    assert_same_bits,
    dtypes_id,
    extreme,
    infinite,
    is_finite,
    normal,
    patterns,
    rate_of,
)

from tf_mavg import _native

CAPACITY = {"small": 169, "large": 1363}  # positions of two sides in a table, by its form
CAPACITY_OF_ONE_SIDE = {"small": 254, "large": 2045}

form = pytest.mark.parametrize("form", CAPACITY)
pytestmark = pytest.mark.gpu
average_dtypes = pytest.mark.parametrize("dtypes", AVERAGE_DTYPES, ids=dtypes_id)


@pytest.fixture
def rng():
    """A generator of the same numbers in every run, also where conftest.py has no part."""
    return np.random.default_rng(20)


@pytest.fixture
def form_on_gpu(form):
    """A form of the table that the device takes."""
    if form == "large" and _native.gpu_driver()["devices"][0]["form"] != "large":
        pytest.skip("driver or device take only 4,096 bytes of kernel parameters")
    return form


def updated(averages, variables, decay):
    """What the CPU kernels, tested on their own, make of the averages."""
    expected = [average.copy() for average in averages]
    _native.apply_moving_average([expected], variables, [rate_of(decay)], "baseline")
    return expected


@form
@average_dtypes
@pytest.mark.parametrize(
    "offsets", [(0, 0), (1, 0), (0, 1), (1, 1), (3, 2), (16, 16)], ids=lambda o: f"{o[0]}-{o[1]}"
)
def test_update(dtypes, form_on_gpu, offsets, rng):
    sizes = sizes_around_boundaries(_native.GPU_CHUNK_BYTES // dtypes[0].itemsize)
    averages = [normal(rng, size, dtypes[0]) for size in sizes]
    variables = [normal(rng, size, dtypes[1]) for size in sizes]
    before = [variable.copy() for variable in variables]
    expected = updated(averages, variables, 0.99)
    _native.gpu_apply_moving_average(
        [averages],
        variables,
        [rate_of(0.99)],
        form_on_gpu,
        offsets=[offset * dtype.itemsize for offset, dtype in zip(offsets, dtypes, strict=True)],
    )
    for received, wanted in zip(averages + variables, expected + before, strict=True):
        assert_same_bits(received, wanted)


@form
@average_dtypes
@pytest.mark.parametrize("count", [2, 3, 4])
def test_several_averages_in_one_pass_are_as_many_single_updates(dtypes, form_on_gpu, count, rng):
    sizes = sizes_around_boundaries(_native.GPU_CHUNK_BYTES // dtypes[0].itemsize)
    averages = [[normal(rng, size, dtypes[0]) for size in sizes] for _ in range(count)]
    variables = [normal(rng, size, dtypes[1]) for size in sizes]
    decays = [0.9, 0.99, 0.5, 0.999][:count]
    before = [variable.copy() for variable in variables]
    for shifted in [None, *range(count + 1)]:  # All aligned, and each list in turn not so.
        expected = [
            updated(side, variables, decay) for side, decay in zip(averages, decays, strict=True)
        ]
        offsets = [0] * (count + 1)
        if shifted is not None:
            offsets[shifted] = dtypes[0 if shifted < count else 1].itemsize
        rates = [rate_of(decay) for decay in decays]
        _native.gpu_apply_moving_average(averages, variables, rates, form_on_gpu, offsets)
        for received, wanted in zip(
            itertools.chain(*averages, variables),
            itertools.chain(*expected, before),
            strict=True,
        ):
            assert_same_bits(received, wanted)


@average_dtypes
@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9999, 1.0])
def test_update_of_any_bits(dtypes, decay, rng):
    arrays = [
        rng.integers(0, 256, 20000 * dtype.itemsize, np.uint8).view(dtype) for dtype in dtypes
    ]
    expected = updated(arrays[:1], arrays[1:], decay)
    _native.gpu_apply_moving_average([arrays[:1]], arrays[1:], [rate_of(decay)], "small")
    assert_same_numbers(arrays[0], expected[0])


@average_dtypes
def test_a_rate_of_1_copies_and_one_of_0_keeps_whatever_the_bits(dtypes, rng):
    averages = [[patterns(rng, 20000, dtypes[0])] for _ in range(2)]
    variables = [patterns(rng, 20000, dtypes[1])]
    kept = averages[1][0].copy()
    _native.gpu_apply_moving_average(averages, variables, [1.0, 0.0], "small")
    assert_same_numbers(averages[1][0], kept)
    with np.errstate(invalid="ignore"):  # A signalling NaN.
        copied = variables[0].astype(dtypes[0])
    assert_same_numbers(averages[0][0], copied)


@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=str)
@pytest.mark.parametrize("average_dtype", ["same", "float32"])
def test_update_by_every_number_of_half_precision(dtype, average_dtype, rng):
    variables = [np.arange(2**16, dtype=np.uint16).view(dtype)]
    averages = [normal(rng, 2**16, dtype if average_dtype == "same" else FLOAT32)]
    expected = updated(averages, variables, 0.9)
    _native.gpu_apply_moving_average([averages], variables, [rate_of(0.9)], "small")
    assert_same_numbers(averages[0], expected[0])


@form
@pytest.mark.parametrize("itemsize", [1, 2, 4, 8])
@pytest.mark.parametrize(
    "offsets", [(0, 0), (1, 0), (0, 8), (5, 5), (16, 32)], ids=lambda o: f"{o[0]}-{o[1]}"
)
def test_swap(itemsize, form_on_gpu, offsets, rng):
    # Any bits: among them NaN with payloads, whatever the dtype.
    sizes = sizes_around_boundaries(_native.GPU_CHUNK_BYTES // itemsize)
    arrays = [
        [rng.integers(0, 256, size * itemsize, np.uint8).view(f"u{itemsize}") for size in sizes]
        for _ in range(2)
    ]
    expected = [[array.copy() for array in side] for side in reversed(arrays)]
    _native.gpu_swap(
        *arrays,
        form_on_gpu,
        offsets=offsets,
    )
    for received, wanted in zip(arrays[0] + arrays[1], expected[0] + expected[1], strict=True):
        assert_same_bits(received, wanted)


@form
@pytest.mark.parametrize("tables", [1, 2])
@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_full_tables(form_on_gpu, tables, extra, rng):
    sizes = rng.integers(1, 20, tables * CAPACITY[form_on_gpu] + extra).tolist()
    for empty in (0, 100, len(sizes)):
        sizes.insert(empty, 0)
    sizes[50] = 3 * _native.GPU_CHUNK_BYTES  # one position of many chunks among those of one
    averages = [normal(rng, size, FLOAT32) for size in sizes]
    variables = [normal(rng, size, FLOAT32) for size in sizes]
    expected = updated(averages, variables, 0.9)
    _native.gpu_apply_moving_average([averages], variables, [rate_of(0.9)], form_on_gpu)
    for received, wanted in zip(averages, expected, strict=True):
        assert_same_bits(received, wanted)
    _native.gpu_swap(averages, variables, form_on_gpu)
    for received, wanted in zip(variables, expected, strict=True):
        assert_same_bits(received, wanted)


@form
@pytest.mark.parametrize("dtype", SAME_DTYPES, ids=str)
@pytest.mark.parametrize("offset", [0, 1, 3, 16])
def test_what_is_not_finite_is_found_wherever_it_is(dtype, form_on_gpu, offset):
    sizes = sizes_around_boundaries(_native.GPU_CHUNK_BYTES // dtype.itemsize)
    arrays = [np.resize(extreme(dtype), size) for size in sizes]
    before = [array.copy() for array in arrays]

    def all_finite(arrays):
        return _native.gpu_all_finite(arrays, form_on_gpu, [offset * dtype.itemsize])

    assert all_finite(arrays)
    for position, array in enumerate(arrays):
        few = range(array.size) if array.size < 20 else (0, array.size // 2, array.size - 1)
        for place in few:
            array[place] = infinite(dtype)[(place + position) % 6]
            assert not all_finite([array]), (position, place)
            if place == few[-1]:
                assert not all_finite(arrays), (position, place)
            array[place] = before[position][place]
    assert all_finite(arrays)
    for received, wanted in zip(arrays, before, strict=True):
        assert_same_bits(received, wanted)


@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=str)
def test_every_number_of_half_precision_is_finite_or_not(dtype):
    numbers = np.arange(2**16, dtype=np.uint16).view(dtype)
    finite = is_finite(numbers)
    assert _native.gpu_all_finite([numbers[finite]], "small")
    for number in [*numbers[~finite][:3], *numbers[~finite][-3:], *numbers[~finite][::97]]:
        assert not _native.gpu_all_finite([np.array([number])], "small")


@form
@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_full_tables_of_one_side(form_on_gpu, extra, rng):
    capacity = CAPACITY_OF_ONE_SIDE[form_on_gpu]
    sizes = rng.integers(1, 20, 2 * capacity + extra).tolist()
    sizes.insert(100, 0)
    sizes[50] = 3 * _native.GPU_CHUNK_BYTES  # one position of many chunks among those of one
    arrays = [normal(rng, size, FLOAT32) for size in sizes]
    assert _native.gpu_all_finite(arrays, form_on_gpu)
    for position in (0, 50, capacity, capacity + 1, len(sizes) - 1):
        arrays[position][-1] = np.nan
        assert not _native.gpu_all_finite(arrays, form_on_gpu), position
        arrays[position][-1] = 1.0


def test_offsets_have_64_bits(rng):
    # A table of one position, in the layout of table.h, whose only chunk to run is preceded by
    # 2**20 that have numbers below 0. Its elements lie 2**34 behind the position's addresses.
    capacity, chunk_elements, skipped = CAPACITY["small"], 2**14, 2**20
    average, variable = (normal(rng, 1001, FLOAT32) for _ in range(2))
    (expected,) = updated([average], [variable], 0.9)
    driver = Driver("libcuda.so.1")
    buffers = [driver.buffer(array) for array in (average, variable, np.array([rate_of(0.9)]))]
    begin = skipped * chunk_elements * FLOAT32.itemsize
    table = np.zeros(2 * capacity + 2, np.int64), np.zeros(2 * capacity + 4, np.int32)
    table[0][[0, capacity]] = [buffer.address - begin for buffer in buffers[:2]]
    table[0][2 * capacity] = buffers[2].address
    table[1][:2] = -skipped, 1  # first_chunk
    table[1][capacity + 1] = average.size  # last_chunk_elements
    table[1][2 * capacity + 1 : -1] = chunk_elements, 1  # and size
    images = [image for image in _native.gpu_images() if image["kind"] == "ptx"]
    (ptx,) = (image["data"] for image in images if image["form"] == "small")
    driver.module(ptx).launch("moving_average_float32_1", 1, 256, [b"".join(map(bytes, table))])
    driver.synchronize()
    assert_same_bits(buffers[0].read(), expected)


def test_many_threads_may_launch_at_once(rng):
    averages = [normal(rng, 5000, FLOAT32) for _ in range(32)]
    variables = [normal(rng, 5000, FLOAT32) for _ in range(32)]
    expected = updated(averages, variables, 0.9)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        launches = [
            pool.submit(
                _native.gpu_apply_moving_average, [[average]], [variable], [rate_of(0.9)], "small"
            )
            for average, variable in zip(averages, variables, strict=True)
        ]
    for launch, received, wanted in zip(launches, averages, expected, strict=True):
        launch.result()
        assert_same_bits(received, wanted)
