"""Runs of variables under a strategy whose averages are updated by every kind of code."""

import tensorflow as tf

import tf_mavg

MEAN = tf.VariableAggregation.MEAN
DECAY = 0.9


def components(variable):
    return list(variable.values)


class Run:
    """Variables of a strategy, their averages, and steps."""

    def __init__(self, strategy, dtypes, **options: object) -> None:
        """Makes variables of the dtypes, and one that is synchronized when it is read."""
        self.strategy = strategy
        with strategy.scope():
            self.variables = [
                tf.Variable(tf.zeros([3, 2], dtype.name), name=dtype.name, aggregation=MEAN)
                for dtype in dtypes
            ]
            self.variables.append(
                tf.Variable(
                    tf.zeros([4]),
                    name="statistics",
                    trainable=False,
                    aggregation=MEAN,
                    synchronization=tf.VariableSynchronization.ON_READ,
                )
            )
            self.step = tf.Variable(0, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
        self.averages = tf_mavg.ExponentialMovingAverage(DECAY, **options)
        self.averages.create_averages(self.variables)

    def pairs(self):
        """The components of averages, and of variables."""
        return [
            pair
            for variable in self.variables
            for pair in zip(
                components(self.averages.average(variable)), components(variable), strict=True
            )
        ]

    def train(self, average, *, nested=False):
        """A step of each replica, which ends with `average`."""
        context = tf.distribute.get_replica_context()
        with tf.control_dependencies(self.averages.guard()):
            seed = [context.replica_id_in_sync_group, self.step.read_value()]
            for variable in self.variables[:-1]:
                # Exact sums in every dtype: replicas are summed in the order of coming.
                noise = tf.round(4.0 * tf.random.stateless_normal(variable.shape, seed)) / 16.0
                variable.assign_sub(tf.cast(noise, variable.dtype))
            self.variables[-1].assign(tf.random.stateless_normal([4], seed))
            if nested:
                tf.cond(self.step >= 0, average, lambda: None)
            else:
                average()
            self.step.assign_add(1)


def in_replicas(strategy, body):
    """A function that runs `body` in each replica, and returns nothing."""

    @tf.autograph.experimental.do_not_convert
    def run():
        body()

    return tf.function(lambda: strategy.run(run), autograph=False)


def apply(run):
    """Averages, as the branch of a conditional that returns nothing."""

    def average():
        run.averages.apply(run.variables)

    return average


def replica(run):
    return in_replicas(run.strategy, lambda: run.train(apply(run)))


def replica_in_cond(run):
    return in_replicas(run.strategy, lambda: run.train(apply(run), nested=True))


def eager(run):
    return lambda: run.strategy.run(lambda: run.train(apply(run)))


def cross_replica(run):
    def step():
        run.strategy.run(lambda: run.train(lambda: None))
        run.averages.apply(run.variables)

    def in_scope():
        with run.strategy.scope():
            step()

    return tf.function(in_scope, autograph=False)


def eager_cross_replica(run):
    body = in_replicas(run.strategy, lambda: run.train(lambda: None))

    def step():
        body()
        with run.strategy.scope():
            run.averages.apply(run.variables)

    return step


def outside(run):
    body = tf.function(lambda: run.strategy.run(lambda: run.train(lambda: None)), autograph=False)

    def step():
        body()
        run.averages.apply(run.variables)

    return step


def outside_in_function(run):
    return tf.function(outside(run), autograph=False)


WAYS = (
    replica,
    eager,
    replica_in_cond,
    cross_replica,
    eager_cross_replica,
    outside,
    outside_in_function,
)
