"""if_not_finite: whether a step updates, skips or raises where a variable is not finite."""

import numpy as np
import pytest
import tensorflow as tf
from graphs import VARIABLE_KINDS, model
from keras_models import data, faces
from oracle import assert_same_bits

import tf_mavg
from tf_mavg import decays

tf1 = tf.compat.v1

BAD = [np.nan, np.inf, -np.inf]
ways = pytest.mark.parametrize(
    "way",
    # The emulated GPU has no XLA.
    ["eager", "tf.function", pytest.param("XLA", marks=pytest.mark.cpu)],
)
# Plain, counted, and several with a step that overwrites.
paces = pytest.mark.parametrize(
    ("decay", "options"),
    [
        (0.5, {}),
        ([0.5, 0.75], {}),
        (decays.Constant(0.5), {}),
        ([0.5, decays.Uniform()], {"overwrite_every": 1}),
    ],
    ids=["plain", "several", "schedule", "overwriting"],
)


class Run:
    """Two variables, their averages, and a step."""

    def __init__(self, way, decay, if_not_finite, **options: object) -> None:
        """Makes averages at 1."""
        self.variables = [tf.Variable([1.0] * 3, name="v"), tf.Variable([1.0], name="w")]
        self.average = tf_mavg.ExponentialMovingAverage(
            decay, if_not_finite=if_not_finite, **options
        )
        self.average.create_averages(self.variables)

        def apply():
            self.average.apply(self.variables)

        functions = {
            "tf.function": tf.function(apply),
            "XLA": tf.function(apply, jit_compile=True),
        }
        self.step = functions.get(way, apply)

    @property
    def values(self):
        """The averages of each index, and the count of steps if there is one."""
        count = self.average.holder.of_each
        steps = self.average.holder.steps.first
        values = [
            self.average.average(v, index).numpy() for index in range(count) for v in self.variables
        ]
        return values, None if steps is None else int(steps)


@paces
@ways
def test_skip_changes_nothing_and_goes_on(way, decay, options):
    run = Run(way, decay, "skip", **options)
    run.step()
    for bad in BAD:
        run.variables[0].assign([1.0, 1.0, 3.0])
        run.variables[1].assign([bad])
        before = run.values
        run.step()
        after = run.values
        assert after[1] == before[1]
        for value, other in zip(after[0], before[0], strict=True):
            assert_same_bits(value, other)
        np.testing.assert_array_equal(run.variables[1].numpy(), [bad])  # Not overwritten.
    run.variables[1].assign([5.0])
    run.step()
    assert run.average.average(run.variables[1]).numpy()[0] == 3.0
    assert run.average.average(run.variables[0]).numpy().tolist() == [1.0, 1.0, 2.0]


@paces
@pytest.mark.parametrize("way", ["eager", "tf.function"])
def test_raise_says_what_and_changes_nothing(way, decay, options):
    run = Run(way, decay, "raise", **options)
    run.step()
    run.variables[0].assign([1.0, 1.0, 3.0])
    run.variables[1].assign([np.nan])
    before = run.values
    message = r"must be finite to be averaged, since if_not_finite is set to raise\. Received: "
    message += "'w:0', with NaN" if way == "eager" else "one of 2 with NaN or infinite"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        run.step()
    assert run.values[1] == before[1]
    for value, other in zip(run.values[0], before[0], strict=True):
        assert_same_bits(value, other)


@paces
@ways
def test_what_is_finite_is_updated_as_ever(way, decay, options):
    chosen = ("update", "skip") if way == "XLA" else ("update", "skip", "raise")
    runs = [Run(way, decay, choice, **options) for choice in chosen]
    for run in runs:
        for value in (2.0, -3.0, 0.1):
            run.variables[0].assign([value] * 3)
            run.step()
    for run in runs[1:]:
        assert run.values[1] == runs[0].values[1]
        for value, other in zip(run.values[0], runs[0].values[0], strict=True):
            assert_same_bits(value, other)


def test_by_default_the_average_becomes_what_it_would():
    """As ultralytics PR#24307 tells: one step of NaN, and the average is lost."""
    run = Run("eager", 0.5, "update")
    run.variables[1].assign([np.nan])
    run.step()
    assert np.isnan(run.average.average(run.variables[1]).numpy()[0])


@pytest.mark.cpu  # The emulated GPU has no XLA.
def test_xla_compiles_no_step_that_raises():
    run = Run("XLA", 0.5, "raise")
    with pytest.raises(RuntimeError, match=r"XLA compiles no step that raises\. Received: if_not"):
        run.step()


@pytest.mark.sampled(pairs=True)
@pytest.mark.parametrize("kind", VARIABLE_KINDS)
@pytest.mark.parametrize("choice", ["skip", "raise"])
@pytest.mark.parametrize("decay", [0.5, decays.Constant(0.5)], ids=["plain", "schedule"])
def test_in_a_session(kind, choice, decay):
    with model(kind, decay=decay, if_not_finite=choice) as one:
        one.initialize()
        one.train(2)
        one.session.run(tf1.assign(one.variables[0], tf.fill(one.variables[0].shape, np.inf)))
        _, before = one.values()
        if choice == "raise":
            with pytest.raises(tf.errors.InvalidArgumentError, match="must be finite to be averag"):
                one.train(1)
        else:
            one.train(1)
        _, after = one.values()
        for value, other in zip(after, before, strict=True):
            assert_same_bits(value, other)


@pytest.mark.cpu  # Replicas on logical processors.
@pytest.mark.parametrize("placement", ["replicated", "sharded"])
def test_replicas_decide_alike(placement, logical_cpus):
    sums = tf.distribute.ReductionToOneDevice()
    strategy = tf.distribute.MirroredStrategy(logical_cpus[:2], cross_device_ops=sums)
    with strategy.scope():
        variables = [tf.Variable([0.0] * size) for size in (3, 2, 1)]
    average = tf_mavg.ExponentialMovingAverage(
        decays.Uniform(), placement=placement, if_not_finite="skip"
    )
    average.create_averages(variables)

    @tf.function
    def step():
        strategy.run(lambda: average.apply(variables))

    variables[0].assign([4.0] * 3)
    step()
    variables[0].assign([8.0] * 3)
    variables[2].assign([np.nan])
    step()
    assert average.average(variables[0]).numpy().tolist() == [4.0] * 3
    assert {int(count) for count in average.holder.steps.variables()} == {1}


@pytest.mark.cpu  # Replicas on logical processors.
def test_variables_that_replicas_differ_in_are_refused(logical_cpus):
    sums = tf.distribute.ReductionToOneDevice()
    strategy = tf.distribute.MirroredStrategy(logical_cpus[:2], cross_device_ops=sums)
    with strategy.scope():
        statistics = tf.Variable(
            [0.0],
            name="mean",
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.MEAN,
        )
        weight = tf.Variable([0.0])
    average = tf_mavg.ExponentialMovingAverage(0.5, if_not_finite="skip")
    with pytest.raises(TypeError, match=r"to decide alike\. Received: 'mean"):
        average.create_averages([weight, statistics])
    assert average.average(weight) is None


@pytest.mark.parametrize("options", [{"if_not_finite": "skip"}, {"overwrite_every": 2}], ids=str)
def test_averages_that_move_beside_the_step_cannot_decide(options):
    with pytest.raises(ValueError, match=r"variables\. Received: sequential_update=False"):
        tf_mavg.MovingAverageOptimizer(
            tf1.train.GradientDescentOptimizer(0.1), sequential_update=False, **options
        )


@faces
@pytest.mark.parametrize("choice", ["skip", "raise"])
def test_in_fit(face, choice):
    optimizer = face.ours.MovingAverage("sgd", 0.5, if_not_finite=choice)
    model = face.make(optimizer, jit_compile=False)
    x, y = data()
    model.fit(x, y, verbose=0)
    before = [optimizer.average(weight).numpy() for weight in model.trainable_variables]
    x[0] = np.nan  # The gradients are, then the weights.
    if choice == "raise":
        with pytest.raises(tf.errors.InvalidArgumentError, match="must be finite to be averaged"):
            model.fit(x, y, verbose=0)
    else:
        model.fit(x, y, verbose=0)
    assert not np.isfinite(model.trainable_variables[0].numpy()).all()
    for weight, value in zip(model.trainable_variables, before, strict=True):
        assert_same_bits(optimizer.average(weight).numpy(), value)
    assert type(optimizer).from_config(optimizer.get_config()).holder.if_not_finite == choice


def test_another_choice_is_refused():
    with pytest.raises(ValueError, match=r"must be one of \('update', 'skip', 'raise'\)\. Receiv"):
        tf_mavg.ExponentialMovingAverage(0.5, if_not_finite="ignore")
