"""The ops under jit_compile=True: the same numbers as without, in place, the same errors."""

import re
import shutil
from pathlib import Path

import numpy as np
import prepared
import pytest
import tensorflow as tf
from oracle import (
    AVERAGE_DTYPES,
    FLOAT64,
    SAME_DTYPES,
    assert_same_bits,
    dtypes_id,
    extreme,
    infinite,
    normal,
    patterns,
)

from tf_mavg import ops
from tf_mavg._ops.library import OPS, PACKAGE, XLA_KERNELS, XLA_PATH
from tf_mavg_cli import info

SIZES = [0, 1, 17, 1000]


def assert_within_ulps(received: np.ndarray, expected: np.ndarray, bound: np.ndarray, ulps: int):
    """Asserts that two arrays differ by at most some units in the last place of `bound`."""
    assert received.dtype == expected.dtype
    unit = np.spacing(np.abs(bound).astype(expected.dtype)).astype(FLOAT64)
    error = np.abs(received.astype(FLOAT64) - expected.astype(FLOAT64))
    assert (error <= ulps * unit).all()


def test_the_kernels_are_loaded():
    assert Path(XLA_KERNELS).name == "libtf_mavg_xla.so"
    assert info.facts()["XLA kernels"] == XLA_KERNELS


@pytest.mark.parametrize("dtypes", AVERAGE_DTYPES, ids=dtypes_id)
def test_every_step_equals_the_uncompiled_one_within_a_unit(dtypes, rng):
    averages, variables = (
        [tf.Variable(normal(rng, size, dtype)) for size in SIZES] for dtype in dtypes
    )

    def step(decay):
        ops.apply_moving_average(averages, variables, decay)

    plain, compiled = tf.function(step), tf.function(step, jit_compile=True)
    for decay in (0.9, 0.5, 0.1, 0.999, 0.0, 1.0):  # 1 - 0.1 is rounded in float32.
        start = [average.numpy() for average in averages]
        plain(tf.constant(decay))
        expected = [average.numpy() for average in averages]
        for average, value in zip(averages, start, strict=True):
            average.assign(value)
        compiled(tf.constant(decay))
        for i, variable in enumerate(variables):
            # A contracted product is rounded once less; it is no larger than these two.
            bound = np.abs(start[i]).astype(FLOAT64) + np.abs(variable.numpy().astype(FLOAT64))
            assert_within_ulps(averages[i].numpy(), expected[i], bound, 1)
            if dtypes[0].itemsize == 2:  # Computed in float32, so few results lie near to a tie.
                assert (averages[i].numpy() != expected[i]).sum() <= 1 + SIZES[i] // 50
            variable.assign(normal(rng, SIZES[i], dtypes[1]))


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_rate_of_1_copies_and_one_of_0_keeps_what_no_formula_could(rate):
    special = np.array([np.nan, np.inf, -0.0, 1e30, 1.0], np.float32)
    other = np.array([1.0, np.nan, np.inf, 1.0, 1e30], np.float32)
    average, variable = tf.Variable(special), tf.Variable(other)

    @tf.function(jit_compile=True)
    def step(rates):
        ops.apply_moving_average([average], [variable], rates=rates)

    step(tf.constant([rate]))
    np.testing.assert_array_equal(average.numpy(), other if rate else special)


@pytest.mark.parametrize("dtypes", AVERAGE_DTYPES, ids=dtypes_id)
def test_a_training_loop_in_one_program_sees_each_step_in_order(dtypes, rng):
    values = tf.constant(rng.standard_normal([5, 100]).astype(dtypes[1]))
    results = []
    for jit_compile in (False, True):
        average = tf.Variable(tf.zeros(100, dtypes[0]))
        variable = tf.Variable(tf.zeros(100, dtypes[1]))

        @tf.function(jit_compile=jit_compile)
        def train(average, variable):
            for i in tf.range(5):
                variable.assign(values[i])
                ops.apply_moving_average([average], [variable], 0.75)
                if i == 2:
                    ops.apply_moving_average([average], [variable], 0.5)

        train(average, variable)
        results.append(average.numpy())
    assert_within_ulps(results[1], results[0], np.abs(values.numpy()).max(0) * 2, 6)


@pytest.mark.parametrize("dtype", SAME_DTYPES, ids=str)
def test_a_swap_is_exact(dtype, rng):
    first = [patterns(rng, size, dtype) for size in SIZES]
    second = [patterns(rng, size, dtype) for size in SIZES]
    a, b = [tf.Variable(value) for value in first], [tf.Variable(value) for value in second]

    @tf.function(jit_compile=True)
    def swap():
        ops.swap_variables(a, b)

    for expected in ((second, first), (first, second)):
        swap()
        for variables, values in zip((a, b), expected, strict=True):
            for variable, value in zip(variables, values, strict=True):
                assert_same_bits(variable.numpy(), value)


@pytest.mark.parametrize(
    ("name", "value"), [("decay", -0.1), ("decay", 1.5), ("decay", float("nan")), ("rates", 1.5)]
)
def test_a_number_out_of_range_is_refused_when_a_function_is_traced(name, value):
    average, variable = tf.Variable([1.0]), tf.Variable([2.0])

    @tf.function(jit_compile=True)
    def step():
        ops.apply_moving_average([average], [variable], **{name: value})

    with pytest.raises(ValueError, match=rf"in \[0, 1\]\. Received: {name}={value}"):
        step()
    assert average.numpy() == [1]


@pytest.mark.parametrize("dtype", SAME_DTYPES, ids=str)
def test_an_answer_is_of_the_values_at_its_place_in_the_program(dtype):
    variables = [tf.Variable(np.resize(extreme(dtype), size)) for size in SIZES]

    @tf.function(jit_compile=True)
    def ask(value):
        before = ops.all_finite(variables)
        kept = variables[2].read_value()
        variables[2].assign(tf.tensor_scatter_nd_update(kept, [[16]], [value]))
        spoilt = ops.all_finite(variables)
        variables[2].assign(kept)
        return before, spoilt, ops.all_finite(variables)

    for value in extreme(dtype):
        assert [bool(answer) for answer in ask(tf.constant(value))] == [True, True, True], value
    for value in infinite(dtype):
        assert [bool(answer) for answer in ask(tf.constant(value))] == [True, False, True], value


def test_an_answer_about_several_dtypes_at_once():
    variables = [tf.Variable(np.ones(3, dtype)) for dtype in SAME_DTYPES]
    ask = tf.function(lambda: ops.all_finite(variables), jit_compile=True)
    assert ask()
    for variable in variables:
        variable.assign(variable * np.inf)
        assert not ask()
        variable.assign(tf.ones_like(variable))


def test_a_function_is_traced_once_for_all_decays():
    variable, average = tf.Variable([1.0]), tf.Variable([0.0])
    traces = []

    @tf.function(jit_compile=True)
    def step(decay):
        traces.append(decay)
        ops.apply_moving_average([average], [variable], decay)

    for decay in (0.5, 0.75):
        step(tf.constant(decay))
    assert len(traces) == 1
    assert average.numpy() == [0.625]


def addresses(variables: list[tf.Variable]) -> list[int]:
    """Where the values lie: `_numpy` gives the variable's own memory, `numpy` would copy it."""
    return [variable.read_value()._numpy().ctypes.data for variable in variables]


def test_the_compiled_step_updates_averages_in_place():
    variables = [tf.Variable(tf.ones(1000)) for _ in range(3)]
    averages = [tf.Variable(tf.zeros(1000)) for _ in range(3)]

    @tf.function(jit_compile=True)
    def step(decay):
        ops.apply_moving_average(averages, variables, decay)

    program = step.experimental_get_compiler_ir(tf.constant(0.5))(stage="optimized_hlo")
    # {output: (parameter, ...)}: every output takes the place of one parameter.
    aliases = re.findall(r"\{(\d*)\}: \((\d+), \{\}", program.splitlines()[0])
    assert len({parameter for _, parameter in aliases}) == 3
    assert " copy(" not in program
    start = addresses(averages)
    for _ in range(3):
        step(tf.constant(0.5))
    assert addresses(averages) == start
    assert (averages[0].numpy() == 0.875).all()


def compiled_update(
    averages: list[tf.Variable], variables: list[tf.Variable], dtypes: tuple[tf.DType, tf.DType]
):
    """Compiles and runs the op itself, without the checks of `tf_mavg.ops`."""

    @tf.function(jit_compile=True)
    def update():
        OPS.resource_apply_moving_average(
            averages=[v.handle for v in averages],
            variables=[v.handle for v in variables],
            rates=[0.5],
            T=dtypes[1],
            Tavg=dtypes[0],
        )

    update()


BOTH_FLOAT32 = (tf.float32, tf.float32)


@pytest.mark.parametrize(
    ("shapes", "dtypes", "expected"),
    [
        (
            [[2], [3]],
            BOTH_FLOAT32,
            r"average 1 \('.*'\) must have the shape of variable 1 \('.*'\), \[3\]\.",
        ),
        (
            [[2], [2]],
            (tf.float64, tf.float64),
            r"average 0 \('.*'\) must be double\. Received: float\.",
        ),
        (
            [[2], [2]],
            (tf.float64, tf.float32),
            r"Received: an average of double for a variable of float\.",
        ),
    ],
    ids=["shapes", "dtypes", "dtypes of average and variable"],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(shapes, dtypes, expected):
    averages = [tf.Variable(tf.zeros([1])), tf.Variable(tf.zeros(shapes[0]))]
    # Of unknown shape, so that only the kernel can see that it does not fit.
    variables = [tf.Variable(tf.ones([1])), tf.Variable(tf.ones(shapes[1]), shape=[None])]
    with pytest.raises(tf.errors.InvalidArgumentError, match=expected):
        compiled_update(averages, variables, dtypes)
    assert averages[0].numpy() == [0.0]


def test_a_variable_that_occurs_twice_is_refused():
    variable = tf.Variable([1.0])
    expected = (
        r"ResourceApplyMovingAverage: all variables must be distinct\. Received: the "
        r"same variable as average 0 \('.*'\) and as variable 0 \('.*'\)\."
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=expected):
        compiled_update([variable], [variable], BOTH_FLOAT32)


WITHOUT_XLA = """
import tensorflow as tf
from tf_mavg import ops
from tf_mavg_cli import info

a, v = tf.Variable([0.0]), tf.Variable([1.0])
ops.apply_moving_average([a], [v], 0.5)
print(a.numpy())
print(info.facts()["XLA kernels"])
for call in (
    lambda: ops.apply_moving_average([a], [v], 0.5),
    lambda: ops.swap_variables([a], [v]),
    lambda: ops.all_finite([v]),
):
    try:
        tf.function(call, jit_compile=True, autograph=False)()
    except RuntimeError as error:
        print(error)
"""


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """A folder that holds a copy of the installed package."""
    shutil.copytree(PACKAGE, tmp_path / "tf_mavg")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "not part of this build, so jit_compile=True cannot compile the ops: "),
        ("no library", "not loaded, so jit_compile=True cannot compile the ops: "),
    ],
    ids=["absent", "broken"],
)
def test_without_the_library_all_else_works(alone, content, reason):
    library = alone / "tf_mavg" / XLA_PATH.relative_to(PACKAGE)
    library.unlink()
    if content is not None:
        library.write_text(content)
    printed = prepared.must_run(["-c", WITHOUT_XLA], alone, {"PYTHONPATH": str(alone)})
    value, fact, *refusals = printed.splitlines()
    assert value == "[0.5]"
    assert fact.startswith(reason)
    refusal = (
        "XLA compiles the ops only where its kernels of tf_mavg are loaded. Received: XLA kernels "
        f"that are {fact}. Use jit_compile=False, or another TensorFlow."
    )
    assert refusals == [refusal] * 3
