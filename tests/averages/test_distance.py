"""distance(): the norm of averages minus variables, in every way of running."""

import numpy as np
import pytest
import tensorflow as tf
from graphs import VARIABLE_KINDS, model
from oracle import BFLOAT16, FLOAT16, FLOAT32, FLOAT64

import tf_mavg

tf1 = tf.compat.v1
SHAPES = ((3,), (2, 5), ())


def averaged(dtype=FLOAT32, average_dtype="same", count=2):
    """Variables with averages, of random values, and these in float64."""
    random = np.random.default_rng(2)
    variables = [tf.Variable(random.standard_normal(shape).astype(dtype)) for shape in SHAPES]
    average = tf_mavg.ExponentialMovingAverage([0.5] * count, average_dtype=average_dtype)
    average.create_averages(variables)
    for index in range(count):
        for variable in variables:
            value = random.standard_normal(variable.shape).astype(dtype)
            average.average(variable, index).assign(tf.cast(value, average.average(variable).dtype))
    return variables, average


def norms(variables, average, index=0):
    """The distance of each variable, in float64."""
    return [
        np.linalg.norm(
            np.ravel(average.average(v, index).numpy().astype(float) - v.numpy().astype(float))
        )
        for v in variables
    ]


@pytest.mark.sampled(pairs=True)
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64, FLOAT16, BFLOAT16], ids=str)
@pytest.mark.parametrize("average_dtype", ["same", "float32"])
@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("way", ["eager", "tf.function", "XLA"])
def test_it_is_the_norm_over_all_or_of_each(dtype, average_dtype, index, way):
    variables, average = averaged(dtype, average_dtype)

    def both():
        return average.distance(index=index), average.distance(index=index, per_variable=True)

    traced = {"tf.function": tf.function(both), "XLA": tf.function(both, jit_compile=True)}
    total, each = traced.get(way, both)()
    expected = norms(variables, average, index)
    np.testing.assert_allclose(each, expected, rtol=1e-6)
    np.testing.assert_allclose(total, np.linalg.norm(expected), rtol=1e-6)
    assert total.dtype == each.dtype == tf.float64
    assert total.shape == ()


def test_it_is_the_same_while_swapped():
    variables, average = averaged()
    before = average.distance().numpy()
    with average.swapped():
        assert average.distance().numpy() == before
    chosen = average.distance(variables[1:2], per_variable=True)
    np.testing.assert_allclose(chosen, norms(variables, average)[1:2], rtol=1e-6)


def test_it_is_refused_while_variables_hold_rounded_averages():
    _, average = averaged(BFLOAT16, "float32")
    with pytest.raises(RuntimeError, match="of another dtype have no distance"), average.swapped():
        average.distance()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_shows(bad):
    variables, average = averaged()
    average.average(variables[0]).assign([0.0, bad, 0.0])
    assert not np.isfinite(average.distance().numpy())
    assert np.isfinite(average.distance(per_variable=True).numpy()).tolist() == [False, True, True]


def test_large_values_do_not_overflow():
    variable, average = tf.Variable([3e30]), tf_mavg.ExponentialMovingAverage(0.5)
    average.create_averages([variable])
    variable.assign([-1e30])
    np.testing.assert_allclose(average.distance(), 4e30, rtol=1e-6)


@pytest.mark.parametrize("kind", VARIABLE_KINDS)
def test_in_a_session(kind):
    with model(kind) as one:
        distance = one.optimizer.averages.distance()
        one.initialize()
        one.train(3)
        values = zip(*one.values(), strict=True)
        expected = np.sqrt(sum(np.square(v - a).sum(dtype=float) for v, a in values))
        np.testing.assert_allclose(one.session.run(distance), expected, rtol=1e-6)


def test_it_waits_for_what_comes_before_it_in_a_graph():
    with tf.Graph().as_default(), tf1.Session() as session:
        variable = tf1.get_variable("v", initializer=[0.0], use_resource=False)
        average = tf_mavg.ExponentialMovingAverage(0.5)
        average.create_averages([variable])
        with tf.control_dependencies([tf1.assign(variable, [3.0])]):
            distance = average.distance()
        session.run(tf1.global_variables_initializer())
        assert session.run(distance) == 3.0


@pytest.mark.parametrize("placement", ["replicated", "sharded"])
def test_replicas_count_once(placement, logical_cpus):
    sums = tf.distribute.ReductionToOneDevice()
    strategy = tf.distribute.MirroredStrategy(logical_cpus[:2], cross_device_ops=sums)
    with strategy.scope():
        variables = [tf.Variable([0.0, 0.0]), tf.Variable([0.0])]
    average = tf_mavg.ExponentialMovingAverage(0.5, placement=placement)
    average.create_averages(variables)
    variables[0].assign([3.0, 4.0])
    variables[1].assign([12.0])
    assert average.distance(per_variable=True).numpy().tolist() == [5.0, 12.0]
    assert average.distance().numpy() == 13.0


def test_what_is_refused():
    average = tf_mavg.ExponentialMovingAverage(0.5)
    with pytest.raises(RuntimeError, match=r"^There are no averages yet: apply\(\) must be called"):
        average.distance()
    variable = tf.Variable([1.0], name="v")
    average.create_averages([variable])
    with pytest.raises(ValueError, match="Received: 'new:0', which has none"):
        average.distance([tf.Variable(1.0, name="new")])
    with pytest.raises(ValueError, match=r"below 1\. Received: index=1"):
        average.distance(index=1)
