"""The benchmark measures where the variables of the run are: on the GPU, if TensorFlow has one."""

import contextlib

import pytest
import worlds
from bench_cases import SMALL, Case

from tf_mavg._bench import device
from tf_mavg._bench.contestants.contestant import Ground
from tf_mavg._bench.measuring.steps import SWAP, UPDATE, measure
from tf_mavg._bench.measuring.turns import Settings
from tf_mavg._bench.workloads import VARIABLES

SETTINGS = Settings(turn_seconds=0, seconds=0, fewest=2)


@pytest.mark.parametrize("operation", [UPDATE, SWAP], ids=lambda operation: operation.name)
def test_it_measures_ours(operation):
    case, runners = Case(SMALL), {"eager", "tf.function"}
    taking_part = [e for e in operation.entrants if e.takes_part(case)]
    ours = [e for e in taking_part if e.ours and e.runner in runners]
    assert ours
    entry = measure(operation, case, ours, SETTINGS)
    assert [c["name"] for c in entry["contestants"]] == [entrant.name for entrant in ours]
    assert all(c["median_s"] > 0 and c["turns"] == 2 for c in entry["contestants"])


def test_its_variables_are_on_the_device_of_the_run():
    with contextlib.ExitStack() as stack:
        for variable in Ground(Case(SMALL), stack).variables(VARIABLES):
            assert worlds.DEVICE in variable.device.lower().replace("/device:", "/")
    assert device.kind() in worlds.DEVICE
    assert (device.gpu_name() is not None) == (device.kind() == "gpu")
    device.wait()
