"""Both Kerases under each strategy of one process: fit, evaluation and files of the averages."""

import keras
import numpy as np
import pytest
import strategies
import tensorflow as tf
import tf_keras
from oracle import assert_same_bits, updated

import tf_mavg.keras
import tf_mavg.tf_keras
from tf_mavg._ops.variables import tensorflow_variable

KERASES = [(keras, tf_mavg.keras), (tf_keras, tf_mavg.tf_keras)]
both = pytest.mark.parametrize(("k", "m"), KERASES, ids=["keras", "tf_keras"], scope="module")


def components(variable):
    return strategies.components(tensorflow_variable(variable))


def data():
    x, y = np.random.default_rng(0).normal(size=(2, 64, 4)).astype("float32")
    options = tf.data.Options()
    policy = tf.data.experimental.AutoShardPolicy.DATA
    options.experimental_distribute.auto_shard_policy = policy
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(16).repeat().with_options(options)


def model_of(k, optimizer, kind="mirrored"):
    layers = [k.layers.Dense(3), k.layers.Dense(4)]
    if (k, kind) != (keras, "central storage"):  # Keras 3 cannot normalize there.
        layers.insert(1, k.layers.BatchNormalization())
    model = k.Sequential(layers)
    model.build([None, 4])
    model.compile(optimizer, loss="mse", jit_compile=False)
    return model


def assert_all_same(variables, expected):
    """Asserts that every component of variables has its value, to the last bit."""
    for variable, values in zip(variables, expected, strict=True):
        for component, value in zip(components(variable), values, strict=True):
            assert_same_bits(component.numpy(), value)


@pytest.fixture(
    scope="module", params=[kind for kind in strategies.STRATEGIES if kind != "no strategy"]
)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def fitted(k, m, kind, logical_cpus):
    """A model after a fit, and what its averages and weights must be."""
    with strategies.STRATEGIES[kind](logical_cpus).scope():
        optimizer = m.MovingAverage(k.optimizers.Adam(0.01), 0.9)
        model = model_of(k, optimizer, kind)
        optimizer.build(model.trainable_variables)
    weights = model.trainable_variables
    expected = [[c.numpy() for c in components(optimizer.average(w))] for w in weights]

    def follow(batch, logs=None):  # noqa: ARG001 - as Keras calls it.
        for averages, weight in zip(expected, weights, strict=True):
            for i, component in enumerate(components(weight)):
                averages[i] = updated(averages[i], component.numpy(), 0.9)

    model.fit(
        data(),
        epochs=2,
        steps_per_epoch=5,
        shuffle=False,
        verbose=0,
        validation_data=data(),
        validation_steps=2,
        callbacks=[k.callbacks.LambdaCallback(on_train_batch_end=follow), m.EvaluateAverages()],
    )
    return model, optimizer, expected, [[c.numpy() for c in components(w)] for w in weights]


@pytest.mark.sampled
@both
def test_fit_averages_every_replicas_weights(fitted):
    model, optimizer, averages, weights = fitted
    trained = model.trainable_variables
    assert_all_same(map(optimizer.average, trained), averages)
    with optimizer.swapped():
        assert_all_same(trained, averages)
    assert_all_same(trained, weights)


@pytest.mark.parametrize("placement", ["replicated", "sharded"])
@both
def test_statistics_of_each_replica_are_averaged(k, m, placement, logical_cpus):
    with strategies.STRATEGIES["mirrored"](logical_cpus).scope():
        optimizer = m.MovingAverage(
            k.optimizers.Adam(0.01),
            0.9,
            placement=placement,
            extra_variables=lambda: model.non_trainable_variables,
        )
        model = model_of(k, optimizer)
        optimizer.build(model.trainable_variables)
    statistics = model.non_trainable_variables
    assert len(statistics) == 2
    expected = [[c.numpy() for c in components(v)] for v in statistics]

    def follow(batch, logs=None):  # noqa: ARG001 - as Keras calls it.
        for averages, variable in zip(expected, statistics, strict=True):
            for i, component in enumerate(components(variable)):
                averages[i] = updated(averages[i], component.numpy(), 0.9)

    follower = k.callbacks.LambdaCallback(on_train_batch_end=follow)
    model.fit(data(), steps_per_epoch=5, shuffle=False, verbose=0, callbacks=[follower])
    own = [[c.numpy() for c in components(v)] for v in statistics]
    if (k, placement) == (keras, "sharded"):  # Its statistics look as if all replicas had the same.
        owners = [optimizer.holder.entry_of(v).owner.index for v in statistics]
        expected = [[values[i]] * 2 for values, i in zip(expected, owners, strict=True)]
    with optimizer.swapped():
        assert_all_same(statistics, expected)
    assert_all_same(statistics, own)


@both
def test_a_fit_goes_on_without_a_strategy(k, m, kind, fitted, tmp_path):
    model, optimizer, averages, weights = fitted
    checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer)
    tf_mavg.SwappingCheckpointManager(checkpoint, optimizer, str(tmp_path)).save()
    alone = m.MovingAverage(k.optimizers.Adam(0.01), 0.9)
    resumed = model_of(k, alone, kind)
    alone.build(resumed.trainable_variables)
    one = tf.train.Checkpoint(model=resumed, optimizer=alone)
    tf_mavg.SwappingCheckpointManager(one, alone, str(tmp_path)).restore()
    for weight, (value, *_), (average, *_) in zip(
        resumed.trainable_variables, weights, averages, strict=True
    ):
        assert_same_bits(weight.numpy(), value)
        assert_same_bits(alone.average(weight).numpy(), average)


@both
@pytest.mark.parametrize("outside", [True, False], ids=["scaler outside", "scaler inside"])
def test_loss_scaling_skips_on_every_replica(k, m, outside, logical_cpus):
    strategy = tf.distribute.MirroredStrategy(logical_cpus[:2])
    scaler = k.optimizers.LossScaleOptimizer if k is keras else k.mixed_precision.LossScaleOptimizer
    with strategy.scope():
        inner = k.optimizers.SGD(1.0)
        if outside:
            optimizer = m.MovingAverage(inner, 0.5)
            whole = scaler(optimizer)
        else:
            optimizer = whole = m.MovingAverage(scaler(inner), 0.5)
        model = model_of(k, whole)
        whole.build(model.trainable_variables)
    weights = model.trainable_variables
    start = [[c.numpy() for c in components(w)] for w in weights]

    def train(value):
        gradients = [tf.fill(w.shape, value) for w in weights]
        whole.apply_gradients(zip(gradients, weights, strict=True))

    step = tf.function(lambda value: strategy.run(train, (value,)))
    step(tf.constant(np.inf))
    assert_all_same(map(optimizer.average, weights), start)
    step(tf.constant(1.0))
    for values, weight in zip(start, weights, strict=True):
        pairs = zip(components(optimizer.average(weight)), components(weight), strict=True)
        for value, (average, component) in zip(values, pairs, strict=True):
            assert (component.numpy() != value).all()
            assert_same_bits(average.numpy(), updated(value, component.numpy(), 0.5))


@both
@pytest.mark.parametrize("traced", [False, True], ids=["eager", "function"])
def test_gradients_added_up_by_hand_move_averages_once_an_update(k, m, traced, logical_cpus):
    strategy = strategies.STRATEGIES["mirrored"](logical_cpus)
    with strategy.scope():
        optimizer = m.MovingAverage(k.optimizers.SGD(1.0), 0.5)
        weight = keras.Variable([1.0]) if k is keras else tf.Variable([1.0])
        total = tf.Variable([0.0], synchronization=tf.VariableSynchronization.ON_READ)
        optimizer.build([weight])

    def add():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        total.assign_add([tf.cast(replica, tf.float32) + 1])

    def update():
        optimizer.apply_gradients([(total.read_value(), weight)])
        total.assign([0.0])

    steps = [lambda: strategy.run(add), lambda: strategy.run(update)]
    add_up, move = (tf.function(one, autograph=False) if traced else one for one in steps)
    expected = np.ones(1, np.float32)
    for _ in range(3):
        for _ in range(2):
            add_up()
        before = [one.numpy() for one in components(weight)]
        move()
        assert_all_same([weight], [[one - 6 for one in before]])  # Twice one, and twice two.
        expected = updated(expected, components(weight)[0].numpy(), 0.5)
        assert_all_same([optimizer.average(weight)], [[expected, expected]])


def accumulating(logical_cpus, *, run_eagerly):
    """A model of Keras 3 whose optimizer takes a step each second time."""
    with strategies.STRATEGIES["mirrored"](logical_cpus).scope():
        inner = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
        optimizer = tf_mavg.keras.MovingAverage(inner, 0.5)
        model = keras.Sequential([keras.layers.Input([4]), keras.layers.Dense(2)])
        model.compile(optimizer, loss="mse", jit_compile=False, run_eagerly=run_eagerly)
        optimizer.build(model.trainable_variables)
    return model, optimizer, (np.ones([24, 4], np.float32), np.ones([24, 2], np.float32))


def test_keras_accumulates_eagerly_and_moves_averages_once_an_update(logical_cpus):
    model, optimizer, batches = accumulating(logical_cpus, run_eagerly=True)
    weights = model.trainable_variables
    expected = [components(weight)[0].numpy() for weight in weights]
    before = list(expected)
    moved = []

    def follow(batch, logs=None):  # noqa: ARG001 - as Keras calls it.
        now = [components(weight)[0].numpy() for weight in weights]
        moved.append(now[0].tobytes() != before[0].tobytes())
        if moved[-1]:
            expected[:] = [updated(a, w, 0.5) for a, w in zip(expected, now, strict=True)]
        before[:] = now
        for value, weight in zip(expected, weights, strict=True):
            assert_all_same([optimizer.average(weight)], [[value] * 2])

    callback = keras.callbacks.LambdaCallback(on_train_batch_end=follow)
    model.fit(*batches, batch_size=4, verbose=0, callbacks=[callback])
    assert moved == [False, True] * 3


def test_keras_cannot_accumulate_in_a_function_of_replicas(logical_cpus):
    model, optimizer, batches = accumulating(logical_cpus, run_eagerly=False)
    before = [one.numpy().tobytes() for one in model.weights]
    reason = (
        r"gradient_accumulation_steps=2 under MirroredStrategy; run the step eagerly, as by "
        r"compile\(run_eagerly=True\), or add gradients up in variables of your own"
    )
    with pytest.raises(RuntimeError, match=reason):
        model.fit(*batches, batch_size=4, verbose=0)
    assert [one.numpy().tobytes() for one in model.weights] == before
    assert optimizer.iterations.numpy() == 0
