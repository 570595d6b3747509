"""One training, several averages of its weights: what each brings, and which width is best.

Run it with `python examples/gallery.py`. A network learns handwritten digits, moved by up to a
pixel each way so that they cannot be learnt by heart. Small batches and a learning rate that is
high and stays so keep its weights jumping. It has five averages meanwhile: of a constant decay, of
a half-life, of all steps alike, and two power functions, of which snapshots are kept. Afterwards
`tf_mavg.posthoc.reconstruct` makes averages of other widths of these.

It prints accuracy and loss on held-out digits, and saves two plots in the folder --output:
averages.png, the averages beside the raw weights, and widths.png, accuracy and loss over the width.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import matplotlib as mpl
import numpy as np
import tensorflow as tf
from digits_data import train_and_held_out

import tf_mavg
from tf_mavg.decays import Constant, HalfLife, PowerFunction, Uniform

mpl.use("Agg")  # Plots are saved, not shown, so no display is needed.
from matplotlib import pyplot as plt

BATCH_SIZE = 16
LEARNING_RATE, MOMENTUM = 0.05, 0.9
# In the order of the plots; a constant decay of 0.99 has a half-life of 69 steps.
TRACKED = {
    "constant 0.99": Constant(0.99),
    "half-life 300": HalfLife(steps=300),
    "uniform": Uniform(),
}
SNAPSHOTS = (0.05, 0.10)  # The widths that snapshots are kept of.
WIDTHS = [round(0.02 * i, 2) for i in range(1, 15)]
SHOWN = (0.08, 0.16)  # Beside the other averages: chosen before the training, not after it.
RAW = "raw weights"
LAST = 10  # Epochs at the end, over which the raw weights' range is shown.
# Okabe and Ito's palette, which those who see fewer colours can tell apart too.
COLOURS = ("#999999", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00")


class Score(NamedTuple):
    """How well a network does on the held-out digits."""

    accuracy: float  # In percent.
    loss: float


class Data(NamedTuple):
    """Images, of 64 numbers in [0, 1] each, and digits."""

    images: np.ndarray
    digits: np.ndarray


def make_network() -> keras.Model:
    """Two hidden layers; the outputs are the digits' scores."""
    return keras.Sequential(
        [
            keras.layers.Input((64,)),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10),
        ]
    )


def moved(image: tf.Tensor, digit: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """An image moved by up to a pixel each way."""
    padded = tf.pad(tf.reshape(image, [8, 8]), [[1, 1], [1, 1]])
    return tf.reshape(tf.image.random_crop(padded, [8, 8], seed=0), [64]), digit


def score(network: keras.Model, data: Data) -> Score:
    """The score of the weights that a network has now."""
    logits = network(data.images)
    losses = keras.losses.sparse_categorical_crossentropy(data.digits, logits, from_logits=True)
    hits = np.argmax(logits, axis=1) == data.digits
    return Score(100 * float(np.mean(hits)), float(np.mean(losses)))


def train(data: Data, held_out: Data, epochs: int, snapshots: str) -> dict[str, list[Score]]:
    """Trains once, keeps snapshots, and returns the scores after each epoch."""
    powers = [PowerFunction(sigma_rel=width) for width in SNAPSHOTS]
    optimizer = tf_mavg.keras.MovingAverage(
        keras.optimizers.SGD(LEARNING_RATE, MOMENTUM), average_decay=[*TRACKED.values(), *powers]
    )
    network = make_network()
    network.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history: dict[str, list[Score]] = {name: [] for name in (RAW, *TRACKED)}

    def evaluate(epoch: int, logs: object) -> None:
        del epoch, logs
        history[RAW].append(score(network, held_out))
        for index, name in enumerate(TRACKED):
            with optimizer.swapped(index=index):
                history[name].append(score(network, held_out))

    batches = tf.data.Dataset.from_tensor_slices(tuple(data)).shuffle(len(data.digits), seed=0)
    network.fit(
        batches.map(moved).batch(BATCH_SIZE),
        epochs=epochs,
        callbacks=[
            tf_mavg.keras.AverageSnapshots(snapshots),
            keras.callbacks.LambdaCallback(on_epoch_end=evaluate),
        ],
        shuffle=False,  # The dataset does it.
        verbose=0,
    )
    return history


def scores_of_widths(snapshots: str, held_out: Data) -> dict[float, Score]:
    """Makes the averages of all widths in one pass over the snapshots, and evaluates each."""
    network = make_network()
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/{width}.weights.h5" for width in WIDTHS]
        tf_mavg.posthoc.reconstruct(snapshots, files, WIDTHS)
        found = {}
        for width, file in zip(WIDTHS, files, strict=True):
            network.load_weights(file)
            found[width] = score(network, held_out)
        return found


def table(final: Mapping[str, Score], history: Mapping[str, list[Score]], count: int) -> str:
    """The scores at the end, and how the raw ones have jumped."""
    last = [one.accuracy for one in history[RAW][-LAST:]]
    jumps = f"raw weights after each of the last {len(last)} epochs"
    rows = [f"{name:24}{s.accuracy:>10.2f} %{s.loss:>10.4f}" for name, s in final.items()]
    return "\n".join(
        [
            f"{f'on {count} held-out digits':24}{'accuracy':>12}{'loss':>10}",
            *rows,
            f"{jumps}: {min(last):.2f} % to {max(last):.2f} %",
        ]
    )


def plot_averages(
    history: Mapping[str, list[Score]], final: Mapping[str, Score], path: Path
) -> None:
    """Saves accuracies over the epochs, and those at the end."""
    colours = dict(zip(final, COLOURS, strict=True))
    figure, (curves, ends) = plt.subplots(
        1, 2, figsize=(9, 3.5), layout="constrained", width_ratios=(3, 2)
    )
    for name, scores in history.items():
        epochs = range(1, len(scores) + 1)
        accuracies = [one.accuracy for one in scores]
        curves.plot(epochs, accuracies, color=colours[name], linewidth=1.5, label=name)
    # The first fifth is far below the rest, which would have no room to be told apart.
    late = [one.accuracy for one in history[RAW][len(history[RAW]) // 5 :]]
    curves.set_ylim(min(late) - 2, 100)
    curves.set_xlabel("epoch")
    curves.set_ylabel("accuracy on held-out digits in %")
    curves.legend(loc="lower right")
    for place, (name, one) in enumerate(final.items()):
        ends.plot(one.accuracy, place, "o", color=colours[name], markersize=9)
        ends.text(one.accuracy, place - 0.25, f"{one.accuracy:.1f}", ha="center")
    ends.set_yticks(range(len(final)), list(final))
    ends.set_ylim(len(final) - 0.5, -0.7)
    ends.margins(x=0.1)
    ends.set_xlabel("accuracy at the end in %")
    for axes in (curves, ends):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    save(figure, path)


def plot_widths(by_width: Mapping[float, Score], raw: Sequence[Score], path: Path) -> None:
    """Saves accuracy and loss over the width, beside those of the raw weights."""
    figure, panels = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    for axes, measure in zip(panels, Score._fields, strict=True):
        values = [getattr(one, measure) for one in raw[-LAST:]]
        axes.axhspan(
            min(values),
            max(values),
            color="#999999",
            alpha=0.2,
            linewidth=0,
            label=f"raw weights, last {len(values)} epochs",
        )
        axes.axhline(values[-1], color="#999999", linestyle="--", label="raw weights at the end")
        axes.plot(
            [*by_width],
            [getattr(one, measure) for one in by_width.values()],
            "o-",
            color="#0072B2",
            label="averages, made of snapshots",
        )
        for i, width in enumerate(SNAPSHOTS):
            label = None if i else "widths of the snapshots"
            axes.axvline(width, color="#E69F00", linestyle=":", zorder=1, label=label)
        axes.set_xlabel("relative width of the average, sigma_rel")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("accuracy on held-out digits in %")
    panels[1].set_ylabel("loss on held-out digits")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    save(figure, path)


def save(figure: plt.Figure, path: Path) -> None:
    """Saves a plot."""
    figure.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    """Trains, makes averages of other widths, prints and plots."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0, help="of weights, batches and moves")
    parser.add_argument("--output", type=Path, default=Path("out"), help="folder for the plots")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)

    keras.utils.set_random_seed(options.seed)
    x, y, held_out_x, held_out_y = train_and_held_out()
    held_out = Data(held_out_x, held_out_y)
    with tempfile.TemporaryDirectory() as snapshots:
        history = train(Data(x, y), held_out, options.epochs, snapshots)
        by_width = scores_of_widths(snapshots, held_out)

    final = {name: scores[-1] for name, scores in history.items()}
    final |= {f"post-hoc, width {width}": by_width[width] for width in SHOWN}
    print(table(final, history, len(held_out_y)))
    print()
    print(f"{'width':24}{'accuracy':>12}{'loss':>10}")
    for width, one in by_width.items():
        print(f"{width:<24.2f}{one.accuracy:>10.2f} %{one.loss:>10.4f}")
    plot_averages(history, final, options.output / "averages.png")
    plot_widths(by_width, history[RAW], options.output / "widths.png")
    print(f"\nplots: {options.output / 'averages.png'}, {options.output / 'widths.png'}")


if __name__ == "__main__":
    main()
