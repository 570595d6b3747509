"""Programs for test_gpu_step, each run in a process on the emulated GPU: `python gpu_step.py NAME`.

Each prints one JSON object.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from emitted import updates
from gpu_emulator.environment import Log
from oracle import updated

import tf_mavg
from tf_mavg import ops
from tf_mavg._ops import rows as row_ops

tf1 = tf.compat.v1
VARIABLES = 1000
# Three chunks and a tail.
SIZE = 12_300


def calls_of_a_step() -> dict[str, Counter]:
    """What the driver is asked for by one step over VARIABLES variables, by way of taking it."""
    log = Log(os.environ["TF_MAVG_EMULATOR_LOG"])
    variables = [tf.Variable(tf.zeros([7])) for _ in range(VARIABLES)]
    averages = [tf.Variable(tf.ones([7])) for _ in range(VARIABLES)]
    binding = ops.Binding(averages, variables)
    maintained = tf_mavg.ExponentialMovingAverage(0.99)
    rates, decay = tf.constant([0.01]), tf.constant(0.99)
    three = [[tf.Variable(tf.ones([7])) for _ in range(VARIABLES)] for _ in range(3)]
    three_rates = tf.constant([0.1, 0.01, 0.001])

    @tf.function
    def update_in_function() -> None:
        ops.apply_moving_average(averages, variables, rates=rates)

    @tf.function
    def update_of_a_binding_in_function() -> None:
        binding.apply_moving_average(rates=rates)

    steps: dict[str, Callable[[], object]] = {
        "update": lambda: ops.apply_moving_average(averages, variables, rates=rates),
        "update in a function": update_in_function,
        "update of a binding": lambda: binding.apply_moving_average(rates=rates),
        "update of a binding in a function": update_of_a_binding_in_function,
        "update of a binding by a decay": lambda: binding.apply_moving_average(decay),
        "update of three averages": lambda: ops.apply_moving_average(
            three, variables, rates=three_rates
        ),
        "ExponentialMovingAverage": lambda: maintained.apply(variables),
        "exchange": lambda: ops.swap_variables(averages, variables),
        "copying swap": lambda: ops.swap_variables(averages, variables, copy=True),
    }
    found = {}
    for name, step in steps.items():
        for _ in range(3):  # Makes averages, traces, loads modules; leaves no reader behind.
            step()
        variables[0].numpy()
        log.since_last()
        step()
        found[name] = Counter(record["call"] for record in log.since_last())
    return found


def training() -> dict[str, bool]:
    """Trains on every GPU and the CPU at once, in a Session; whether the values come out right."""
    devices = ["/cpu:0"] + [f"/gpu:{i}" for i in range(len(tf.config.list_physical_devices("GPU")))]
    with tf.Graph().as_default() as graph, tf1.Session() as session:
        variables = []
        for device in devices:
            with tf.device(device):
                for use_resource in (False, True):
                    initial = tf1.constant_initializer(1.0)
                    name = f"v{len(variables)}"
                    variables.append(
                        tf1.get_variable(
                            name, [SIZE], initializer=initial, use_resource=use_resource
                        )
                    )
        gradients = [(tf.fill([SIZE], -1.0), variable) for variable in variables]
        optimizer = tf_mavg.MovingAverageOptimizer(tf1.train.GradientDescentOptimizer(1.0), 0.5)
        train_op = optimizer.apply_gradients(gradients)
        session.run(tf1.global_variables_initializer())
        averages = [optimizer.averages.average(v) for v in variables]
        expected = 1.0
        right = True
        for step in range(4):
            session.run(train_op)
            expected -= (expected - (step + 2)) * 0.5
            right &= all((value == expected).all() for value in session.run(averages))
        with optimizer.averages.swapped():
            right &= all((value == expected).all() for value in session.run(variables))
        right &= all((value == 5).all() for value in session.run(variables))
        return {"right": bool(right), "devices": sorted(op.device for op in updates(graph))}


def mirrored() -> dict[str, object]:
    """Trains a variable and statistics of two GPUs; whether all comes out right, and where."""
    gpus = ["/gpu:0", "/gpu:1"]
    # No NCCL: the emulator has none.
    strategy = tf.distribute.MirroredStrategy(gpus, tf.distribute.ReductionToOneDevice())
    mean = tf.VariableAggregation.MEAN
    with strategy.scope():
        weight = tf.Variable(tf.zeros([SIZE]), aggregation=mean)
        on_read = tf.VariableSynchronization.ON_READ
        statistics = tf.Variable(
            tf.zeros([SIZE]), trainable=False, aggregation=mean, synchronization=on_read
        )
    variables = [weight, statistics]
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    averages.create_averages(variables)
    pairs = [pair for entry in averages.holder.entries() for pair in entry.pairs]

    @tf.autograph.experimental.do_not_convert
    def replica_step() -> None:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        amount = tf.fill([SIZE], tf.cast(replica, tf.float32) + 1)
        with tf.control_dependencies(averages.guard()):
            weight.assign_add(amount)
            statistics.assign_add(amount)
            averages.apply(variables)

    step = tf.function(lambda: strategy.run(replica_step), autograph=False)
    expected = [average.numpy() for average, _ in pairs]
    for _ in range(4):
        step()
        expected = [
            updated(average, variable.numpy(), 0.5)
            for average, (_, variable) in zip(expected, pairs, strict=True)
        ]
    before = [[one.numpy().tobytes() for one in pair] for pair in pairs]
    with averages.swapped():
        swapped = [[one.numpy().tobytes() for one in pair[::-1]] for pair in pairs]
        try:
            step()
            refused = False
        except tf.errors.InvalidArgumentError:
            refused = True
    after = [[one.numpy().tobytes() for one in pair] for pair in pairs]
    return {
        "right": before == after == swapped and refused,
        "exact": [pair[0] for pair in before] == [value.tobytes() for value in expected],
        "trained": [float(variable.numpy()[-1]) for _, variable in pairs],
        "beside": all(average.device == variable.device for average, variable in pairs),
        "devices": [op.device for op in updates(step.get_concrete_function().graph)],
    }


def writes_and_reads() -> dict[str, bool]:
    """Steps and reads that follow each other at once, on values that the step before made."""
    variable = tf.Variable(tf.zeros([SIZE]))
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    averages.apply([variable])
    expected = held_at = 0.0
    held = None
    for step in range(1, 7):
        variable.assign_add(tf.ones([SIZE]))
        averages.apply([variable])
        expected -= (expected - step) * 0.5
        if step == 3:
            # Reads it while later steps go on: they must not write what is being read.
            held, held_at = averages.average(variable).read_value(), expected
        if step == 5:
            averages.swap()
            averages.swap()
    return {
        "average": bool((averages.average(variable).numpy() == np.float32(expected)).all()),
        "held": bool((held.numpy() == np.float32(held_at)).all()),
    }


def answers() -> dict[str, object]:
    """Whether values that follow each other at once are finite, and what one answer asks for."""
    variable = tf.Variable(tf.zeros([SIZE]))
    values = [0.0, np.inf, 1.0, np.nan, -np.inf, 2.0, np.nan, 3.0]

    def on_host(variables: list[tf.Variable]) -> tf.Tensor:
        answer = ops.all_finite(variables)
        with tf.device("/cpu:0"):  # Uses it as soon as it is there, without a copy.
            return tf.where(answer, 1, 0)

    @tf.function
    def each_in_order() -> list[tf.Tensor]:
        found = []
        for value in values:
            variable.assign(tf.fill([SIZE], value))
            found.append(on_host([variable]))
        return found

    found = [[bool(answer) for answer in each_in_order()] for _ in range(3)]
    many = [tf.Variable(tf.zeros([7])) for _ in range(VARIABLES)]
    of_many = tf.function(lambda: on_host(many))
    log = Log(os.environ["TF_MAVG_EMULATOR_LOG"])
    for _ in range(3):
        of_many()
    log.since_last()
    of_many()
    return {
        "answers": found,
        "expected": [[bool(np.isfinite(value)) for value in values]] * 3,
        "calls": Counter(record["call"] for record in log.since_last()),
    }


def rows() -> dict[str, object]:
    """Lazy steps, reads and looks that follow each other at once, and what one of them asks for."""
    log = Log(os.environ["TF_MAVG_EMULATOR_LOG"])
    averages, variables = (
        [tf.Variable(tf.fill([50, 7], value)) for _ in range(60)] for value in (1.0, 0.0)
    )
    tables = [
        row_ops.make_row_table(*pair, capacity=2) for pair in zip(averages, variables, strict=True)
    ]
    rate = tf.constant(0.5)
    indices = [tf.constant([3, 9, 3])] * len(tables)
    steps: dict[str, Callable[[], object]] = {
        "catch up": lambda: row_ops.catch_up_rows(tables, indices),
        "advance": lambda: row_ops.advance_row_clocks(tables, rate),
        "catch up all": lambda: row_ops.catch_up_all_rows(tables),
    }
    held, calls = [], {}
    for _ in range(5):  # Clocks are full four times.
        for step in steps.values():
            step()
        steps["advance"]()
        steps["advance"]()
        held.append(averages[-1].read_value())
        variables[0].assign_add(tf.zeros([50, 7]))
    steps["catch up all"]()
    values = [float(value.numpy()[3, 0]) for value in [*held, averages[-1]]]
    for name, step in steps.items():
        log.since_last()
        step()
        calls[name] = Counter(record["call"] for record in log.since_last())
    return {"calls": calls, "values": values}


def refused() -> dict[str, object]:
    """The error of a device for which there is no image, and whether the average is untouched."""
    average, variable = tf.Variable(tf.ones([3])), tf.Variable(tf.zeros([3]))
    try:
        ops.apply_moving_average([average], [variable], 0.9)
    except tf.errors.OpError as error:
        return {
            "type": type(error).__name__,
            "message": error.message,
            "unchanged": average.numpy().tolist() == [1.0] * 3,
        }
    return {}


def refused_answer() -> dict[str, object]:
    """The error of an answer whose kernel is not launched, and whether the variable is free."""
    variable = tf.Variable(tf.ones([3]))
    try:
        ops.all_finite([variable])
    except tf.errors.OpError as error:
        variable.assign_add(tf.ones([3]))
        return {
            "type": type(error).__name__,
            "message": error.message,
            "value": variable.numpy().tolist(),
        }
    return {}


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()))
