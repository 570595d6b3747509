"""SwappingCheckpointManager: what it refuses, what it knows, and that nothing is lost."""

import os

import numpy as np
import pytest
import tensorflow as tf

import tf_mavg

tf1 = tf.compat.v1


class Run:
    """A run with two variables, a step counter and averages."""

    def __init__(self, folder, *, rooted=False, made=True, start_missing_averages=False) -> None:
        """Makes the objects, in their first state; `made` makes averages too."""
        self.net = tf.Module()
        self.net.a, self.net.b = tf.Variable([1.0], name="a"), tf.Variable([[2.0, 3.0]], name="b")
        self.step = tf.Variable(0, dtype=tf.int64)
        self.averages = tf_mavg.ExponentialMovingAverage(0.5)
        if made:
            self.averages.create_averages(self.variables)
        parts = {"averages": self.averages, "step": self.step}
        self.checkpoint = (
            tf.train.Checkpoint(self.net, **parts)
            if rooted
            else tf.train.Checkpoint(net=self.net, **parts)
        )
        self.manager = tf_mavg.SwappingCheckpointManager(
            self.checkpoint,
            self.averages,
            str(folder),
            start_missing_averages=start_missing_averages,
        )

    @property
    def variables(self):
        """The variables with averages."""
        return [self.net.a, self.net.b]

    def train(self, steps: int = 1) -> "Run":
        """Takes steps."""
        for _ in range(steps):
            for variable in self.variables:
                variable.assign_add(tf.ones_like(variable))
            self.averages.apply(self.variables)
            self.step.assign_add(1)
        return self

    def state(self):
        """All that a checkpoint holds."""
        averages = [self.averages.average(variable) for variable in self.variables]
        return [one.numpy().tolist() for one in (*self.variables, *averages, self.step)]


rooted = pytest.mark.parametrize("rooted", [False, True], ids=["children", "root"])


@rooted
@pytest.mark.parametrize("made", [False, True], ids=["before averages", "averages made"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_fresh_process_resumes(rooted, made, is_async, tmp_path):
    run = Run(tmp_path, rooted=rooted).train(3)
    options = tf.train.CheckpointOptions(enable_async=is_async)
    run.manager.save(options=options)
    run.manager.sync()
    resumed = Run(tmp_path, rooted=rooted, made=made)
    assert resumed.manager.restore_or_initialize() == run.manager.latest_checkpoint
    assert resumed.state() == run.state()
    assert resumed.train().state() == run.train().state()


def test_asynchronous_saves_while_training_and_evaluation_go_on(tmp_path):
    run = Run(tmp_path)
    states = {}
    options = tf.train.CheckpointOptions(enable_async=True)
    for _ in range(4):
        path = run.train().manager.save(options=options)
        states[path] = run.state()
        with run.averages.swapped():  # The writer may be at work meanwhile.
            run.net.a.numpy()
    run.manager.sync()
    for path, state in states.items():
        run.manager.restore(path)
        assert run.state() == state


def test_an_asynchronous_save_has_the_averages_of_variables_made_since_the_first(tmp_path):
    run = Run(tmp_path)
    options = tf.train.CheckpointOptions(enable_async=True)
    run.manager.save(options=options)
    run.net.late = tf.Variable([4.0], name="late")
    run.averages.create_averages([run.net.late])
    run.averages.average(run.net.late).assign([6.0])
    for value in (8.0, 9.0):
        run.net.late.assign([value])
        path = run.manager.save(options=options)
        run.manager.sync()
        run.manager.restore(path)
        average = run.averages.average(run.net.late)
        assert (run.net.late.numpy(), average.numpy()) == (value, 6)


def test_a_plain_reader_of_an_asynchronous_checkpoint_finds_averages(tmp_path):
    run = Run(tmp_path).train(2)
    path = run.manager.save(options=tf.train.CheckpointOptions(enable_async=True))
    run.manager.sync()
    net = Run(tmp_path, made=False).net
    tf.train.Checkpoint(net=net).restore(path).expect_partial()
    assert net.a.numpy() == run.averages.average(run.net.a).numpy()


def test_what_a_checkpoint_must_track(tmp_path):
    run = Run(tmp_path)
    for tracked, words in (
        ({"net": run.net}, "must track the averages.*Checkpoint\\(model=model, averages=ema\\)"),
        ({"averages": run.averages}, "must track every variable.*one without 'a:0'"),
        ({"a": run.net.a, "averages": run.averages}, "must track every variable.*without 'b:0'"),
    ):
        with pytest.raises(ValueError, match=words):
            tf_mavg.SwappingCheckpointManager(
                tf.train.Checkpoint(**tracked), run.averages, str(tmp_path)
            )


def test_a_variable_that_came_later_is_missed_when_saving(tmp_path):
    run = Run(tmp_path).train()
    before = run.state()
    untracked = tf.Variable([0.0], name="untracked")
    run.averages.create_averages([untracked])
    with pytest.raises(ValueError, match="one without 'untracked:0'"):
        run.manager.save()
    assert (run.state(), [*tmp_path.iterdir()]) == (before, [])
    assert not run.averages.is_swapped


def test_in_a_graph_of_tensorflow_1_it_says_what_to_use(tmp_path):
    with tf.Graph().as_default():
        variable = tf1.get_variable("v", [2], use_resource=True)
        averages = tf_mavg.ExponentialMovingAverage(0.5)
        averages.apply([variable])
        checkpoint = tf.train.Checkpoint(v=variable, averages=averages)
        with pytest.raises(RuntimeError, match=r"eager mode.*MovingAverageOptimizer.swapping_s"):
            tf_mavg.SwappingCheckpointManager(checkpoint, averages, str(tmp_path))


def test_arguments_by_position_are_tensorflows(tmp_path):
    run = Run(tmp_path)
    manager = tf_mavg.SwappingCheckpointManager(
        run.checkpoint, run.averages, str(tmp_path), 3, 0.5, "name", run.step, 7
    )
    plain = tf.train.CheckpointManager(run.checkpoint, str(tmp_path), 3, 0.5, "name", run.step, 7)
    for attribute in ("_max_to_keep", "_keep_checkpoint_every_n_hours", "_checkpoint_prefix"):
        assert getattr(manager, attribute) == getattr(plain, attribute)
    assert manager.checkpoint_interval == 7


@pytest.mark.parametrize("resume", ["restore", "restore_or_initialize"])
def test_it_knows_the_step_that_it_restored(resume, tmp_path):
    Run(tmp_path).train(4).manager.save()
    run = Run(tmp_path)
    run.manager = tf_mavg.SwappingCheckpointManager(
        run.checkpoint, run.averages, str(tmp_path), step_counter=run.step, checkpoint_interval=2
    )
    getattr(run.manager, resume)()
    assert run.manager.save() is None
    assert run.train().manager.save() is None
    assert run.train().manager.save() is not None


def shape_differs(run):
    run.net.b = tf.Variable([[0.0, 0.0, 0.0]], name="b")
    run.averages = tf_mavg.ExponentialMovingAverage(0.5)
    run.checkpoint = tf.train.Checkpoint(net=run.net, averages=run.averages, step=run.step)


def variable_is_missing(run):
    run.net.c = tf.Variable([0.0], name="c")


def average_is_missing(run):
    run.net.c = tf.Variable([0.0], name="c")
    run.averages.create_averages([run.net.c])


def file_is_cut(run):
    for data in run.folder.glob("*.data-*"):
        os.truncate(data, 100)


@pytest.mark.parametrize(
    "spoil", [shape_differs, variable_is_missing, average_is_missing, file_is_cut]
)
@pytest.mark.parametrize("made", [False, True], ids=["before averages", "averages made"])
def test_a_restore_that_fails_has_changed_nothing(spoil, made, tmp_path):
    path = Run(tmp_path).train(3).manager.save()
    run = Run(tmp_path, made=made)
    run.folder = tmp_path
    spoil(run)
    manager = tf_mavg.SwappingCheckpointManager(run.checkpoint, run.averages, str(tmp_path))
    values = [one.numpy().tolist() for one in (*run.variables, run.step)]
    count = run.averages.holder.count
    with pytest.raises((ValueError, AssertionError, IndexError)):
        manager.restore(path)
    assert [one.numpy().tolist() for one in (*run.variables, run.step)] == values
    assert run.averages.holder.count == count
    assert not run.averages.is_swapped
    # Nor is it kept for what is made later.
    run.averages.create_averages(run.variables)
    late = tf.Variable([5.0], name="late")
    run.checkpoint.late = late
    for variable in run.variables:
        assert run.averages.average(variable).numpy().tolist() == variable.numpy().tolist()
    run.averages.apply(run.variables)


def test_a_restore_that_fails_is_not_kept_for_what_is_tracked_later(tmp_path):
    saved = Run(tmp_path)
    saved.checkpoint.extra = tf.Variable(1.0)
    path = saved.manager.save()
    run = Run(tmp_path)
    run.net.c = tf.Variable([0.0], name="c")  # The file lacks it.
    with pytest.raises(AssertionError):
        run.manager.restore(path)
    run.checkpoint.extra = tf.Variable(5.0)
    assert run.checkpoint.extra.numpy() == 5.0
    del run.net.c
    run.manager.restore(path)
    assert run.checkpoint.extra.numpy() == 1.0


def test_an_interrupt_in_a_restore_has_changed_nothing(tmp_path, monkeypatch):
    path = Run(tmp_path).train(3).manager.save()
    run = Run(tmp_path)
    before = run.state()
    swap = run.averages.holder.swaps.swap

    def interrupted():
        swap()
        raise KeyboardInterrupt

    monkeypatch.setattr(run.averages.holder.swaps, "swap", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.manager.restore(path)
    assert run.state() == before
    assert not run.averages.is_swapped


def test_new_heads_start_at_their_variables(tmp_path):
    path = Run(tmp_path).train(3).manager.save()
    run = Run(tmp_path, start_missing_averages=True)
    run.net.head = tf.Variable([9.0], name="head")
    run.averages.create_averages([run.net.head])
    run.averages.average(run.net.head).assign([0.0])
    run.manager.restore(path)
    assert run.state() == Run(tmp_path).train(3).state()
    assert run.averages.average(run.net.head).numpy() == run.net.head.numpy() == [9.0]


@pytest.mark.parametrize("with_averages", [False, True])
def test_a_plain_checkpoint_is_read_rightly_where_that_is_asked_for(with_averages, tmp_path):
    run = Run(tmp_path).train(3)
    plain = run.checkpoint if with_averages else tf.train.Checkpoint(net=run.net, step=run.step)
    path = plain.save(str(tmp_path / "plain"))
    resumed = Run(tmp_path, start_missing_averages=True)
    resumed.manager.restore(path)
    weights, averages = run.state()[:2], run.state()[2:4]
    assert resumed.state() == [*weights, *(averages if with_averages else weights), 3]


def test_while_swapped_by_a_plain_restore_steps_are_refused_before_they_train(tmp_path):
    run = Run(tmp_path).train(2)
    optimizer = tf_mavg.MovingAverageOptimizer(tf1.train.GradientDescentOptimizer(1.0), 0.5)
    variable = tf.Variable([1.0])
    optimizer.averages.create_averages([variable])
    checkpoint = tf.train.Checkpoint(v=variable, optimizer=optimizer)

    @tf.function
    def step():
        optimizer.apply_gradients([(tf.constant([1.0]), variable)])

    step()
    manager = tf_mavg.SwappingCheckpointManager(checkpoint, optimizer, str(tmp_path))
    path = manager.save()
    before = variable.numpy(), optimizer.averages.average(variable).numpy()
    checkpoint.restore(path)
    assert optimizer.averages.is_swapped
    for train in (step, step.python_function):
        with pytest.raises((RuntimeError, tf.errors.InvalidArgumentError), match="swapped"):
            train()
        assert variable.numpy() == before[1]
    optimizer.averages.swap()
    assert (variable.numpy(), optimizer.averages.average(variable).numpy()) == before
    step()
    assert run.state() == run.state()


def test_a_save_while_swapped_names_the_way_out(tmp_path):
    run = Run(tmp_path).train()
    for save in (run.manager.save, lambda: run.checkpoint.save(str(tmp_path / "c"))):
        with run.averages.swapped(), pytest.raises(RuntimeError, match="swapped"):
            save()
    with run.averages.swapped(), pytest.raises(RuntimeError, match=r"swapped_for_saving\(\)"):
        run.checkpoint.save(str(tmp_path / "c"))
    assert not [*tmp_path.glob("c*")]
    with run.averages.swapped_for_saving():
        path = run.checkpoint.save(str(tmp_path / "c"))
    before = run.state()
    Run(tmp_path).train(5)
    run.manager.restore(path)
    assert run.state() == before


def test_after_a_save_that_failed_one_while_swapped_is_refused(tmp_path, monkeypatch):
    run = Run(tmp_path).train()
    before = run.state()

    def fail(*_: object) -> None:
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(tf.train.CheckpointManager, "save", fail)
        with pytest.raises(OSError):  # noqa: PT011 - the one above.
            run.manager.save()
    assert not run.averages.is_swapped
    assert run.state() == before
    with run.averages.swapped(), pytest.raises(RuntimeError, match=r"swapped_for_saving\(\)"):
        run.checkpoint.save(str(tmp_path / "c"))
    assert not [*tmp_path.glob("c*")]
    run.manager.save()


def test_after_a_save_one_while_swapped_otherwise_is_refused(tmp_path):
    run = Run(tmp_path).train()
    run.manager.save()
    run.averages.swap()
    with pytest.raises(RuntimeError, match=r"swapped_for_saving\(\)"):
        run.checkpoint.save(str(tmp_path / "c"))
    run.averages.swap()
    run.checkpoint.save(str(tmp_path / "c"))


def test_a_plain_checkpoint_ends_the_swap_of_a_plain_restore(tmp_path):
    run = Run(tmp_path, start_missing_averages=True).train()
    swapped = run.manager.save()
    plain = tf.train.Checkpoint(net=run.net, step=run.step).save(str(tmp_path / "plain"))
    a, b, *_ = run.state()
    run.train()
    run.checkpoint.restore(swapped)
    assert run.averages.is_swapped
    run.manager.restore(plain)
    assert not run.averages.is_swapped
    assert run.state() == [a, b, a, b, 1]


def test_every_bit_comes_back(tmp_path, rng):
    values = rng.integers(0, 256, 400, np.uint8).view(np.float32)
    run = Run(tmp_path)
    run.net.c = tf.Variable(values, name="c")
    run.averages.create_averages([run.net.c])
    run.averages.average(run.net.c).assign(values[::-1])
    path = run.manager.save()
    run.net.c.assign(tf.zeros(100))
    run.manager.restore(path)
    assert run.net.c.numpy().tobytes() == values.tobytes()
    assert run.averages.average(run.net.c).numpy().tobytes() == values[::-1].tobytes()


def test_a_refused_restore_leaves_another_holders_averages_in_their_places(tmp_path):
    run = Run(tmp_path / "fast").train(2)
    path = run.manager.save()
    slow = tf_mavg.ExponentialMovingAverage(0.9)
    slow.create_averages(run.variables)
    both = tf.train.Checkpoint(net=run.net, averages=run.averages, slow=slow)
    manager = tf_mavg.SwappingCheckpointManager(both, slow, str(tmp_path / "slow"))
    before = run.state()
    with pytest.raises(ValueError, match="must be one of a SwappingCheckpointManager"):
        manager.restore(path)
    assert not run.averages.is_swapped
    assert run.state() == before
    run.train()


def test_a_refused_restore_leaves_the_count_of_saves(tmp_path):
    run = Run(tmp_path).train(1)
    path = [run.checkpoint.save(str(tmp_path / "plain")) for _ in range(3)][-1]
    fresh = Run(tmp_path / "fresh")
    with pytest.raises(ValueError, match="must be one of a SwappingCheckpointManager"):
        fresh.manager.restore(path)
    assert fresh.checkpoint.save_counter.numpy() == 0


@pytest.mark.parametrize("tracked", ["net", "nothing"])
def test_a_session_refuses_averages_in_the_place_of_variables(tracked, tmp_path):
    run = Run(tmp_path / "manager").train(3)
    swapped, plain = run.manager.save(), run.checkpoint.write(str(tmp_path / "plain"))
    expected = run.state()[2:4]
    with tf.Graph().as_default(), tf1.Session() as session:
        net = tf.Module()
        net.a, net.b = tf.Variable([0.0], name="a"), tf.Variable([[0.0, 0.0]], name="b")
        averages = tf_mavg.ExponentialMovingAverage(0.5)
        averages.create_averages([net.a, net.b])
        objects = {"net": net} if tracked == "net" else {}
        checkpoint = tf.train.Checkpoint(**objects, averages=averages)
        with pytest.raises(RuntimeError, match="in the place of variables; restore it by"):
            checkpoint.restore(swapped)
        status = checkpoint.restore(plain).expect_partial()
        if tracked == "net":
            status.initialize_or_restore(session)
            received = session.run([averages.average(one) for one in (net.a, net.b)])
            assert [value.tolist() for value in received] == expected


def test_variables_without_an_average_in_the_file_get_their_values(tmp_path):
    both = {"a": tf.Variable([1.0]), "b": tf.Variable([2.0])}
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    averages.create_averages([both["a"]])
    checkpoint = tf.train.Checkpoint(averages=averages, **both)
    path = tf_mavg.SwappingCheckpointManager(checkpoint, averages, str(tmp_path)).save()
    variable, others = tf.Variable([0.0]), tf_mavg.ExponentialMovingAverage(0.5)
    checkpoint = tf.train.Checkpoint(averages=others, b=variable)
    tf_mavg.SwappingCheckpointManager(checkpoint, others, str(tmp_path)).restore(path)
    assert variable.numpy() == 2
    assert others.average(variable) is None
    others.apply([variable])  # It is not swapped.
    with others.swapped():
        assert variable.numpy() == 2
