"""Networks and a step of their training, to see what averaging adds to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from .. import device

if TYPE_CHECKING:
    from collections.abc import Callable

LEARNING_RATE, MOMENTUM = 0.01, 0.9


class Network(NamedTuple):
    """A network and data of the shapes that it learns from; what the data are costs nothing.

    Attributes:
      model: Made anew by each call of what makes the network.
      inputs: A batch.
      classes: What the network tells apart, in each row of its output.
    """

    model: keras.Model
    inputs: tf.Tensor
    classes: int


class Training(NamedTuple):
    """Variables and the step that trains them; to be called in a tf.function or by one."""

    variables: list[tf.Variable]
    step: Callable[[], None]


def digits() -> Network:
    """The network of examples/digits.py: two convolutions, two dense layers, batches of 16."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input([8, 8, 1]),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.MaxPool2D(),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPool2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10),
        ]
    )
    return Network(model, tf.random.uniform([16, 8, 8, 1]), classes=10)


def dense(layers: int = 200) -> Network:
    """So many small dense layers, each of a kernel and a bias: a step of many short ops."""
    width, batch = 64, 8
    hidden = [
        keras.layers.Dense(width, "relu", kernel_initializer="he_normal") for _ in range(layers)
    ]
    model = keras.Sequential([keras.Input([width]), *hidden])
    return Network(model, tf.random.uniform([batch, width]), classes=width)


class Transformer(NamedTuple):
    """The sizes of a decoder, and of its batches."""

    layers: int = 6
    width: int = 256
    heads: int = 4
    vocabulary: int = 8_000
    length: int = 128
    batch: int = 8


def transformer(sizes: Transformer = Transformer()) -> Network:  # noqa: B008 - immutable.
    """A small decoder that predicts the next token."""
    layers = keras.layers
    tokens = keras.Input([sizes.length], dtype="int32")
    hidden = layers.Embedding(sizes.vocabulary, sizes.width)(tokens)
    for _ in range(sizes.layers):
        normal = layers.LayerNormalization()(hidden)
        attention = layers.MultiHeadAttention(sizes.heads, sizes.width // sizes.heads)
        hidden = layers.Add()([hidden, attention(normal, normal, use_causal_mask=True)])
        wide = layers.Dense(4 * sizes.width, activation="gelu")(layers.LayerNormalization()(hidden))
        hidden = layers.Add()([hidden, layers.Dense(sizes.width)(wide)])
    logits = layers.Dense(sizes.vocabulary)(layers.LayerNormalization()(hidden))
    shape = [sizes.batch, sizes.length]
    inputs = tf.random.uniform(shape, maxval=sizes.vocabulary, dtype=tf.int32)
    return Network(keras.Model(tokens, logits), inputs, sizes.vocabulary)


NETWORKS: Final = {"digits network": digits, "small transformer": transformer}


def training(make: Callable[[], Network]) -> Training:
    """A new network and the step that trains it, with momentum."""
    with tf.device(device.name()):
        model, inputs, classes = make()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        optimizer = keras.optimizers.SGD(LEARNING_RATE, MOMENTUM)
        optimizer.build(model.trainable_variables)
        labels = tf.constant(
            np.random.default_rng(0).integers(0, classes, model(inputs).shape[:-1])
        )

    def step() -> None:
        with tf.GradientTape() as tape:
            error = loss(labels, model(inputs, training=True))
        gradients = tape.gradient(error, model.trainable_weights)
        optimizer.apply(gradients, model.trainable_weights)

    return Training([variable.value for variable in model.trainable_weights], step)
