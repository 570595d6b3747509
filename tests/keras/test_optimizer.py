"""MovingAverage of tf_mavg.keras and tf_mavg.tf_keras: the wrapped training, and its averages."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from failed_steps import failing_steps, take_steps
from keras_models import (
    DECAY,
    KERAS,
    TF_KERAS,
    averages,
    compiled_faces,
    data,
    exact,
    faces,
    make,
    values,
    wrap,
)
from oracle import assert_same_bits, split, updated

import tf_mavg

jit = pytest.mark.parametrize("jit_compile", [False, True], ids=["plain", "jit_compile"])


def assert_follows(received, before, weights, decay=DECAY):
    """Asserts that averages moved by one step; compiled, within a unit in the last place."""
    for average, start, weight in zip(received, before, weights, strict=True):
        expected = updated(start, weight.astype(start.dtype), decay)
        np.testing.assert_allclose(average, expected, rtol=3e-7, atol=1e-7)


@compiled_faces
def test_averages_start_at_the_weights_and_follow_every_step(face, jit_compile):
    x, y = data()
    optimizer = face.wrap("adam")
    model = face.make(optimizer, jit_compile=jit_compile)
    expected = values(model.trainable_variables)
    for _ in range(5):
        model.train_on_batch(x, y)
        received = averages(optimizer, model)
        assert_follows(received, expected, values(model.trainable_variables))
        expected = received


OPTIMIZERS = {
    "adam": lambda face: face.keras.optimizers.Adam(0.01),
    "schedule": lambda face: face.keras.optimizers.SGD(
        face.keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5), momentum=0.9
    ),
    "clipping": lambda face: face.keras.optimizers.RMSprop(0.01, global_clipnorm=0.1),
    "weight decay": lambda face: face.keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "loss scale": lambda face: face.loss_scale(face.keras.optimizers.SGD(0.1)),
    # Keras 3 only.
    "accumulation": lambda face: face.keras.optimizers.Adam(0.01, gradient_accumulation_steps=2),
}


def assert_trains_as_alone(face, name, jit_compile):
    x, y = data()
    weights = []
    for wrapper in (lambda optimizer: optimizer, face.wrap):
        model = face.make(wrapper(OPTIMIZERS[name](face)), jit_compile=jit_compile)
        model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
        weights.append(values(model.trainable_variables))
    for plain, wrapped in zip(*weights, strict=True):
        np.testing.assert_allclose(wrapped, plain, rtol=1e-5, atol=1e-7)


@pytest.mark.sampled
@pytest.mark.slow
@jit
@pytest.mark.parametrize(
    "name",
    [
        *("adam", "loss scale", "accumulation"),
        *(
            pytest.param(n, marks=pytest.mark.long)
            for n in ("schedule", "clipping", "weight decay")
        ),
    ],
)
def test_training_is_the_wrapped_optimizers(name, jit_compile):
    assert_trains_as_alone(KERAS, name, jit_compile)


@pytest.mark.parametrize(
    "name", ["adam", *(pytest.param(name, marks=pytest.mark.slow) for name in [*OPTIMIZERS][1:-1])]
)
def test_training_is_the_wrapped_optimizers_in_tf_keras(name):
    assert_trains_as_alone(TF_KERAS, name, jit_compile=False)


@faces
def test_the_optimizer_by_name_and_its_attributes(face):
    optimizer = face.wrap("adam")
    assert isinstance(optimizer.inner_optimizer, face.keras.optimizers.Adam)
    assert optimizer.beta_1 == 0.9
    optimizer.learning_rate = 0.5
    assert float(optimizer.inner_optimizer.learning_rate) == 0.5
    with pytest.raises(AttributeError, match="no_such_attribute"):
        _ = optimizer.no_such_attribute


@jit
def test_accumulated_gradients_are_one_update_of_the_averages(jit_compile):
    x, y = data()
    optimizer = wrap(keras.optimizers.SGD(0.1, gradient_accumulation_steps=3))
    model = make(optimizer, jit_compile=jit_compile)
    expected = values(model.trainable_variables)
    for step in range(1, 7):
        model.train_on_batch(x, y)
        received = averages(optimizer, model)
        if step % 3:
            for average, before in zip(received, expected, strict=True):
                assert_same_bits(average, before)
        else:
            assert_follows(received, expected, values(model.trainable_variables))
            expected = received
    assert int(optimizer.iterations) == 2


@pytest.mark.sampled(pairs=True)
@pytest.mark.parametrize(
    "jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["plain", "jit_compile"]
)
@pytest.mark.parametrize("outer", ["loss scale", "average"])
@faces
def test_a_step_that_loss_scaling_skips_moves_no_average(face, outer, jit_compile):
    x, y = data()
    sgd = face.keras.optimizers.SGD(0.1)
    optimizer = face.wrap(face.loss_scale(sgd)) if outer == "average" else face.wrap(sgd)
    compiled = optimizer if outer == "average" else face.loss_scale(optimizer)
    model = face.make(compiled, jit_compile=jit_compile)
    model.train_on_batch(x, y)
    before, weights = averages(optimizer, model), values(model.trainable_variables)
    model.train_on_batch(x * np.inf, y)
    for received, expected in zip(averages(optimizer, model), before, strict=True):
        assert_same_bits(received, expected)
    for received, expected in zip(values(model.trainable_variables), weights, strict=True):
        assert_same_bits(received, expected)
    model.train_on_batch(x, y)
    assert_follows(averages(optimizer, model), before, values(model.trainable_variables))


@faces
def test_a_loss_scaled_twice_is_refused(face):
    optimizer = face.wrap(face.loss_scale(face.keras.optimizers.SGD(0.1)))
    with pytest.raises(ValueError, match="The loss must be scaled once"):
        face.loss_scale(optimizer)


HALF_POLICIES = [
    "mixed_float16",
    "bfloat16",
    *(pytest.param(policy, marks=pytest.mark.slow) for policy in ("float16", "mixed_bfloat16")),
]


@pytest.mark.sampled
@pytest.mark.parametrize("policy", HALF_POLICIES)
@pytest.mark.parametrize(
    ("face", "jit_compile"),
    [
        (KERAS, False),
        pytest.param(KERAS, True, marks=pytest.mark.slow),
        (TF_KERAS, False),
    ],
    ids=str,
)
def test_half_precision(face, policy, jit_compile):
    x, y = data()
    optimizer = face.wrap(face.keras.optimizers.SGD(0.01))
    compiled = face.loss_scale(optimizer) if policy.endswith("_float16") else optimizer
    model = face.make(compiled, policy, jit_compile=jit_compile)
    model.fit(x, y, verbose=0)
    weights, received = values(model.trainable_variables), exact(optimizer, model)
    assert {average.dtype for average in received} == {np.dtype(np.float32)}
    with optimizer.swapped():
        for weight, average in zip(model.trainable_variables, received, strict=True):
            value = weight.numpy()
            is_split = policy == "bfloat16"  # A tie then goes away from zero.
            expected = split(average)[0] if is_split else average.astype(value.dtype)
            assert_same_bits(value, expected)
    for value, expected in zip(values(model.trainable_variables), weights, strict=True):
        assert_same_bits(value, expected)
    for value, expected in zip(exact(optimizer, model), received, strict=True):
        assert_same_bits(value, expected)


@faces
def test_bfloat16_averages_do_not_stall(face):
    weight = face.variable(np.ones(4), dtype="bfloat16")
    optimizer = face.ours.MovingAverage(face.keras.optimizers.SGD(0.25), 0.999)
    for _ in range(10):
        optimizer.apply_gradients([(tf.ones(4, tf.bfloat16), weight)])
    assert optimizer.average(weight).dtype == "bfloat16"
    value = optimizer.average_value(weight)
    assert value.dtype == "float32"
    assert (value.numpy() < 1).all()
    for choice, dtype in (("same", "bfloat16"), ("float32", "float32")):
        other = face.ours.MovingAverage("sgd", average_dtype=choice)
        other.build([weight])
        assert other.average(weight).dtype == other.average_value(weight).dtype == dtype


@pytest.mark.parametrize(
    "exclude",
    ["output/b", ["no such", "bias$"], lambda variable: len(variable.shape) == 1],
    ids=["name", "names", "call"],
)
@faces
def test_excluded_and_frozen_weights_have_no_average(face, exclude):
    x, y = data()
    optimizer = face.wrap(exclude=exclude)
    model = face.make("sgd")
    model.layers[0].trainable = False
    model.compile(optimizer, "mse")
    model.fit(x, np.eye(3)[y], verbose=0)
    (kernel, bias), frozen = model.trainable_variables, model.layers[0].variables
    assert optimizer.average(kernel) is not None
    assert [optimizer.average(v) for v in [bias, *frozen]] == [None, None, None]
    expected = [optimizer.average(kernel).numpy(), bias.numpy()]
    with optimizer.swapped(model):
        assert_same_bits(kernel.numpy(), expected[0])
        assert_same_bits(bias.numpy(), expected[1])


@faces
def test_the_decay_warms_up_with_the_iterations(face):
    variable = face.variable([1.0])
    sgd = face.keras.optimizers.SGD(1.0)
    optimizer = face.ours.MovingAverage(sgd, 0.999, num_updates="iterations")
    expected = np.float32([1.0])
    for i in range(1, 20):
        assert int(optimizer.apply_gradients([(tf.constant([1.0]), variable)])) == i
        decay = np.float32(1 + i) / np.float32(10 + i)
        expected = updated(expected, variable.numpy(), float(decay))
        assert_same_bits(optimizer.average(variable).numpy(), expected)


def late_model(face):
    """A model whose layers and weights are made when it is first called."""

    class LateModel(face.keras.Model):
        def build(self, shape):
            self.z_layer = face.keras.layers.Dense(3)
            self.z_layer.build(shape)

        def call(self, inputs):
            return self.z_layer(inputs)

        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(x) - y) ** 2)
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
            return {"loss": loss}

    return LateModel()


@pytest.mark.sampled
@pytest.mark.parametrize("how", ["function", "eagerly", "loss scale"])
@compiled_faces
# The step does not scale the loss, of which tf_keras reminds.
@pytest.mark.filterwarnings("ignore:You forgot to call LossScaleOptimizer")
def test_layers_built_late_and_a_custom_train_step(face, how, jit_compile):
    x, y = data()
    optimizer = face.wrap(face.keras.optimizers.SGD(0.01))
    model = late_model(face)
    compiled = face.loss_scale(optimizer) if "loss" in how else optimizer
    eagerly = how == "eagerly"
    model.compile(compiled, run_eagerly=eagerly, jit_compile=jit_compile and not eagerly)
    model.fit(x[:8], np.eye(3)[y[:8]], batch_size=8, verbose=0)
    kernel = model.trainable_variables[0]
    # After one step the average is near to the weight: it did not start at zero.
    np.testing.assert_allclose(optimizer.average(kernel).numpy(), kernel.numpy(), atol=0.1)
    weights, before = values(model.trainable_variables), averages(optimizer, model)
    assert not np.array_equal(weights[0], before[0])
    model.fit(x[:8], np.eye(3)[y[:8]], batch_size=8, verbose=0)
    assert_follows(averages(optimizer, model), before, values(model.trainable_variables))


@pytest.mark.slow
@compiled_faces
def test_a_loop_of_ones_own(face, jit_compile):
    weight = face.variable([4.0])
    optimizer = face.wrap(face.keras.optimizers.SGD(0.25))

    @tf.function(jit_compile=jit_compile)
    def train():
        for _ in tf.range(3):
            optimizer.apply_gradients([(tf.convert_to_tensor(weight), weight)])  # Of w ** 2 / 2.

    train()
    value = average = 4.0
    for _ in range(3):
        value -= 0.25 * value
        average -= (average - value) * 0.25
    assert weight.numpy() == [value]
    np.testing.assert_allclose(optimizer.average(weight).numpy(), [average], rtol=1e-6)


@faces
def test_swapped_is_exact_and_always_swaps_back(face):
    x, y = data()
    optimizer = face.wrap("adam")
    model = face.make(optimizer)
    model.fit(x, y, verbose=0)
    model.trainable_variables[0].assign(np.full((6, 8), np.nan))
    weights, before = values(model.trainable_variables), averages(optimizer, model)
    with pytest.raises(KeyError), optimizer.swapped(model):
        assert optimizer.is_swapped
        for received, expected in zip(values(model.trainable_variables), before, strict=True):
            assert_same_bits(received, expected)
        raise KeyError
    assert not optimizer.is_swapped
    for received, expected in zip(values(model.trainable_variables), weights, strict=True):
        assert_same_bits(received, expected)


@pytest.mark.sampled
@pytest.mark.parametrize(
    "scaled", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["", "loss scale"]
)
@compiled_faces
def test_training_while_swapped_is_refused(face, jit_compile, scaled):
    x, y = data()
    optimizer = face.wrap()
    compiled = face.loss_scale(optimizer) if scaled else optimizer
    model = face.make(compiled, jit_compile=jit_compile)
    model.fit(x, y, verbose=0)
    with optimizer.swapped():
        before = values(model.variables)
        # The function was traced before the swap.
        with pytest.raises(tf.errors.InvalidArgumentError, match="averages"):
            model.fit(x, y, verbose=0)
        for received, expected in zip(values(model.variables), before, strict=True):
            assert_same_bits(received, expected)
        with pytest.raises(RuntimeError, match="swapped\\(\\) cannot be entered while"):
            optimizer.swapped().__enter__()
    model.fit(x, y, verbose=0)


@faces
def test_nothing_is_written_before_the_check_that_nothing_is_swapped(face):
    weight = face.variable([4.0])
    optimizer = face.wrap(face.keras.optimizers.SGD(0.25))
    optimizer.build([weight])
    step = tf.function(lambda: optimizer.apply_gradients([(tf.constant([1.0]), weight)]))
    operations = step.get_concrete_function().graph.get_operations()
    (check,) = (operation for operation in operations if operation.type == "Assert")

    def waits(operation):
        before = [*operation.control_inputs, *(tensor.op for tensor in operation.inputs)]
        return operation is check or any(map(waits, before))

    trains = [operation for operation in operations if operation.type.startswith("Assign")]
    assert trains
    assert all(map(waits, trains))


@faces
def test_an_eager_step_while_swapped_is_refused(face):
    weight = face.variable([4.0])
    optimizer = face.wrap()
    optimizer.build([weight])
    with optimizer.swapped(), pytest.raises(RuntimeError, match="No step can be taken while"):
        optimizer.apply_gradients([(tf.constant([1.0]), weight)])


@faces
@pytest.mark.parametrize("in_function", [False, True], ids=["eager", "function"])
@pytest.mark.parametrize("sparse", ["dense", "lazy"])
def test_a_step_that_the_wrapped_optimizer_fails_is_none(face, sparse, in_function, monkeypatch):
    name = "apply" if face is KERAS else "apply_gradients"

    def trained(*, fails: bool):
        table = face.variable(np.ones([3, 2]))
        optimizer = face.wrap(face.keras.optimizers.SGD(1.0), every=2, sparse=sparse)
        optimizer.build([table])
        inner = optimizer.inner_optimizer
        failing = failing_steps(monkeypatch, inner, name) if fails else None
        take_steps(optimizer, table, in_function=in_function, failing=failing)
        return optimizer.last_step(), table.numpy(), optimizer.average(table).numpy()

    for received, expected in zip(trained(fails=True), trained(fails=False), strict=True):
        np.testing.assert_array_equal(received, expected)


@faces
def test_building_twice_keeps_the_averages(face):
    weight = face.variable([4.0])
    optimizer = face.wrap()
    optimizer.apply_gradients([(tf.constant([1.0]), weight)])
    average = optimizer.average(weight).numpy()
    optimizer.build([weight])
    assert optimizer.average(weight).numpy() == average != weight.numpy()


@faces
def test_the_weights_after_fit_are_the_averages_if_asked(face):
    x, y = data()
    optimizer = face.wrap(overwrite_weights=True)
    model = face.make(optimizer)
    model.fit(x, y, verbose=0)
    for weight, average in zip(
        values(model.trainable_variables), averages(optimizer, model), strict=True
    ):
        assert_same_bits(weight, average)


@faces
@pytest.mark.parametrize("by_the_wrapped", [False, True])
def test_weights_are_not_overwritten_while_swapped(face, by_the_wrapped):
    weight = face.variable([4.0])
    sgd = face.keras.optimizers.SGD(1.0, use_ema=by_the_wrapped)
    optimizer = face.wrap(sgd, overwrite_weights=not by_the_wrapped)
    optimizer.apply_gradients([(tf.constant([4.0]), weight)])
    message = "^Variables cannot be overwritten while averages and weights are swapped; leave"
    with optimizer.swapped(), pytest.raises(RuntimeError, match=message):
        optimizer.finalize_variable_values([weight])
    assert (weight.numpy(), optimizer.average(weight).numpy()) == (0, 3)


@faces
def test_what_does_not_fit_is_refused(face):
    make_optimizer = face.ours.MovingAverage
    with pytest.raises(ValueError, match=re.escape("`decay` must be in [0, 1]. Received: decay=2")):
        make_optimizer("sgd", 2)
    with pytest.raises(ValueError, match=r"`num_updates` must be one of .*Received: 'steps'\."):
        make_optimizer("sgd", num_updates="steps")
    with pytest.raises(ValueError, match=r"`average_dtype` must be one of .*Received: 'int8'\."):
        make_optimizer("sgd", average_dtype="int8")
    with pytest.raises(TypeError, match=rf"must be a {face}\.optimizers\.Optimizer that is no Mov"):
        make_optimizer(face.wrap())
    with pytest.raises(RuntimeError, match="The optimizer has no averages yet"):
        face.wrap().swapped()
    with pytest.raises(ValueError, match="`model` must be trained by this optimizer"):
        face.wrap().swapped(face.make("sgd"))


def test_optimizers_before_those_of_tf_keras_are_refused():
    with pytest.raises(TypeError, match=r"must be a tf_keras\.optimizers\.Optimizer"):
        TF_KERAS.wrap(tf_keras.optimizers.legacy.SGD())


def test_the_modules_are_attributes_of_the_package():
    assert (tf_mavg.keras, tf_mavg.tf_keras) == (KERAS.ours, TF_KERAS.ours)
