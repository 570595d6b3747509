"""Handwritten digits for the examples that train on several processes."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def train_and_held_out() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images of 64 numbers in [0, 1] and digits to train on, then those that are held out."""
    images, digits = load_digits(return_X_y=True)
    x, held_out_x, y, held_out_y = train_test_split(
        images.astype("float32") / 16, digits.astype("int32"), test_size=0.3, random_state=0
    )
    return x, y, held_out_x, held_out_y
