"""Float32 numbers as two halves of 16 bits, a bfloat16 and a remainder.

See cc/core/formulas/split.h.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def split(value: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Splits float32 numbers into halves that hold all of their bits.

    Args:
      value: A float32 tensor, or what is converted to one.

    Returns:
      The numbers rounded to bfloat16, ties away from zero, and an int16 tensor of what the rounding
      has left. A NaN becomes a quiet one without the lower half of its payload.
    """
    value = tf.cast(value, tf.float32)
    bits = tf.bitcast(value, tf.int32)
    quiet = tf.bitwise.bitwise_and(tf.bitwise.bitwise_or(bits, 0x00400000), -0x10000)
    kept = tf.where(tf.math.is_nan(value), quiet, bits)
    high = tf.cast(tf.bitwise.right_shift(kept + 0x8000, 16), tf.int16)
    return tf.bitcast(high, tf.bfloat16), tf.cast(kept, tf.int16)


def join(high: Any, remainder: Any) -> tf.Tensor:
    """The float32 numbers of halves that `split` has made.

    Args:
      high: A bfloat16 tensor.
      remainder: An int16 tensor of its shape.
    """
    upper = tf.cast(tf.bitcast(tf.convert_to_tensor(high), tf.int16), tf.int32)
    bits = tf.bitwise.left_shift(upper, 16) + tf.cast(remainder, tf.int32)
    return tf.bitcast(bits, tf.float32)
