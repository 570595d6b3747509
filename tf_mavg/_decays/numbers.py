"""Checks of the numbers that make a schedule: each gives a float, or says what it must be."""

from __future__ import annotations

import math
import numbers

import numpy as np


def number_in(name: str, value: object, low: float, high: float) -> float:
    """An argument as a number in [low, high]; raises ValueError unless it is one."""
    number = _number(value)
    if not low <= number <= high:
        message = f"`{name}` must be in [{low:g}, {high:g}]. Received: {name}={value!r}."
        raise ValueError(message)
    return number


def not_negative(name: str, value: object) -> float:
    """An argument as a finite number of 0 or more; raises ValueError unless it is one."""
    number = _number(value)
    if not 0 <= number < math.inf:
        message = f"`{name}` must be a finite number, 0 or more. Received: {name}={value!r}."
        raise ValueError(message)
    return number


def positive(name: str, value: object) -> float:
    """An argument as a finite number above 0; raises ValueError unless it is one."""
    number = _number(value)
    if not 0 < number < math.inf:
        message = f"`{name}` must be a finite number above 0. Received: {name}={value!r}."
        raise ValueError(message)
    return number


def _number(value: object) -> float:
    """A real number as Python's; NaN, which is in no interval, for what is none."""
    is_real = isinstance(value, numbers.Real | np.number) and not isinstance(value, bool)
    return float(value) if is_real else math.nan  # type: ignore[arg-type]
