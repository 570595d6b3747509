"""Keras fit with averages: compiled by XLA, in mixed precision, on handwritten digits.

Run it with `python examples/keras_fit.py`. It prints the accuracy on held-out digits with the last
weights, which a large learning rate keeps noisy, and with their averages.
"""

import argparse

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import tf_mavg


def main() -> None:
    """Trains a small network and evaluates it twice."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=20)
    epochs = parser.parse_args().epochs

    keras.utils.set_random_seed(0)
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    images, digits = load_digits(return_X_y=True)
    x, held_out_x, y, held_out_y = train_test_split(
        images.astype("float32") / 16, digits, test_size=0.3, random_state=0
    )

    model = keras.Sequential(
        [
            keras.layers.Input((64,)),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10, dtype="float32"),
        ]
    )
    optimizer = tf_mavg.keras.MovingAverage(
        keras.optimizers.Adam(0.02), average_decay=0.99, num_updates="iterations"
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=True)
    model.fit(
        x,
        y,
        batch_size=16,
        epochs=epochs,
        validation_data=(held_out_x, held_out_y),
        callbacks=[tf_mavg.keras.EvaluateAverages()],  # Validation is of the averages.
        verbose=0,
    )

    _, raw = model.evaluate(held_out_x, held_out_y, verbose=0)
    with optimizer.swapped():
        _, averaged = model.evaluate(held_out_x, held_out_y, verbose=0)
    print(f"accuracy with the last weights: {raw:.4f}")
    print(f"accuracy with their averages:   {averaged:.4f}")


if __name__ == "__main__":
    main()
