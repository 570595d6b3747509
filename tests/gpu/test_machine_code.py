"""Static checks of the machine code that is shipped, with NVIDIA's disassembler from PyPI."""

import re

import pytest

from tf_mavg._bench import machine_code

CUBINS = dict(machine_code.cubins())
MOST_PARAMETER_BYTES = {"small": 4096, "large": 32764}
LISTS = range(1, 5)  # of averages

# By the dtypes of average and variable, the bits of each in a pack of 16 bytes, and of one element.
BITS = {
    "float16": ((128, 128), (16, 16)),
    "bfloat16": ((128, 128), (16, 16)),
    "float32": ((128, 128), (32, 32)),
    "float64": ((128, 128), (64, 64)),
    "float16_in_float32": ((128, 64), (32, 16)),
    "bfloat16_in_float32": ((128, 64), (32, 16)),
}
# What a loop's instructions load and store: the variable once, whatever the number of averages.
LOOPS = {
    f"moving_average_{name}_{count}": [
        (sorted([average] * count + [variable]), [average] * count) for average, variable in bits
    ]
    for name, bits in BITS.items()
    for count in LISTS
} | {"swap_bytes": [([128, 128], [128, 128]), ([8, 8], [8, 8])]}
# Both halves of each average.
LOOPS |= {
    f"split_moving_average_{count}": [
        ([bits] * (2 * count + 1), [bits] * (2 * count)) for bits in (128, 16)
    ]
    for count in (1, 2)
}
LOOPS |= {
    name.replace("moving", "stochastic"): loops
    for name, loops in LOOPS.items()
    if re.match(r"moving_average_b?float16_\d", name)
}
# Of a float64 alone, the compiler loads the half with the exponent.
LOOPS |= {
    f"all_finite_{name}": [([128], []), ([one], [])]
    for name, one in {"float16": 16, "bfloat16": 16, "float32": 32, "float64": 32}.items()
}
# Rows are averages with their variable; a clock has no loop.
ROWS = {
    f"catch_up_rows_{name}": [([average, variable], [average]) for average, variable in bits]
    for name, bits in BITS.items()
} | {"advance_row_clocks": []}
LOOPS |= {name: [(sorted(loads), stores) for loads, stores in ROWS[name]] for name in ROWS}
# Sides of a table, where they are not averages and their variable.
OTHER_DEPTHS = {"swap_bytes": 2} | {name: 1 for name in LOOPS if name.startswith("all_finite_")}
DEPTHS = OTHER_DEPTHS | {"split_moving_average_1": 3, "split_moving_average_2": 5}
# By the number of averages, or of halves of such. 32 allow for all the threads that a
# multiprocessor holds. At 64 half of them are resident, each with three or four 16-byte loads under
# way, and at 80 three eighths with five: no fewer in all than with one average.
MOST_REGISTERS = {1: 40, 2: 64, 3: 64, 4: 80}
# By the architecture, where random bits, or the search for rows, take more. At 128 two blocks are
# resident, with five loads of each thread under way. On 7.5, whose multiprocessors hold 1,024
# threads, all are at 64.
MOST_REGISTERS_OF_ARCHITECTURE = {
    70: {1: 40, 2: 64, 3: 128, 4: 128},
    75: {1: 64, 2: 64, 3: 64, 4: 80},
    100: {1: 40, 2: 64, 3: 64, 4: 128},
    120: {1: 40, 2: 64, 3: 64, 4: 128},
}


@pytest.fixture(scope="module")
def read():
    """All that is in each cubin: the disassembler takes seconds."""
    return {name: machine_code.read_kernels(image) for name, image in CUBINS.items()}


@pytest.fixture(params=CUBINS)
def cubin(request):
    """The name of each cubin inside the package."""
    return request.param


@pytest.fixture
def image(cubin):
    """That cubin, and what it is for."""
    return CUBINS[cubin]


@pytest.fixture
def kernels(cubin, read):
    """What is in it."""
    return read[cubin]


def test_resources(image, kernels):
    assert kernels.keys() == LOOPS.keys()
    for name, kernel in kernels.items():
        assert kernel.local_bytes == 0, f"{name} spills registers"
        if name in ROWS:
            most = MOST_REGISTERS_OF_ARCHITECTURE.get(image["architecture"], MOST_REGISTERS)
            assert kernel.registers <= most[1], name
            assert kernel.parameter_bytes <= MOST_PARAMETER_BYTES["small"], name
            continue
        depth = DEPTHS.get(name) or int(name[-1]) + 1
        most = MOST_REGISTERS
        if name.startswith("stochastic"):
            most = MOST_REGISTERS_OF_ARCHITECTURE.get(image["architecture"], MOST_REGISTERS)
        assert kernel.registers <= most[max(depth - 1, 1)], name
        space = MOST_PARAMETER_BYTES[image["form"]]
        # A table is as full as can be: one more position, of 8 bytes a side and 8, does not fit.
        assert space - 8 * depth - 16 < kernel.parameter_bytes <= space, name


def test_every_loop_moves_16_bytes_at_a_time_or_one_element(kernels):
    for name, kernel in kernels.items():
        # The compiler may write a loop down twice, so repetitions do not count.
        found = {
            (tuple(sorted(loop.loads)), tuple(loop.stores))
            for loop in machine_code.data_loops(kernel.code)
        }
        assert found == {(tuple(loads), tuple(stores)) for loads, stores in LOOPS[name]}, name


def test_the_whole_code_is_read(kernels):
    for name, kernel in kernels.items():
        addresses = [int(text, 16) for text in re.findall(r"/\*([0-9a-f]{4,})\*/ ", kernel.code)]
        assert addresses == [*range(0, 16 * len(addresses), 16)], name
        assert re.search(r"\bEXIT\b", kernel.code), name
        assert "FMUL" in kernel.code or "DMUL" in kernel.code or name in OTHER_DEPTHS


def test_no_operation_is_contracted(kernels):
    for name, kernel in kernels.items():
        assert not re.search(r"\b[FD]FMA\b", kernel.code), name


def test_the_report_names_every_image_and_model(read):
    report = machine_code.machine_code_report(read) + machine_code.expectation_report()
    assert all(name in report for name in CUBINS)
    assert all(model.name in report for model in machine_code.MODELS)


def test_apexs_limits_bind_by_tensors_or_by_chunks():
    chunk = machine_code.APEX_CHUNK_ELEMENTS
    assert machine_code.apex_launches(machine_code.Model("many", 97, 97)) == 3
    assert machine_code.apex_launches(machine_code.Model("large", 1, 321 * chunk)) == 2
