"""Many threads on the same variables: no deadlock, no torn value, no leak."""

import random
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait

import pytest
import tensorflow as tf
from resident import resident_bytes

import tf_mavg
from tf_mavg import ops
from tf_mavg._ops import rows

# The longer run is for a leak that is smaller, or a deadlock that is rarer.
seconds = pytest.mark.parametrize("seconds", [8, pytest.param(60, marks=pytest.mark.long)])
THREADS = 8
PATIENCE = 60  # seconds beyond the time of an action's last start
# Several chunks, and in most lists more than a thread takes at once.
SIZE = 20_000


def hammer(actions: list[Callable[[], object]], seconds: float) -> list[int]:
    """Runs random actions on many threads; returns how many each thread finished.

    Raises:
        AssertionError: threads hang. As daemons they do not keep the process alive.
    """
    stop = time.monotonic() + seconds

    def work(finished: Future[int]) -> None:
        count = 0
        try:
            while time.monotonic() < stop:
                random.choice(actions)()
                count += 1
            finished.set_result(count)
        except BaseException as error:  # noqa: BLE001 - raised by the test.
            finished.set_exception(error)

    threads: list[Future[int]] = [Future() for _ in range(THREADS)]
    for finished in threads:
        threading.Thread(target=work, args=[finished], daemon=True).start()
    hanging = wait(threads, timeout=seconds + PATIENCE).not_done
    assert not hanging, f"a deadlock: {len(hanging)} of {THREADS} threads hang"
    return [finished.result() for finished in threads]


@pytest.mark.slow
@seconds
def test_updates_swaps_assignments_and_reads_at_once(seconds):
    # Every value that is ever assigned is uniform, and update and swap keep it so: an array of
    # two numbers is one that somebody read or wrote while another wrote.
    variables = [tf.Variable(tf.fill([SIZE], float(i))) for i in range(6)]
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    averages.apply(variables)
    held = [averages.average(v) for v in variables]
    binding = ops.Binding(held, variables)

    @tf.function
    def update_in_function() -> None:
        ops.apply_moving_average(held, variables, 0.5)

    def some_lists() -> tuple[list[tf.Variable], list[tf.Variable]]:
        # In any order and either way round: only ordered locks keep these from a deadlock.
        chosen = random.sample(list(zip(held, variables, strict=True)), 3)
        first, second = zip(*(random.sample(pair, 2) for pair in chosen), strict=True)
        return list(first), list(second)

    def read() -> None:
        value = random.choice(held + variables).numpy()
        assert value.min() == value.max(), "torn"

    actions = [
        lambda: binding.apply_moving_average(0.5),
        lambda: ops.apply_moving_average(*some_lists(), 0.25),
        lambda: ops.swap_variables(*some_lists()),
        lambda: ops.swap_variables(*some_lists(), copy=True),
        lambda: random.choice(held + variables).assign(tf.fill([SIZE], random.random())),
        update_in_function,
        binding.all_finite,
        lambda: ops.all_finite(random.sample(held + variables, 4)),
        read,
        read,
    ]
    hammer(actions, seconds / 6)  # Lets every allocator and thread pool take what it keeps.
    before = resident_bytes()
    assert min(hammer(actions, seconds * 5 / 6)) > 100
    # A leaked buffer is 80 kB, and thousands of actions ran.
    assert resident_bytes() - before < 40e6


@pytest.mark.cpu  # Nothing reports a decay that only a GPU knows.
def test_a_failed_update_releases_every_lock():
    variable, average = tf.Variable([1.0]), tf.Variable([0.0])
    with pytest.raises(tf.errors.InvalidArgumentError):
        ops.apply_moving_average([average], [variable], tf.constant(7.0))
    variable.assign_add([1.0])  # Would wait for ever.
    average.assign_add([1.0])


def test_a_swap_waits_for_an_update_that_reads():
    # At rate 1 the average becomes the variable, which is uniform, as is what it changes places
    # with: an average of two numbers has seen a swap of contents half way.
    size = 2_000_000
    variable, other = tf.Variable(tf.zeros([size])), tf.Variable(tf.ones([size]))
    average = tf.Variable(tf.zeros([size]))
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            ops.swap_variables([other], [variable], copy=True)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(100):
            ops.apply_moving_average([average], [variable], 0.0)
            value = average.numpy()
            assert value.min() == value.max(), "torn"
    finally:
        stop.set()
        thread.join()


def test_a_deadlock_is_reported(monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PATIENCE", 0.1)
    never = threading.Event()
    with pytest.raises(AssertionError, match=f"a deadlock: {THREADS} of {THREADS} threads hang"):
        hammer([never.wait], 0.1)
    never.set()


@pytest.mark.slow
@seconds
def test_rows_are_caught_up_while_others_write_read_and_swap(seconds):
    # Every row is uniform, whichever op writes it: one of two numbers would be a torn one.
    variables = [tf.Variable(tf.fill([2000, 33], float(i))) for i in range(4)]
    tables = [
        rows.make_row_table(tf.Variable(variable), variable, capacity=50) for variable in variables
    ]

    def some_rows(count: int) -> tf.Tensor:
        return tf.constant([random.randrange(2000) for _ in range(count)], tf.int64)

    def catch_up() -> None:
        chosen = random.sample(tables, 3)
        rows.catch_up_rows(chosen, [some_rows(500) for _ in chosen])

    def write() -> None:
        slices = tf.IndexedSlices(tf.zeros([200, 33]), some_rows(200))
        random.choice(variables).scatter_add(slices)

    def read() -> None:
        value = random.choice(tables).average.numpy()
        assert (value == value[:, :1]).all()

    def swap() -> None:
        table = random.choice(tables)
        ops.swap_variables([table.average], [table.variable])

    counts = hammer(
        [
            catch_up,
            write,
            read,
            swap,
            lambda: rows.catch_up_all_rows(random.sample(tables, 2)),
            lambda: rows.advance_row_clocks(random.sample(tables, 3), tf.constant(0.5)),
            lambda: random.choice(variables).assign(tf.fill([2000, 33], random.random())),
        ],
        seconds / 4,
    )
    assert min(counts) > 0
