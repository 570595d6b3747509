"""A .keras file without averages, of one that has them: loaded and saved by the Keras it is of."""

from __future__ import annotations

import contextlib
import importlib
import json
import zipfile
from typing import TYPE_CHECKING, Any

from tf_mavg._compat.keras import compiled_with
from tf_mavg._keras.finding import averaging_optimizers_of
from tf_mavg._keras.swapping import all_swapped

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def convert_keras_file(
    path: Path, output: Path, custom_objects: Mapping[str, Any] | None, *, averages: int | None
) -> None:
    """Saves a model as if compiled with the optimizer that `MovingAverage` wraps.

    Args:
      path: A .keras file.
      output: Where to save it.
      custom_objects: What its Keras is to know by name.
      averages: The index of the averages that are saved for weights; None for the weights.

    Raises:
      ValueError: If the model's optimizer keeps no averages, or none of a weight.
    """
    with zipfile.ZipFile(path) as archive:
        version = json.loads(archive.read("metadata.json"))["keras_version"]
    name = "tf_keras" if version.startswith("2.") else "keras"
    keras = importlib.import_module(name)
    importlib.import_module(f"tf_mavg.{name}")  # So that its Keras knows MovingAverage.
    model = keras.models.load_model(path, custom_objects=custom_objects)
    with contextlib.ExitStack() as stack:
        optimizers = averaging_optimizers_of(model)
        if optimizers:
            if averages is not None:
                stack.enter_context(all_swapped(optimizers, averages))
            for one in optimizers:
                stack.enter_context(compiled_with(model, one, one.inner_optimizer))
        else:
            optimizer: Any = getattr(model, "optimizer", None)
            optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # Of a LossScaleOptimizer.
            if not getattr(optimizer, "use_ema", False):
                message = (
                    "The model must be compiled with a MovingAverage, or an optimizer with "
                    f"use_ema=True. Received: {path}, with {optimizer!r}."
                )
                raise ValueError(message)
            if averages:
                message = (
                    "Keras's use_ema keeps one average of each weight. Received: "
                    f"index={averages}; take index=0."
                )
                raise ValueError(message)
            if averages is not None:
                optimizer.finalize_variable_values(model.trainable_variables)
        model.save(output)
