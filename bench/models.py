"""Shapes of the trainable variables of known networks."""

from __future__ import annotations

import functools

from tf_mavg_check.shapes import FEED_FORWARD, Shape, bert_large, resnet_50

__all__ = ["Shape", "bert_large", "gpt2_xl", "mobilenet_v3", "resnet_50"]


@functools.cache
def mobilenet_v3() -> tuple[Shape, ...]:
    """The 174 variables of Keras's MobileNetV3 Large, most of them tiny."""
    return keras_shapes("MobileNetV3Large")


def keras_shapes(name: str) -> tuple[Shape, ...]:
    """The shapes of a model of keras.applications, which is built for it and thrown away."""
    import keras  # noqa: PLC0415 - takes seconds.
    import tensorflow as tf  # noqa: PLC0415 - the same.

    with tf.device("cpu"):
        model = getattr(keras.applications, name)(weights=None)
    return tuple(tuple(variable.shape) for variable in model.trainable_variables)


def gpt2_xl(layers: int) -> tuple[Shape, ...]:
    """A decoder with the widths of GPT-2 XL, of which 48 layers make 580 variables.

    Radford et al., 2019: width 1,600, a vocabulary of 50,257, 1,024 positions.
    """
    width = 1600
    norm = [(width,), (width,)]
    layer = [
        *[*norm, (width, 3 * width), (3 * width,), (width, width), (width,)],
        *[*norm, (width, FEED_FORWARD * width), (FEED_FORWARD * width,)],
        *[(FEED_FORWARD * width, width), (width,)],
    ]
    return ((50_257, width), (1024, width), *layers * layer, *norm)
