"""Trains a small recommender and averages its embeddings lazily: a step touches a few rows of them.

Run it with `python examples/recommender.py`. It makes up users, items and noisy ratings, and prints
the error of predictions for pairs that were held out: with the last weights, and with averages.
"""

import argparse

import keras
import numpy as np

import tf_mavg.keras

USERS, ITEMS, FACTORS = 5_000, 1_000, 4
RATINGS, HELD_OUT, BATCH_SIZE = 300_000, 20_000, 512
NOISE = 0.5


def ratings() -> tuple[np.ndarray, np.ndarray]:
    """Pairs of user and item, and how the one rates the other."""
    rng = np.random.default_rng(0)
    pairs = np.stack([rng.integers(0, USERS, RATINGS), rng.integers(0, ITEMS, RATINGS)], axis=1)
    users, items = rng.normal(size=(USERS, FACTORS)), rng.normal(size=(ITEMS, FACTORS))
    scores = (users[pairs[:, 0]] * items[pairs[:, 1]]).sum(axis=1) / np.sqrt(FACTORS)
    noisy = scores + NOISE * rng.normal(size=RATINGS)
    return pairs.astype(np.int32), noisy.astype(np.float32)


def recommender() -> keras.Model:
    """A model whose prediction is the product of a row for the user and one for the item."""
    pair = keras.Input((2,), dtype="int32")
    start = keras.initializers.RandomNormal(stddev=0.5, seed=1)
    of_user = keras.layers.Embedding(USERS, FACTORS, start, name="users")(pair[:, 0])
    of_item = keras.layers.Embedding(ITEMS, FACTORS, start, name="items")(pair[:, 1])
    return keras.Model(pair, keras.layers.Dot(axes=1)([of_user, of_item]))


def main() -> None:
    """Trains and evaluates."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=6)
    epochs = parser.parse_args().epochs
    pairs, scores = ratings()
    held_out = pairs[:HELD_OUT], scores[:HELD_OUT]

    keras.utils.set_random_seed(2)
    model = recommender()
    # SGD writes the rows of a batch, and no others. So do their averages.
    optimizer = tf_mavg.keras.MovingAverage(
        keras.optimizers.SGD(25.0), average_decay=0.999, num_updates="iterations", sparse="lazy"
    )
    model.compile(optimizer, "mse", jit_compile=False)
    model.fit(pairs[HELD_OUT:], scores[HELD_OUT:], batch_size=BATCH_SIZE, epochs=epochs, verbose=0)

    def report(what: str) -> None:
        error = np.sqrt(model.evaluate(*held_out, batch_size=4096, verbose=0))
        print(f"error {what}: {error:.4f}", flush=True)

    report("with the last weights")
    with optimizer.swapped():
        report("with their averages")


if __name__ == "__main__":
    main()
