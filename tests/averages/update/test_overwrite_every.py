"""overwrite_every: the weights take the values of their averages every so many steps."""

import numpy as np
import pytest
import tensorflow as tf
from graphs import make_loss
from keras_models import data, faces
from oracle import assert_same_bits

import tf_mavg

pytestmark = pytest.mark.slow

tf1 = tf.compat.v1


def oracle(steps, decay, overwrite_every, start=0):
    """What weight and average are after each step of adding 1 to the weight, in float64."""
    weight = average = 0.0
    found = []
    for n in range(1, steps + 1):
        weight += 1.0
        since = n - start
        average = weight if start and since <= 1 else average * decay + weight * (1 - decay)
        if since > 0 and since % overwrite_every == 0:
            weight = average
        found.append((weight, average))
    return found


@pytest.mark.parametrize("way", ["eager", "tf.function", "XLA"])
@pytest.mark.parametrize("start", [0, 3])
@pytest.mark.parametrize("overwrite_every", [1, 3])
def test_each_step(way, start, overwrite_every):
    variable = tf.Variable([0.0])
    average = tf_mavg.ExponentialMovingAverage(
        [0.75, 0.5], start=start, overwrite_every=overwrite_every
    )
    average.create_averages([variable])

    def step():
        variable.assign_add([1.0])
        average.apply([variable])

    traced = {"tf.function": tf.function(step), "XLA": tf.function(step, jit_compile=True)}
    run = traced.get(way, step)
    for expected in oracle(10, 0.75, overwrite_every, start):
        run()
        received = [variable.numpy()[0], average.average(variable).numpy()[0]]
        np.testing.assert_allclose(received, expected, rtol=1e-6)
    # The second average is one of what the weight was, too.
    assert average.average(variable, 1).numpy()[0] != average.average(variable).numpy()[0]


@pytest.mark.parametrize("kind", ["reference", "resource"])
def test_in_a_session(kind):
    with tf.Graph().as_default(), tf1.Session() as session:
        variable = tf1.get_variable("v", initializer=[0.0], use_resource=kind == "resource")
        average = tf_mavg.ExponentialMovingAverage(0.75, overwrite_every=3)
        with tf.control_dependencies([tf1.assign_add(variable, [1.0])]):
            step = average.apply([variable])
        session.run(tf1.global_variables_initializer())
        for expected in oracle(10, 0.75, 3):
            session.run(step)
            received = session.run([variable, average.average(variable)])
            np.testing.assert_allclose(np.ravel(received), expected, rtol=1e-6)


def test_the_optimizer_takes_it():
    with tf.Graph().as_default(), tf1.Session() as session:
        loss, (_, bias) = make_loss("resource")
        optimizer = tf_mavg.MovingAverageOptimizer(
            tf1.train.GradientDescentOptimizer(0.1), 0.5, overwrite_every=2
        )
        train_op = optimizer.minimize(loss)
        session.run(tf1.global_variables_initializer())
        alike = []
        for _ in range(4):
            session.run(train_op)
            weight, average = session.run([bias, optimizer.averages.average(bias)])
            alike.append(np.array_equal(weight, average))
    assert alike == [False, True, False, True]


@faces
def test_keras_takes_it(face):
    x, y = data()
    model = face.make(face.ours.MovingAverage("sgd", 0.75, overwrite_every=2))
    alike = []
    for _ in range(4):
        model.train_on_batch(x, y)
        pairs = [(w.numpy(), model.optimizer.average(w).numpy()) for w in model.trainable_variables]
        alike.append(all(np.array_equal(*pair) for pair in pairs))
    assert alike == [False, True, False, True]
    again = type(model.optimizer).from_config(model.optimizer.get_config())
    assert again.holder.pace.overwrite_every == 2


def test_a_resumed_run_overwrites_at_the_same_steps(tmp_path):
    def run(steps, path=None):
        variable = tf.Variable([0.0])
        average = tf_mavg.ExponentialMovingAverage(0.75, overwrite_every=3)
        average.create_averages([variable])
        checkpoint = tf.train.Checkpoint(v=variable, a=average)
        if path is not None:
            checkpoint.restore(path)
        for _ in range(steps):
            variable.assign_add([1.0])
            average.apply([variable])
        return variable.numpy(), checkpoint.write(str(tmp_path / f"{steps}"))

    _, path = run(4)
    assert_same_bits(run(3, path)[0], run(7)[0])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"overwrite_every": 0}, ValueError, r"^`overwrite_every` must be 1 or more\."),
        ({"overwrite_every": 1.5}, TypeError, "integer"),
        (
            {"overwrite_every": 2, "placement": "sharded"},
            ValueError,
            r"each replica must have all averages\. Received: placement='sharded'",
        ),
        ({"overwrite_every": 2, "num_updates": 3}, ValueError, "^`num_updates` is for a plain"),
    ],
    ids=str,
)
def test_what_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        tf_mavg.ExponentialMovingAverage(0.9, **arguments)


def test_averages_of_another_dtype_are_refused_before_any_is_made():
    variables = [tf.Variable([1.0]), tf.Variable(tf.ones([1], tf.bfloat16), name="half")]
    average = tf_mavg.ExponentialMovingAverage(0.9, average_dtype="float32", overwrite_every=2)
    with pytest.raises(TypeError, match="Received: 'half:0' of bfloat16 with an average of float3"):
        average.apply(variables)
    assert average.average(variables[0]) is None
