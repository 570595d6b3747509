"""TensorFlow steps on the emulated GPU: what they ask of the driver, and that order is kept."""

import pytest


def test_a_step_over_a_thousand_variables_is_one_launch_and_nothing_else(gpu_step):
    found = gpu_step("calls_of_a_step", driver_version=12050)
    assert found.pop("exchange") == {}
    assert found.pop("update of three averages") == {"launch": 2}  # A table holds 818 of them.
    assert found == {name: {"launch": 1} for name in found}


def test_an_older_driver_gets_smaller_tables(gpu_step):
    found = gpu_step("calls_of_a_step", driver_version=12000)
    assert found.pop("exchange") == {}
    assert found.pop("update of three averages") == {"launch": 10}  # A table holds 101.
    for calls in found.values():
        assert set(calls) == {"launch"}
        assert calls["launch"] <= 7


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("delay_us", [0, 2000], ids=["at once", "delayed"])
def test_training_on_several_devices(gpu_step, devices, delay_us):
    found = gpu_step("training", devices=devices, delay_us=delay_us, shuffle=7)
    expected = ["/device:CPU:0", *(f"/device:GPU:{i}" for i in range(devices))]
    # One op for reference and one for resource variables on each device.
    assert found == {"right": True, "devices": sorted(expected * 2)}


def test_replicas_of_two_gpus_average_their_components(gpu_step):
    found = gpu_step("mirrored", devices=2, delay_us=500)
    assert found["trained"] == [6.0, 6.0, 4.0, 8.0]  # The mean of both; each its own.
    assert [device[-5:] for device in found["devices"]] == ["GPU:0", "GPU:1"]
    assert (found["exact"], found["right"], found["beside"]) == (True, True, True)


def test_steps_reads_and_swaps_keep_their_order_when_the_device_is_slow(gpu_step):
    assert gpu_step("writes_and_reads", delay_us=2000) == {"average": True, "held": True}


def test_an_answer_is_of_the_values_at_its_place_when_the_device_is_slow(gpu_step):
    found = gpu_step("answers", delay_us=2000)
    assert found["answers"] == found["expected"]
    # Of a thousand variables: nothing else is asked for, and nothing waits.
    assert found["calls"] == {"memset": 1, "launch": 1, "memcpy": 1, "host_function": 1}


def test_lazy_rows_keep_their_order_and_ask_for_launches_alone(gpu_step):
    found = gpu_step("rows", delay_us=2000)
    # Of 60 tables: a launch takes 46, and clocks are moved on by launches of their own.
    assert found["calls"] == {
        "catch up": {"launch": 2},
        "advance": {"launch": 4},
        "catch up all": {"launch": 4},
    }
    assert found["values"] == [2.0 ** -(3 * i + 1) for i in range(5)] + [2.0**-15]


def test_a_device_without_an_image_is_told_what_to_do(gpu_step):
    found = gpu_step("refused", force_ptx=False)  # The emulated device refuses machine code.
    assert found["type"] == "FailedPreconditionError"
    assert found["unchanged"]
    assert "ResourceApplyMovingAverage" in found["message"]
    assert "CUDA_ERROR_NO_BINARY_FOR_GPU" in found["message"]


def test_a_launch_that_fails_changes_nothing_and_says_what_to_do(gpu_step):
    found = gpu_step("refused", refuse="moving_average_float32_1=719")
    assert found["type"] == "InternalError"
    assert found["unchanged"]
    assert "ResourceApplyMovingAverage" in found["message"]
    assert "CUDA_ERROR_LAUNCH_FAILED (719), unspecified launch failure." in found["message"]
    assert "CUDA_LAUNCH_BLOCKING=1 shows which" in found["message"]


def test_an_answer_whose_launch_fails_is_an_error(gpu_step):
    found = gpu_step("refused_answer", refuse="all_finite_float32=719")
    assert found["type"] == "InternalError"
    assert "ResourceAllFinite" in found["message"]
    assert "CUDA_ERROR_LAUNCH_FAILED (719)" in found["message"]
    assert found["value"] == [2.0] * 3
