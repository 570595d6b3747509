"""The demo: it runs from the command line, and what it prints is what the averages give."""

from pathlib import Path

import digits
import numpy as np
import pytest
import tensorflow as tf

STEPS = 20


@pytest.fixture(scope="module")
def data() -> tuple[digits.Data, digits.Data]:
    return digits.load_data()


def test_runs_and_prints_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digits.main(["--steps", str(STEPS), "--output", str(tmp_path)])
    printed = capsys.readouterr().out
    for expected in (
        "raw weights",
        "averaged, from the checkpoint",
        "tf.train.ExponentialMovingAverage",
        "convolution_1/kernel/ExponentialMovingAverage",
    ):
        assert expected in printed
    assert (tmp_path / "digits.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "digits.index").exists()


def test_rejects_no_steps(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        digits.main(["--steps", "0"])
    assert "--steps must be at least 1. Received: 0" in capsys.readouterr().err


def test_the_split_keeps_training_and_test_apart(data: tuple[digits.Data, digits.Data]) -> None:
    train, test = data
    assert len(train.labels) + len(test.labels) == 1797
    assert train.images.shape[1:] == (8, 8, 1)
    assert 0 <= train.images.min() < train.images.max() <= 1
    assert np.array_equal(np.unique(test.labels), np.arange(10))
    both = np.concatenate([train.images, test.images]).reshape(1797, -1)
    assert len(np.unique(both, axis=0)) == 1797


def test_batches_see_every_image_before_one_again(data: tuple[digits.Data, digits.Data]) -> None:
    train = digits.Data(data[0].images[:32], np.arange(32))
    labels = [batch.labels for batch in digits.batches(train, steps=4, seed=0)]
    assert sorted(np.concatenate(labels[:2])) == list(range(32))
    assert sorted(np.concatenate(labels[2:])) == list(range(32))


def test_moved_images_keep_their_inner_pixels() -> None:
    images = np.zeros((1, 8, 8, 1), np.float32)
    images[0, 1:-1, 1:-1] = np.arange(1, 37).reshape(6, 6, 1)
    generator = np.random.default_rng(0)
    seen = {digits.moved(images, generator).tobytes() for _ in range(100)}
    assert len(seen) == 9
    for pixels in seen:
        moved = np.frombuffer(pixels, np.float32)
        assert sorted(moved[moved > 0]) == list(range(1, 37))


def test_the_restored_checkpoint_scores_as_the_averages_do(
    tmp_path: Path, data: tuple[digits.Data, digits.Data]
) -> None:
    _, test = data
    with tf.Graph().as_default():
        tf.compat.v1.set_random_seed(0)
        training = digits.build_training()
        saver = training.optimizer.swapping_saver()
        variables = tf.compat.v1.trainable_variables()
        averages = [training.optimizer.averages.average(v) for v in variables]
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            history = digits.train(session, training, data, STEPS, seed=0)
            saver.save(session, str(tmp_path / "digits"))
            raw = training.network.score(session, test)
            average_values = session.run(averages)
    with (
        tf.Graph().as_default()
    ):  # The averages as the weights of another network: no swap, no saver.
        network = digits.build_network()
        with tf.compat.v1.Session() as session:
            for variable, value in zip(
                tf.compat.v1.trainable_variables(), average_values, strict=True
            ):
                session.run(variable.initializer, {variable.initializer.inputs[1]: value})
            direct = network.score(session, test)
    restored = digits.score_checkpoint(tmp_path / "digits", test)
    assert history.steps[-1] == STEPS
    assert history.raw[-1] == raw
    assert history.averaged[-1] == restored
    assert restored == direct
    assert restored != raw


def test_the_checkpoint_holds_averages_under_the_networks_names(
    tmp_path: Path, data: tuple[digits.Data, digits.Data]
) -> None:
    digits.train_and_save(data, STEPS, seed=0, checkpoint=tmp_path / "digits")
    keys = set(tf.train.load_checkpoint(str(tmp_path / "digits")).get_variable_to_shape_map())
    layers = ["convolution_1", "convolution_2", "dense_1", "dense_2"]
    weights = {f"{layer}/{part}" for layer in layers for part in ("kernel", "bias")}
    assert keys == (
        weights
        | {f"{weight}/ExponentialMovingAverage" for weight in weights}
        | {f"{weight}/Momentum" for weight in weights}
        | {"global_step", "tf_mavg/swapped"}
    )


def test_two_runs_of_one_seed_agree(tmp_path: Path, data: tuple[digits.Data, digits.Data]) -> None:
    first, second = (
        digits.train_and_save(data, STEPS, seed=3, checkpoint=tmp_path / name) for name in "ab"
    )
    assert first.steps == second.steps
    # Threads may add up in another order.
    np.testing.assert_allclose(first.averaged, second.averaged, rtol=1e-3)


def test_times_are_of_the_ops_that_are_named() -> None:
    times = digits.time_averaging(rounds=3)
    assert min(times) > 0
    assert (
        digits.medians([lambda: None, lambda: None, lambda: None], rounds=3)._fields
        == times._fields
    )
