"""Which rows a step of a Keras optimizer writes: whether no others than its gradients name.

Optimizers with moments of all rows, or weight decay, write rows without a gradient. No attribute
tells, so a copy of the optimizer takes a few steps with a small table.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from types import ModuleType


def check_writes_named_rows(keras: ModuleType, optimizer: Any) -> None:
    """Raises ValueError if an optimizer writes rows that its gradients do not name."""
    more = getattr(optimizer, "gradient_accumulation_steps", None) or getattr(
        optimizer, "use_ema", False
    )
    if more or not _on_a_thread(lambda: _writes_named_rows(keras, optimizer)):
        message = (
            'With sparse="lazy", an optimizer must write no other rows than its gradients name. '
            f"Received: {optimizer.name!r}, a {type(optimizer).__name__} that does, by moments of "
            "all rows, weight decay, use_ema or gradients that it adds up; use SGD without "
            'momentum or Adagrad, without these, or take sparse="dense".'
        )
        raise ValueError(message)


def _on_a_thread(ask: Any) -> bool:
    """Calls a function past the caller's graph, devices and strategy: a thread has its own."""
    answers: list[Any] = []

    def work() -> None:
        try:
            answers.append(ask())
        except BaseException as error:  # noqa: BLE001 - raised below.
            answers.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if isinstance(answers[0], BaseException):
        raise answers[0]
    return bool(answers[0])


def _writes_named_rows(keras: ModuleType, optimizer: Any) -> bool:
    config = optimizer.get_config()
    if "learning_rate" in config:
        config["learning_rate"] = 0.5  # A schedule may begin at 0.
    copied = type(optimizer).from_config(config)
    with tf.device("/cpu:0"):
        start = np.arange(1, 9, dtype=np.float32).reshape(4, 2)
        table = (getattr(keras, "Variable", None) or tf.Variable)(start, name="rows")
        for rows in ([0, 1], [1, 2], [1, 2]):
            before = table.numpy()
            slices = tf.IndexedSlices(tf.ones([2, 2]), tf.constant(rows), tf.constant([4, 2]))
            copied.apply_gradients([(slices, table)])
            written = np.flatnonzero((table.numpy() != before).any(axis=1))
            if not set(written) <= set(rows):
                return False
    return True
