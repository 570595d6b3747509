"""Averages of a graph start at what their variables start at, however late that is decided."""

from pathlib import Path

import graphs
import numpy as np
import pytest
import tensorflow as tf
from graphs import VARIABLE_KINDS

import tf_mavg

tf1 = tf.compat.v1

kinds = pytest.mark.parametrize("kind", VARIABLE_KINDS)
whole_kinds = pytest.mark.parametrize("kind", ["reference", "resource"])


def make(kind: str, name: str = "w", start: float = 0.0) -> tf.Variable:
    partitioner = tf1.fixed_size_partitioner(2) if "partitioned" in kind else None
    return tf1.get_variable(
        name,
        [2, 1],
        initializer=tf1.constant_initializer(start),
        use_resource="resource" in kind,
        partitioner=partitioner,
    )


def pretrained(folder: Path, **values: float) -> str:
    """The path of a plain checkpoint."""
    with tf.Graph().as_default(), tf1.Session() as session:
        variables = [make("resource", name, value) for name, value in values.items()]
        session.run(tf1.global_variables_initializer())
        return tf1.train.Saver(variables).save(session, str(folder / "pretrained"))


def minimize(variable: tf.Variable) -> tf_mavg.MovingAverageOptimizer:
    optimizer = tf_mavg.MovingAverageOptimizer(tf1.train.GradientDescentOptimizer(0.0), 0.5)
    optimizer.minimize(tf.reduce_sum(tf.convert_to_tensor(variable)))
    return optimizer


def both(
    session: tf1.Session, optimizer: tf_mavg.MovingAverageOptimizer, variable: tf.Variable
) -> list[list[float]]:
    """The elements of the variable, and of its average."""
    shards = [variable] if isinstance(variable, tf.Variable) else list(variable)
    averages = [optimizer.averages.average(shard) for shard in shards]
    return [np.concatenate(session.run(part)).ravel().tolist() for part in (shards, averages)]


def init_from_checkpoint(path: str, _: Path) -> None:
    tf1.train.init_from_checkpoint(path, {"w": "w"})


def warm_start(path: str, _: Path) -> None:
    tf1.train.warm_start(path, ".*w")


def warm_start_by_vocabulary(path: str, folder: Path) -> None:
    words = folder / "words"
    words.write_text("x\ny\n")
    info = tf1.train.VocabInfo(str(words), 2, 0, str(words))
    tf1.train.warm_start(path, "w", var_name_to_vocab_info={"w": info})


@pytest.mark.sampled(pairs=True)
@kinds
@pytest.mark.parametrize("how", [init_from_checkpoint, warm_start, warm_start_by_vocabulary])
@pytest.mark.parametrize("order", ["before minimize", "after minimize", "after an initializer"])
def test_averages_start_at_warm_started_values(kind, how, order, tmp_path):
    path = pretrained(tmp_path, w=100.0)
    with tf.Graph().as_default():
        variable = make(kind)
        if order == "before minimize":
            how(path, tmp_path)
        optimizer = minimize(variable)
        if order == "after an initializer":
            with tf1.Session() as session:
                session.run(tf1.variables_initializer(optimizer.variables()))
        if order != "before minimize":
            how(path, tmp_path)
        initializer = tf1.global_variables_initializer()
        for _ in range(3):  # The order of a run is not the same each time.
            with tf1.Session() as session:
                session.run(initializer)
                assert both(session, optimizer, variable) == [[100.0, 100.0]] * 2


@kinds
@pytest.mark.parametrize("first", ["variables", "averages"])
def test_variables_and_averages_may_be_initialized_apart(kind, first, tmp_path):
    path = pretrained(tmp_path, w=100.0)
    with tf.Graph().as_default(), tf1.Session() as session:
        variable = make(kind)
        optimizer = minimize(variable)
        init_from_checkpoint(path, tmp_path)
        averages = tf1.variables_initializer(optimizer.variables())
        variables = tf1.variables_initializer(tf1.trainable_variables())
        order = [variables, averages] if first == "variables" else [averages, variables]
        for initializer in order:
            session.run(initializer)
        assert both(session, optimizer, variable) == [[100.0, 100.0]] * 2


@kinds
def test_an_average_starts_at_the_value_that_the_variable_has(kind, tmp_path):
    path = pretrained(tmp_path, w=100.0)
    with tf.Graph().as_default(), tf1.Session() as session:
        variable = make(kind, start=1.0)
        session.run(tf1.global_variables_initializer())
        shards = tf1.trainable_variables()
        session.run([tf1.assign_add(shard, tf.ones_like(shard)) for shard in shards])
        optimizer = minimize(variable)
        init_from_checkpoint(path, tmp_path)  # Too late: it is initialized already.
        session.run(tf1.variables_initializer(optimizer.variables()))
        assert both(session, optimizer, variable) == [[2.0, 2.0]] * 2


@whole_kinds
def test_an_average_may_be_warm_started_by_itself(kind, tmp_path):
    with tf.Graph().as_default(), tf1.Session() as session:
        variable = make(kind)
        optimizer = minimize(variable)
        session.run(tf1.global_variables_initializer())
        average = optimizer.averages.average(variable)
        session.run([tf1.assign(variable, [[3.0], [3.0]]), tf1.assign(average, [[2.0], [2.0]])])
        path = tf1.train.Saver().save(session, str(tmp_path / "model"))
    for names in (["w", "w/ExponentialMovingAverage"], ["w/ExponentialMovingAverage", "w"]):
        with tf.Graph().as_default(), tf1.Session() as session:
            variable = make(kind)
            optimizer = minimize(variable)
            made = {
                "w": variable,
                "w/ExponentialMovingAverage": optimizer.get_slot(variable, "average"),
            }
            for name in names:
                tf1.train.init_from_checkpoint(path, {name: made[name]})
            session.run(tf1.global_variables_initializer())
            assert both(session, optimizer, variable) == [[3.0, 3.0], [2.0, 2.0]]


@whole_kinds
def test_an_initializer_that_is_no_assignment(kind):
    with tf.Graph().as_default(), tf1.Session() as session:
        variable = make(kind, start=5.0)
        optimizer = minimize(variable)
        variable._initializer_op = tf.group(variable.initializer)
        session.run(tf1.global_variables_initializer())
        assert both(session, optimizer, variable) == [[5.0, 5.0]] * 2


@kinds
def test_scopes_around_the_question_for_an_initializer_do_not_count(kind, tmp_path):
    path = pretrained(tmp_path, w=100.0)
    with tf.Graph().as_default() as graph, tf1.Session() as session:
        variable = make(kind)
        optimizer = minimize(variable)
        init_from_checkpoint(path, tmp_path)
        averages = optimizer.variables()
        with tf.Graph().as_default():
            made = averages[0].initializer
        assert made.graph is graph
        init_from_checkpoint(path, tmp_path)
        never = tf1.placeholder(tf.float32)
        with (
            tf.control_dependencies([never]),
            tf.device("/gpu:7"),
            tf.name_scope("scope"),
            graph.colocate_with(never.op),
        ):
            initializers = [average.initializer for average in optimizer.variables()]
        session.run([tf1.variables_initializer(tf1.trainable_variables()), *initializers])
        assert both(session, optimizer, variable) == [[100.0, 100.0]] * 2
        assert not [op.name for op in graph.get_operations() if op.name.startswith("scope")]


@kinds
def test_a_finalized_graph_can_be_exported(kind, tmp_path):
    """Its savers ask for the names of the initializers, which are too late to be made anew."""
    with graphs.model(kind) as model:
        saver = model.optimizer.swapping_saver()
        model.initialize()
        tf1.train.init_from_checkpoint(
            saver.save(model.session, str(tmp_path / "model")), {"model/kernel": "model/kernel"}
        )
        tf1.get_default_graph().finalize()
        saver.save(model.session, str(tmp_path / "model"))


@kinds
@pytest.mark.parametrize("asked", [False, True])
def test_what_is_exported_initializes_averages_too(kind, asked, tmp_path):
    path = pretrained(tmp_path, w=100.0)
    with tf.Graph().as_default():
        variable = make(kind)
        minimize(variable)
        if asked:
            init_from_checkpoint(path, tmp_path)
            tf1.global_variables_initializer()
        expected = 100.0 if asked else 0.0
        meta = tf1.train.export_meta_graph()
        if not asked:
            init_from_checkpoint(path, tmp_path)
            tf1.train.export_meta_graph()  # As far as it goes: nobody has asked to initialize yet.
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.train.import_meta_graph(meta)
        session.run(tf1.global_variables_initializer())
        values = [value.ravel().tolist() for value in session.run(tf1.global_variables())]
        count = 2 if "partitioned" in kind else 1
        assert values == [[expected] * (2 // count)] * 2 * count


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_variable_made_in_the_function_that_averages_it(jit_compile):
    averages, made = tf_mavg.ExponentialMovingAverage(0.5), []

    @tf.function(jit_compile=jit_compile)
    def step():
        if not made:
            made.append(tf.Variable([1.0, 2.0]))
        averages.create_averages(made)
        made[0].assign_add([1.0, 1.0])
        averages.apply(made)

    for _ in range(2):
        step()
    assert made[0].numpy().tolist() == [3.0, 4.0]
    assert averages.average(made[0]).numpy().tolist() == [2.25, 3.25]
