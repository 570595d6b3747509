"""A training loop of one's own in a tf.function, with averages and checkpoints that resume.

Run it with `python examples/custom_loop.py`. It prints the accuracy on held-out digits with the
last weights and with their averages; then again from a checkpoint, which a model restores that
knows nothing of averages.
"""

import argparse
import tempfile

import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import tf_mavg


class Classifier(tf.Module):
    """Two layers; the second one's outputs are the digits' scores."""

    def __init__(self) -> None:
        """Draws the weights."""
        super().__init__()
        draw = tf.random.Generator.from_seed(0)
        self.hidden = tf.Variable(draw.normal([64, 64], stddev=0.1))
        self.bias = tf.Variable(tf.zeros([64]))
        self.output = tf.Variable(draw.normal([64, 10], stddev=0.1))

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """The scores of each image."""
        return tf.nn.relu(images @ self.hidden + self.bias) @ self.output


def main() -> None:
    """Trains, evaluates twice, saves, and evaluates what was saved."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=20)
    epochs = parser.parse_args().epochs

    images, digits = load_digits(return_X_y=True)
    x, held_out_x, y, held_out_y = train_test_split(
        images.astype("float32") / 16, digits.astype("int32"), test_size=0.3, random_state=0
    )
    batches = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=0).batch(16)

    model = Classifier()
    step = tf.Variable(0, dtype=tf.int64)
    averages = tf_mavg.ExponentialMovingAverage(0.99, num_updates=step)
    averages.create_averages(model.trainable_variables)

    @tf.function
    def train(images: tf.Tensor, labels: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(images))
            loss = tf.reduce_mean(losses)
        variables = model.trainable_variables
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(1.0 * gradient)
        step.assign_add(1)
        averages.apply(variables)

    def accuracy(model: Classifier) -> float:
        found = tf.argmax(model(held_out_x), axis=1, output_type=tf.int32)
        return float(tf.reduce_mean(tf.cast(found == held_out_y, tf.float32)))

    for _ in range(epochs):
        for batch in batches:
            train(*batch)

    print(f"accuracy with the last weights: {accuracy(model):.4f}")
    with averages.swapped():
        print(f"accuracy with their averages:   {accuracy(model):.4f}")

    with tempfile.TemporaryDirectory() as folder:
        checkpoint = tf.train.Checkpoint(model=model, step=step, averages=averages)
        path = tf_mavg.SwappingCheckpointManager(checkpoint, averages, folder).save()
        restored = Classifier()
        tf.train.Checkpoint(model=restored).restore(path).expect_partial()
        print(f"accuracy from the checkpoint:   {accuracy(restored):.4f}")


if __name__ == "__main__":
    main()
