"""The benchmark's contestants do what they claim, on the variables that it claims."""

import contextlib
import math

import numpy as np
import pytest
import tensorflow as tf
from bench_cases import EVERY_DTYPES, SHAPES, SMALL, Case
from oracle import assert_same_bits, updated

from tf_mavg._bench import machine_code, models, workloads
from tf_mavg._bench.contestants import swaps, updates
from tf_mavg._bench.contestants.contestant import Ground
from tf_mavg._bench.measuring import replicas
from tf_mavg._bench.measuring.steps import ON_REQUEST, OPERATIONS, SEVERAL, SWAP, SWAPPED, UPDATE
from tf_mavg._bench.workloads import AVERAGES, VARIABLES

STEPS = 3
every_dtypes = pytest.mark.parametrize("dtypes", EVERY_DTYPES, ids=lambda dtypes: dtypes.name)


def entrants(operation, case):
    return [entrant for entrant in operation.entrants if entrant.takes_part(case)]


def after_steps(entrant, case, steps):
    """What a contestant has made of its averages and variables."""
    with contextlib.ExitStack() as stack:
        contestant = entrant.make(Ground(case, stack))
        for role in (AVERAGES, VARIABLES):
            values = [*case.values(role)] * (case.averages if role == AVERAGES else 1)
            for start, value in zip(contestant.read(role), values, strict=True):
                np.testing.assert_array_equal(start, value, err_msg=entrant.label)
        for _ in range(steps):
            contestant.step()
            contestant.wait()
        return [[np.array(value) for value in contestant.read(r)] for r in (AVERAGES, VARIABLES)]


@every_dtypes
def test_every_update_computes_what_the_oracle_says(dtypes):
    case = Case(SMALL, dtypes)
    variables, expected = list(case.values(VARIABLES)), list(case.values(AVERAGES))
    for _ in range(STEPS):
        pairs = zip(expected, variables, strict=True)
        expected = [np.asarray(updated(a, v, case.decay)) for a, v in pairs]
    if "float16" in dtypes.averages:  # The limit moves bytes there, see test_cpu_kernels.
        without = [e for e in entrants(UPDATE, case) if not e.name.startswith(updates.LIMIT)]
    else:
        without = entrants(UPDATE, case)
    exact = {e.label for e in without if e.ours and e.runner != "XLA" and not e.half_only}
    # A peer rounds each operation, to its own dtype.
    unit = float(np.finfo(dtypes.averages).eps) if dtypes.averages != "bfloat16" else 2.0**-7
    for entrant in without:
        averages, kept = after_steps(entrant, case, STEPS)
        for received, wanted in zip(averages, expected, strict=True):
            if entrant.label in exact:
                assert_same_bits(received, wanted)
            else:
                np.testing.assert_allclose(
                    received.astype(np.float32),
                    wanted.astype(np.float32),
                    rtol=0,
                    atol=16 * unit,
                    err_msg=entrant.label,
                )
        for received, value in zip(kept, variables, strict=True):
            np.testing.assert_array_equal(received, value, err_msg=entrant.label)


@pytest.mark.parametrize("name", replicas.CONTESTANTS)
def test_every_update_of_replicas_computes_what_the_oracle_says(name, logical_cpus):
    case, sums = Case(SMALL), tf.distribute.ReductionToOneDevice()
    strategy = tf.distribute.MirroredStrategy(logical_cpus[:2], cross_device_ops=sums)
    contestant, _ = replicas.make(strategy, case, replicas.CONTESTANTS[name])
    variables, expected = list(case.values(VARIABLES)), list(case.values(AVERAGES))
    for received, start in zip(contestant.read(AVERAGES), expected, strict=True):
        np.testing.assert_array_equal(received, start)
    for _ in range(STEPS):
        contestant.step()
        pairs = zip(expected, variables, strict=True)
        expected = [np.asarray(updated(a, v, case.decay)) for a, v in pairs]
    for received, wanted in zip(contestant.read(AVERAGES), expected, strict=True):
        assert_same_bits(received, wanted)
    for received, wanted in zip(contestant.read(VARIABLES), variables, strict=True):
        np.testing.assert_array_equal(received, wanted)


@pytest.mark.parametrize("count", [1, 2, 3])
@every_dtypes
def test_every_update_of_several_averages_computes_what_the_oracle_says(dtypes, count):
    case = Case(SMALL, dtypes, averages=count)
    variables = list(case.values(VARIABLES))
    expected = []
    for decay in case.decays:
        averages = list(case.values(AVERAGES))
        for _ in range(STEPS):
            pairs = zip(averages, variables, strict=True)
            averages = [np.asarray(updated(a, v, decay)) for a, v in pairs]
        expected += averages
    for entrant in entrants(SEVERAL, case):
        received, kept = after_steps(entrant, case, STEPS)
        for one, wanted in zip(received, expected, strict=True):
            assert_same_bits(one, wanted)
        for one, value in zip(kept, variables, strict=True):
            np.testing.assert_array_equal(one, value, err_msg=entrant.label)


@pytest.mark.parametrize("entrant", SWAPPED.entrants, ids=lambda entrant: entrant.name)
def test_every_context_swaps_there_and_back(entrant):
    case, inside = Case(SMALL), []
    with contextlib.ExitStack() as stack:
        contestant = entrant.make(
            Ground(case, stack),
            inside=lambda: inside.extend(contestant.read(r) for r in (AVERAGES, VARIABLES)),
        )
        contestant.step()
        outside = [contestant.read(role) for role in (AVERAGES, VARIABLES)]
    for received, roles in ((inside, (VARIABLES, AVERAGES)), (outside, (AVERAGES, VARIABLES))):
        for values, role in zip(received, roles, strict=True):
            for one, value in zip(values, case.values(role), strict=True):
                np.testing.assert_array_equal(one, value)


@pytest.mark.parametrize("dtypes", EVERY_DTYPES[:3], ids=lambda dtypes: dtypes.name)
def test_every_swap_swaps(dtypes):
    case = Case(SMALL, dtypes)
    for entrant in entrants(SWAP, case):
        both = after_steps(entrant, case, 1)
        for received, role in zip(both, (VARIABLES, AVERAGES), strict=True):
            for one, other in zip(received, case.values(role), strict=True):
                if entrant.name == swaps.ARITHMETIC:
                    np.testing.assert_allclose(
                        one.astype(np.float32), other.astype(np.float32), rtol=0, atol=0.05
                    )
                else:
                    np.testing.assert_array_equal(one, other, err_msg=entrant.label)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_a_baseline_and_the_limit_take_part_wherever_they_can(operation):
    assert all(entrant.ours for entrant in entrants(operation, ON_REQUEST))
    for case in operation.cases:
        found = [(e.name, e.runner) for e in entrants(operation, case)]
        assert len(set(found)) == len(found)
        assert any(e.ours for e in entrants(operation, case))
        assert operation.limit in {None, *(name for name, _ in found)}
        if case.dtypes.alike:
            runner = "tf.function" if operation in (UPDATE, SWAP) else "eager"
            assert (operation.baseline, runner) in found


@every_dtypes
def test_a_case_knows_its_bytes(dtypes):
    case = Case(SMALL, dtypes)
    arrays = {role: list(case.values(role)) for role in (AVERAGES, VARIABLES)}
    assert [array.shape for array in arrays[AVERAGES]] == list(SHAPES)
    size = {role: sum(array.nbytes for array in found) for role, found in arrays.items()}
    assert case.elements == 19
    assert case.variable_bytes == size[VARIABLES]
    assert case.stored_bytes == size[AVERAGES] + size[VARIABLES]
    assert case.update_bytes == 2 * size[AVERAGES] + size[VARIABLES]
    several = Case(SMALL, dtypes, averages=3)
    assert several.stored_bytes == 3 * size[AVERAGES] + size[VARIABLES]
    assert several.update_bytes == 6 * size[AVERAGES] + size[VARIABLES]


def test_a_case_is_named_by_what_is_unlike_others():
    assert Case(SMALL).name == "small float32"
    assert Case(SMALL, cold=True).name == "small float32, cold caches"
    assert Case(SMALL, averages=2).name == "small float32, 2 averages each"


def test_a_large_variable_repeats_values_and_a_small_one_does_not():
    large = workloads.same_size(1, workloads.DISTINCT_VALUES + 5, workloads.LEADERS)
    (value,) = Case(large).values(VARIABLES)
    assert value.size == workloads.DISTINCT_VALUES + 5
    first, second, *_ = Case(workloads.MANY_SMALL).values(VARIABLES)
    assert not np.array_equal(first, second)


def test_contestants_share_only_what_no_cache_holds(monkeypatch):
    case = Case(SMALL)
    with contextlib.ExitStack() as stack:
        ground = Ground(case, stack)
        assert ground.variables(AVERAGES)[0] is not ground.variables(AVERAGES)[0]
        monkeypatch.setattr("tf_mavg._bench.contestants.contestant.SHARED_BYTES", 0)
        assert ground.variables(AVERAGES)[0] is ground.variables(AVERAGES)[0]
        assert ground.variables(AVERAGES)[0] is not ground.variables(VARIABLES)[0]
        assert ground.one_array(AVERAGES) is ground.one_array(AVERAGES)


@every_dtypes
def test_apply_and_the_bound_op_update_the_same_variables_in_any_runner(dtypes):
    case = Case(SMALL, dtypes)
    with contextlib.ExitStack() as stack:
        ground = Ground(case, stack)
        names = (updates.OURS, updates.BOUND_OP)
        runners = ("eager", "tf.function")
        found = [e for e in entrants(UPDATE, case) if e.name in names and e.runner in runners]
        assert len(found) == 4
        contestants = [entrant.make(ground) for entrant in found]
        expected = list(case.values(AVERAGES))
        for contestant in contestants:
            contestant.step()
            pairs = zip(expected, case.values(VARIABLES), strict=True)
            expected = [np.asarray(updated(a, v, case.decay)) for a, v in pairs]
            for each in contestants:
                for received, wanted in zip(each.read(AVERAGES), expected, strict=True):
                    assert_same_bits(received, wanted)


def test_the_models_have_the_published_sizes():
    published = {model.name: model for model in machine_code.MODELS}
    for name, shapes in (
        ("BERT-large", models.bert_large()),
        ("GPT-2 XL", models.gpt2_xl(layers=48)),
    ):
        assert len(shapes) == published[name].tensors
        assert sum(map(math.prod, shapes)) == published[name].elements
    resnet = models.resnet_50()
    assert sorted(resnet) == sorted(models.keras_shapes("ResNet50"))
    # Keras's convolutions have biases.
    biases = 26_560
    assert len(resnet) == published["ResNet-50"].tensors + 53
    assert sum(map(math.prod, resnet)) == published["ResNet-50"].elements + biases
    mobilenet = models.mobilenet_v3()
    assert len(mobilenet) == 174
    assert np.median([math.prod(shape) for shape in mobilenet]) < 1000
