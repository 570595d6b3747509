"""Shapes of the trainable variables of known networks."""

from __future__ import annotations

Shape = tuple[int, ...]

# The feed-forward block of BERT and GPT-2 is so many times wider than the rest.
FEED_FORWARD = 4


def resnet_50() -> tuple[Shape, ...]:
    """The 214 variables of Keras's ResNet-50, whose convolutions have biases.

    He et al., 2015: blocks of three convolutions, of which the last one is four times wider.
    """

    def convolution(size: int, inputs: int, outputs: int) -> list[Shape]:
        return [(size, size, inputs, outputs), *3 * [(outputs,)]]  # Bias; scale and shift.

    shapes = convolution(7, 3, 64)
    inputs = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        outputs = 4 * width
        for block in range(blocks):
            if block == 0:
                shapes += convolution(1, inputs, outputs)  # The short cut.
            shapes += convolution(1, inputs, width)
            shapes += convolution(3, width, width)
            shapes += convolution(1, width, outputs)
            inputs = outputs
    return (*shapes, (inputs, 1000), (1000,))


def bert_large() -> tuple[Shape, ...]:
    """The 391 variables of BERT-large: embeddings, 24 layers of width 1,024, the pooler.

    Devlin et al., 2019: a vocabulary of 30,522, 512 positions, 2 segments.
    """
    width = 1024
    norm = [(width,), (width,)]
    layer = [
        *3 * [(width, width), (width,)],  # Query, key and value.
        *[(width, width), (width,), *norm],
        *[(width, FEED_FORWARD * width), (FEED_FORWARD * width,)],
        *[(FEED_FORWARD * width, width), (width,), *norm],
    ]
    embeddings = [(30_522, width), (512, width), (2, width), *norm]
    return (*embeddings, *24 * layer, (width, width), (width,))
