"""What the validation of a fit evaluates: averages of one index, others, and the weights.

Keras calls no callback when an evaluation fails, so a swap that a callback begins could stay. The
swap is therefore made around the model's own `evaluate`, for those calls that fit makes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tf_mavg._averages.checkpoints.identity import called
from tf_mavg._keras.swapping import all_swapped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def evaluate_each(evaluators: Sequence[Any], evaluate: Callable[[], Any]) -> Any:
    """Evaluates what the callbacks of a fit ask for.

    Args:
      evaluators: The callbacks that evaluate averages. The first index of the first of them gives
        the metrics their own names.
      evaluate: Evaluates the model as it is; returns its metrics, by name.

    Returns:
      The metrics: "loss" of the first index, "average_1_loss" of another, and "weights_loss".

    Raises:
      ValueError: If the callbacks evaluate averages of different optimizers.
    """
    optimizers = evaluators[0].optimizers()
    for other in evaluators[1:]:
        if {id(one) for one in other.optimizers()} != {id(one) for one in optimizers}:
            message = (
                "All callbacks of a fit that evaluate averages must do so with the same "
                f"optimizers. Received: {[one.name for one in optimizers]} and "
                f"{[one.name for one in other.optimizers()]}; give each callback all of them."
            )
            raise ValueError(message)
    indices = list(dict.fromkeys(index for one in evaluators for index in one.indices))
    with all_swapped(optimizers, indices[0]):
        found = evaluate()
    for index in indices[1:]:
        with all_swapped(optimizers, index):
            found |= _renamed(called("average", index), evaluate())
    if any(one.also_weights for one in evaluators):
        for one in evaluators:
            one.evaluates_weights = True
        try:
            found |= _renamed("weights", evaluate())
        finally:
            for one in evaluators:
                one.evaluates_weights = False
    return found


def _renamed(whose: str, metrics: dict[str, Any]) -> dict[str, Any]:
    return {f"{whose}_{name}": value for name, value in metrics.items()}
