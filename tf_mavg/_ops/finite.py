"""Answers of several ops as one: whether the variables of all of them are finite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Sequence


def all_of(answers: Sequence[tf.Tensor], name: str | None = None) -> tf.Tensor:
    """Whether all of some scalar bool tensors are true; several make a tensor of that name."""
    if len(answers) == 1:
        return answers[0]
    with tf.device("CPU:0"):  # All of them are in host memory.
        return tf.reduce_all(answers, name=name)
