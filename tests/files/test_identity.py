"""An average belongs to a variable, in object checkpoints too: never to a position or a count."""

import copy

import pytest
import tensorflow as tf

import tf_mavg

tf1 = tf.compat.v1


class Net(tf.Module):
    """Variables called a, b and c, of one shape; their averages hold ten times their values."""

    def __init__(self, names: str = "abc", scale: float = 1.0) -> None:
        """Makes a variable for each letter, with its place in the alphabet as its value."""
        super().__init__()
        self.weights = {n: tf.Variable([scale * (1 + ord(n) - ord("a"))], name=n) for n in names}

    def __getitem__(self, name: str) -> tf.Variable:
        """The variable of a letter."""
        return self.weights[name]

    def all(self, names: str) -> list[tf.Variable]:
        """The variables of letters, in their order."""
        return [self.weights[name] for name in names]


FACES = ["drop-in", "optimizer"]
faces = pytest.mark.parametrize("face", FACES)


def averages_for(face, net):
    """An owner of averages, the checkpoint that tracks it, and its averages."""
    if face == "drop-in":
        owner = averages = tf_mavg.ExponentialMovingAverage(0.5)
    else:
        owner = tf_mavg.MovingAverageOptimizer(tf1.train.MomentumOptimizer(1.0, 0.9), 0.5)
        averages = owner.averages
    return owner, tf.train.Checkpoint(net=net, averages=owner), averages


def saved(face, names, folder, *, swapping):
    """The path of a checkpoint with averages of the variables of these letters."""
    net = Net()
    owner, checkpoint, averages = averages_for(face, net)
    averages.create_averages(net.all(names))
    for name in names:
        averages.average(net[name]).assign(10 * net[name])
    if swapping:
        return tf_mavg.SwappingCheckpointManager(checkpoint, owner, str(folder)).save()
    return checkpoint.save(str(folder / "checkpoint"))


def restore(owner, checkpoint, path, *, swapping, start_missing_averages=False):
    if swapping:
        folder = path.rpartition("/")[0]
        manager = tf_mavg.SwappingCheckpointManager(
            checkpoint, owner, folder, start_missing_averages=start_missing_averages
        )
        manager.restore(path)
    else:
        checkpoint.restore(path)


def values(net, averages, names):
    weights = [float(net[name][0]) for name in names]
    return weights, [float(averages.average(net[name])[0]) for name in names]


swapping = pytest.mark.parametrize("swapping", [False, True], ids=["checkpoint", "manager"])


@faces
@swapping
@pytest.mark.parametrize("made", ["", "abc", "cba", "bca"], ids=lambda names: f"made {names}")
@pytest.mark.parametrize("order", ["abc", "cab"], ids=lambda names: f"saved {names}")
def test_averages_made_in_another_order_are_those_of_their_variables(
    face, swapping, made, order, tmp_path
):
    path = saved(face, order, tmp_path, swapping=swapping)
    net = Net(scale=0.0)
    owner, checkpoint, averages = averages_for(face, net)
    averages.create_averages(net.all(made))
    restore(owner, checkpoint, path, swapping=swapping)
    averages.create_averages(net.all("abc"))
    assert values(net, averages, "abc") == ([1, 2, 3], [10, 20, 30])
    assert not averages.is_swapped


@faces
@swapping
@pytest.mark.parametrize(("before", "now"), [("abc", "bc"), ("ab", "bc"), ("c", "a")])
def test_other_variables_than_before_have_averages(face, swapping, before, now, tmp_path):
    path = saved(face, before, tmp_path, swapping=swapping)
    net = Net(scale=0.0)
    owner, checkpoint, averages = averages_for(face, net)
    averages.create_averages(net.all(now))
    restore(owner, checkpoint, path, swapping=swapping, start_missing_averages=True)
    assert [float(net[name][0]) for name in "abc"] == [1, 2, 3]
    for name in now:
        # One that was not in the file starts at its variable, if the manager does it.
        expected = 10 * net[name] if name in before else net[name] if swapping else [0.0]
        assert float(averages.average(net[name])[0]) == float(expected[0]), name


@faces
def test_an_average_that_the_file_lacks_is_refused_by_its_variables_name(face, tmp_path):
    path = saved(face, "ab", tmp_path, swapping=True)
    net = Net(scale=0.0)
    owner, checkpoint, averages = averages_for(face, net)
    averages.create_averages(net.all("bc"))
    with pytest.raises(AssertionError, match=r"lacks 1 of 3 averages, the first of 'c:0'.*start_m"):
        restore(owner, checkpoint, path, swapping=True)
    assert values(net, averages, "bc") == ([0, 0], [0, 0])
    assert averages.average(net["a"]) is None
    assert not averages.is_swapped


def test_averages_restored_before_they_and_the_tracking_of_the_variables_exist(tmp_path):
    path = saved("drop-in", "abc", tmp_path, swapping=False)
    averages, net = tf_mavg.ExponentialMovingAverage(0.5), Net(scale=0.0)
    checkpoint = tf.train.Checkpoint(averages=averages)
    checkpoint.restore(path)
    averages.create_averages(net.all("cb"))
    checkpoint.net = net
    assert values(net, averages, "bc") == ([2, 3], [20, 30])


@pytest.mark.parametrize("made", ["", "ca"], ids=["made later", "made before"])
def test_without_the_variables_the_key_is_made_of_their_names(made, tmp_path):
    net, averages = Net(), tf_mavg.ExponentialMovingAverage(0.5)
    averages.create_averages(net.all("abc"))
    averages.average(net["a"]).assign([7.0])
    path = tf.train.Checkpoint(averages=averages).save(str(tmp_path / "c"))
    keys = [key for key, _ in tf.train.list_variables(path) if "average_of" in key]
    assert len(keys) == 3
    net, averages = Net(scale=0.0), tf_mavg.ExponentialMovingAverage(0.5)
    averages.create_averages(net.all(made))
    status = tf.train.Checkpoint(averages=averages).restore(path)
    averages.create_averages(net.all("cab"))
    status.assert_existing_objects_matched()
    assert values(net, averages, "abc") == ([0, 0, 0], [7, 2, 3])


def test_a_file_by_name_after_one_by_slots(tmp_path):
    net, averages = Net(), tf_mavg.ExponentialMovingAverage(0.5)
    averages.create_averages(net.all("ab"))
    by_name = tf.train.Checkpoint(averages=averages)
    path = by_name.save(str(tmp_path / "name"))
    tf.train.Checkpoint(net=net, averages=averages).save(str(tmp_path / "slots"))
    averages.average(net["a"]).assign([0.0])
    by_name.restore(path).assert_existing_objects_matched()
    assert values(net, averages, "a") == ([1], [1])


def test_variables_of_one_name_are_refused_where_only_names_could_tell_them(tmp_path):
    net = tf.Module()
    net.weights = [tf.Variable([1.0]), tf.Variable([2.0])]
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    averages.create_averages(net.weights)
    with pytest.raises(ValueError, match="2 variables called 'Variable:0'; track the variables"):
        tf.train.Checkpoint(averages=averages).save(str(tmp_path / "c"))
    path = tf.train.Checkpoint(net=net, averages=averages).save(str(tmp_path / "c"))
    assert not [key for key, _ in tf.train.list_variables(path) if "average_of" in key]


def test_two_holders_of_averages_of_the_same_variables(tmp_path):
    found = []
    path = None
    for scale in (1.0, 0.0):
        net = Net(scale=scale)
        fast, slow = (tf_mavg.ExponentialMovingAverage(decay, name=f"d{decay}") for decay in (0, 1))
        checkpoint = tf.train.Checkpoint(net=net, fast=fast, slow=slow)
        fast.create_averages(net.all("ab"))
        slow.create_averages(net.all("bc"))
        if path is None:
            for averages, factor in ((fast, 10), (slow, 100)):
                for entry in averages.holder.entries():
                    entry.average.assign(factor * entry.variable)
            path = checkpoint.save(str(tmp_path / "c"))
        checkpoint.restore(path).assert_consumed()
        found.append((values(net, fast, "ab"), values(net, slow, "bc")))
    assert found[1] == found[0] == (([1, 2], [10, 20]), ([2, 3], [200, 300]))


@pytest.mark.parametrize("swapped", [False, True], ids=["in place", "swapped"])
def test_a_copy_has_averages_of_its_own(swapped):
    net = Net("ab")
    net.averages = tf_mavg.ExponentialMovingAverage(0.5)
    net.averages.apply(net.all("ab"))
    net.averages.average(net["a"]).assign([5.0])
    if swapped:
        net.averages.swap()
    other = copy.deepcopy(net)
    assert other.averages.is_swapped == swapped
    if swapped:
        other.averages.swap()
        assert net.averages.is_swapped
        net.averages.swap()
    other["a"].assign([100.0])
    other.averages.apply(other.all("ab"))
    assert values(other, other.averages, "ab") == ([100, 2], [52.5, 2])
    assert values(net, net.averages, "ab") == ([1, 2], [5, 2])
    assert other.averages.average(net["a"]) is None


def test_a_copy_that_is_swapped_has_what_rounding_would_lose():
    net = tf.Module()
    net.variable = tf.Variable(tf.constant(3.0, tf.bfloat16))
    net.averages = tf_mavg.ExponentialMovingAverage(0.5, average_dtype="float32")
    net.averages.apply([net.variable])
    net.averages.average(net.variable).assign(2.0)
    with net.averages.swapped():
        other = copy.deepcopy(net)
    other.averages.swap()
    assert (other.variable.numpy(), other.averages.average(other.variable).numpy()) == (3, 2)


def test_a_copy_of_the_optimizer_can_be_saved(tmp_path):
    net = tf.Module()
    net.variable = tf.Variable(1.0)
    net.optimizer = tf_mavg.MovingAverageOptimizer(
        tf.compat.v1.train.GradientDescentOptimizer(0.1), 0.5
    )
    net.optimizer.apply_gradients([(tf.constant(1.0), net.variable)])
    other = copy.deepcopy(net)
    tf.train.Checkpoint(net=other).save(str(tmp_path / "c"))


def test_a_variable_that_is_made_after_a_marked_restore_is_refused(tmp_path):
    path = saved("drop-in", "abc", tmp_path, swapping=True)
    net = Net("ab", scale=0.0)
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    checkpoint = tf.train.Checkpoint(net=net, averages=averages)
    restore(averages, checkpoint, path, swapping=True)
    assert values(net, averages, "ab") == ([1, 2], [10, 20])
    with pytest.raises(RuntimeError, match=r"'late:0' was made after the restore of a checkpoint"):
        net.weights["c"] = tf.Variable([0.0], name="late")


class Scalar(tf.Module):
    """A module whose attribute has the name that Keras 3 gives the variable in its own."""

    def __init__(self) -> None:
        """Has one variable."""
        super().__init__()
        self.value = tf.Variable(1.0)


class Unready(tf.Module):
    """A module that cannot be asked for a value."""

    def __init__(self) -> None:
        """Has one variable."""
        super().__init__()
        self.variable = tf.Variable(1.0)

    @property
    def value(self):
        """Not to be asked for."""
        raise RuntimeError


@pytest.mark.parametrize("kind", [Scalar, Unready])
def test_modules_with_a_value_are_no_variables(kind, tmp_path):
    module, averages = kind(), tf_mavg.ExponentialMovingAverage(0.5)
    (variable,) = module.variables if kind is Unready else [module.value]
    averages.apply([variable])
    checkpoint = tf.train.Checkpoint(module=module, averages=averages)
    manager = tf_mavg.SwappingCheckpointManager(checkpoint, averages, str(tmp_path))
    manager.save()
    variable.assign(3.0)
    manager.restore()
    assert variable.numpy() == 1
