"""Schedules are values: equal, copied, written and read; and what none can be made of."""

import copy
import pickle
import subprocess
import sys

import keras
import numpy as np
import pytest
import tf_keras
from schedules import FEW_COUNTS, SCHEDULES, assert_close, schedules

import tf_mavg.keras
import tf_mavg.tf_keras  # noqa: F401 - it has its Keras know schedules.
from tf_mavg.decays import Constant, Decay, HalfLife, InverseGamma, PowerFunction, Uniform, WarmUp


@schedules
def test_what_was_made_alike_is_equal(schedule):
    for other in (
        type(schedule).from_config(schedule.get_config()),
        eval(repr(schedule)),  # noqa: S307 - the repr is the call that makes it.
        copy.deepcopy(schedule),
        pickle.loads(pickle.dumps(schedule)),  # noqa: S301 - what it has just written.
    ):
        assert other == schedule
        assert hash(other) == hash(schedule)
        assert_close(other.rate(FEW_COUNTS), schedule.rate(FEW_COUNTS), 0)
    assert sum(schedule == other for other in SCHEDULES) == 1


def test_other_things_are_not_equal():
    assert Constant(0.5) != WarmUp(0.5)
    assert Constant(0.5) != Constant(0.25)
    assert Constant(0.5) != 0.5
    assert Constant(np.float32(0.5)) == Constant(0.5)


@pytest.mark.parametrize("library", [keras, tf_keras], ids=["keras", "tf_keras"])
@schedules
def test_each_keras_writes_and_reads_them(library, schedule):
    config = library.saving.serialize_keras_object({"average_decay": schedule})
    name = type(schedule).__name__
    assert config["average_decay"]["registered_name"] == f"tf_mavg>{name}"
    assert library.saving.deserialize_keras_object(config) == {"average_decay": schedule}


@pytest.mark.slow
def test_neither_face_of_a_keras_is_imported_for_them(tmp_path):
    program = "import sys, tf_mavg; tf_mavg.decays.Uniform(); print(*sys.modules)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    loaded = set(done.stdout.decode().split())
    assert "tf_mavg.decays" in loaded
    # TensorFlow imports Keras 3 itself.
    assert (
        loaded & {"tf_keras", "tf_mavg.keras", "tf_mavg.tf_keras", "tf_mavg._keras.keras3"} == set()
    )


@schedules
def test_a_schedule_cannot_be_changed(schedule):
    message = r"A schedule cannot be changed; make another one\. Received: maximum=0\.5\."
    with pytest.raises(AttributeError, match=message):
        schedule.maximum = 0.5
    assert not hasattr(schedule, "maximum")


def test_a_schedule_of_ones_own():
    class Halving(Decay):
        def __init__(self) -> None:
            super().__init__()

        def _log_decay(self, n, do):
            return do.log1p(-(0.5**n))

    schedule = Halving()
    assert_close(schedule.rate([1, 2]), [0.5, 0.25])
    assert_close(schedule.product_rate(2, 2), 1 - 0.5 * 0.75)
    scaled = schedule.for_batch(2)
    assert type(scaled).from_config(scaled.get_config()) == scaled


# What is refused.


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(1.5), r"`decay` must be in \[0, 1\]. Received: decay=1.5."),
        (lambda: Constant(float("nan")), r"`decay` must be in \[0, 1\]. Received: decay=nan."),
        (lambda: Constant("0.5"), r"`decay` must be in \[0, 1\]. Received: decay='0.5'."),
        (lambda: Constant(decay=True), r"`decay` must be in \[0, 1\]. Received: decay=True."),
        (lambda: WarmUp(-1), r"`decay` must be in \[0, 1\]. Received: decay=-1."),
        (
            lambda: InverseGamma(gamma=0),
            "`gamma` must be a finite number above 0.",
        ),
        (
            lambda: InverseGamma(power=-1),
            "`power` must be a finite number above 0.",
        ),
        (lambda: InverseGamma(maximum=2), r"`maximum` must be in \[0, 1\]. Received: maximum=2."),
        (
            lambda: InverseGamma(minimum=0.9, maximum=0.5),
            r"`minimum` must be in \[0, 0.5\]. Received: minimum=0.9.",
        ),
        (HalfLife, "Give `steps`, `fraction` or both. Received: neither."),
        (lambda: HalfLife(0), "`steps` must be a finite number above 0. Received: steps=0"),
        (lambda: HalfLife(None, np.inf), "`fraction` must be a finite number above 0."),
        (
            PowerFunction,
            "Give either `sigma_rel` or `exponent`. Received: sigma_rel=None, exponent=None.",
        ),
        (lambda: PowerFunction(0.1, 2), "Received: sigma_rel=0.1, exponent=2."),
        (lambda: PowerFunction(0.0), "`sigma_rel` must be a finite number above 0."),
        (
            lambda: PowerFunction(0.3),
            r"`sigma_rel` must be at most 12\^-0.5 = .* average. Received: sigma_rel=0.3.",
        ),
        (
            lambda: PowerFunction(exponent=-0.5),
            "`exponent` must be a finite number, 0 or more. Received: exponent=-0.5.",
        ),
        (lambda: Uniform().for_batch(0), "`factor` must be a finite number above 0."),
        (lambda: Uniform().for_batch(2).for_batch(-1), "`factor` must be a finite number above 0."),
        (lambda: Uniform().rate(0), "`n` counts updates and must be 1 or more. Received: n=0."),
        (lambda: Uniform().decay([3, 0.5]), "`n` counts updates and must be 1 or more."),
        (
            lambda: Uniform().rate(np.nan),
            "must be 1 or more. Received: n=nan.",
        ),
        (lambda: Uniform().product_rate(5, 0), "`steps` must be 1 or more. Received: steps=0."),
        (
            lambda: Uniform().product_rate(5, 6),
            "`n` counts updates and must be 6 or more. Received: n=5.",
        ),
        (
            lambda: type(Uniform().for_batch(2)).from_config(
                {"schedule": {"class_name": "Cosine", "config": {}}, "factor": 2}
            ),
            "The schedule must be one of .*'WarmUp'.*. Received: 'Cosine'; import the module",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
