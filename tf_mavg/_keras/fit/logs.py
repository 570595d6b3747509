"""What a fit logs of averages: decay, count of steps, distance from the weights."""

from __future__ import annotations

from typing import Any

from tf_mavg._averages.checkpoints.identity import called
from tf_mavg._keras.finding import averaging_optimizers_of


class AverageLogging:
    """Adds decay, count of steps and distance of averages to the logs of each epoch of fit.

    They are `average_decay`, `average_steps` and `average_distance`: the decay of the last step,
    how many there were, and the Euclidean norm of averages minus weights, which shows in time that
    one of both diverges. Averages that count no steps log those of the optimizer. Of further
    averages it is `average_1_decay` and so on; if the model has several MovingAverages, their names
    stand in the place of "average". The history has them, and whatever callback comes later in the
    list, as a TensorBoard or a CSVLogger.
    """

    model: Any

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Adds them.

        Raises:
          ValueError: If the model has no MovingAverage, or two of one name.
        """
        super().on_epoch_end(epoch, logs)  # type: ignore[misc]
        optimizers = averaging_optimizers_of(self.model)
        if not optimizers:
            message = (
                "The model must be compiled with a MovingAverage. "
                f"Received: {getattr(self.model, 'optimizer', None)!r}."
            )
            raise ValueError(message)
        names = [optimizer.name for optimizer in optimizers]
        if len(set(names)) < len(names):
            message = (
                "Each MovingAverage of a model must have a name of its own, to be logged by it. "
                f"Received: {names}; make them with name=."
            )
            raise ValueError(message)
        if logs is None:
            return
        for optimizer in optimizers:
            if not optimizer.holder.count:  # It has taken no step yet, or averages nothing.
                continue
            name = "average" if len(optimizers) == 1 else optimizer.name
            for index, decay in enumerate(optimizer.last_decays()):
                logs[f"{called(name, index)}_decay"] = decay
                distance = float(optimizer.distance(index=index))
                logs[f"{called(name, index)}_distance"] = distance
            logs[f"{name}_steps"] = optimizer.last_step()
