"""The saver that writes averages under the names of their variables, and resumes from that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tensorflow as tf
from tensorflow.python.training.saving import saveable_object_util

from tf_mavg._ops.variables import shards

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tf_mavg._tensorflow.exponential import ExponentialMovingAverage


@dataclass(frozen=True)
class SwappedVarList:
    """What a swapping saver saves.

    Attributes:
      by_key: The variable, or list of shards, that is saved under each key.
      weight_keys: For the key of each averaged variable's own value, the key of its average. The
        names are those of the variables' ops: "w/ExponentialMovingAverage" -> "w".
    """

    by_key: dict[str, Any]
    weight_keys: dict[str, str]


def swapped_var_list(
    var_list: Any, pairs: Iterable[tuple[tf.Variable, tf.Variable]]
) -> SwappedVarList:
    """Assigns to each key of `var_list` the partner of the variable that it stands for.

    Args:
      var_list: Variables as `tf.compat.v1.train.Saver` takes them, a list or a dictionary.
      pairs: Each variable with its average.

    Raises:
      ValueError: If `var_list` has a variable but not its average, or the other way.
    """
    if not isinstance(var_list, dict):
        var_list = saveable_object_util.op_list_to_dict(
            shards(var_list), convert_variable_to_tensor=False
        )
    keys = {id(v): key for key, saved in var_list.items() for v in shards(_as_list(saved))}
    partners: dict[int, tf.Variable] = {}
    weight_keys: dict[str, str] = {}
    for variable, average in pairs:
        present = [id(v) in keys for v in (variable, average)]
        if any(present) and not all(present):
            missing = (variable, average)[present.index(False)]
            message = (
                f"Variable to swap {missing.op.name} is not part of variables to save. "
                "This breaks MovingAverageOptimizer."
            )
            raise ValueError(message)
        if all(present):
            partners[id(variable)] = average
            partners[id(average)] = variable
            weight_keys[keys[id(average)]] = keys[id(variable)]

    def partner(saved: Any) -> Any:
        if isinstance(saved, tf.Variable):
            return partners.get(id(saved), saved)
        members = [partners.get(id(v), v) for v in shards(_as_list(saved))]
        return members if isinstance(saved, list) or len(members) > 1 else members[0]

    return SwappedVarList({key: partner(saved) for key, saved in var_list.items()}, weight_keys)


class SwappingSaver(tf.compat.v1.train.Saver):  # type: ignore[misc]
    """A Saver whose checkpoints hold each average under its variable's name.

    The variable's own value is saved under the average's name, so that restoring with this saver
    is the identity and training resumes exactly. `MovingAverageOptimizer.swapping_saver` makes it.
    """

    def __init__(
        self,
        var_list: SwappedVarList,
        *,
        averages: ExponentialMovingAverage,
        start_missing_averages: bool,
        **kwargs: Any,
    ) -> None:
        """As `MovingAverageOptimizer.swapping_saver`."""
        others = [
            saved
            for entry in var_list.by_key.values()
            for saved in _as_list(entry)
            if not isinstance(saved, tf.Variable)
        ]
        if others and start_missing_averages:
            message = (
                "`var_list` must hold variables only where missing averages are to be started. "
                f"Received: {others[0]!r}."
            )
            raise TypeError(message)
        self._swapped = var_list
        self._averages = averages
        self._start_missing_averages = start_missing_averages
        super().__init__(var_list.by_key, **kwargs)

    def save(self, *args: Any, **kwargs: Any) -> str | None:
        """Saves as `tf.compat.v1.train.Saver.save`.

        Raises:
          RuntimeError: If averages and variables are swapped, which would save each under the
            wrong name.
        """
        if self._averages.is_swapped:
            message = "A checkpoint cannot be saved while averages and variables are swapped."
            raise RuntimeError(message)
        return super().save(*args, **kwargs)  # type: ignore[no-any-return]

    def restore(self, sess: tf.compat.v1.Session, save_path: str) -> None:
        """Restores as `tf.compat.v1.train.Saver.restore`.

        With `start_missing_averages`, a variable whose average is not in the checkpoint and that
        average both receive what is saved under the variable's name.

        Raises:
          tf.errors.NotFoundError: If averages are missing and were not to be started.
          RuntimeError: If averages and variables are swapped.
          ValueError: If the value that an average is to start from has another shape.
        """
        if self._averages.is_swapped:
            message = "A checkpoint cannot be restored while averages and variables are swapped."
            raise RuntimeError(message)
        try:
            reader = tf.train.load_checkpoint(save_path)
        except (TypeError, ValueError, tf.errors.OpError):
            super().restore(sess, save_path)  # It has the words for a path that is none.
            return
        saved_keys = reader.get_variable_to_shape_map()
        missing = sorted(set(self._swapped.weight_keys) - set(saved_keys))
        if not missing:
            super().restore(sess, save_path)
            return
        if not self._start_missing_averages:
            message = (
                f"The checkpoint {save_path} lacks {len(missing)} of "
                f"{len(self._swapped.weight_keys)} averages, the first under key {missing[0]!r}. "
                "To start averages from their variables, make the saver with "
                "swapping_saver(start_missing_averages=True)."
            )
            raise tf.errors.NotFoundError(None, None, message)
        self._restore_starting(sess, reader, missing)
        tf.get_logger().info(
            "%s lacks %d of %d averages: each of these starts from its variable.",
            save_path,
            len(missing),
            len(self._swapped.weight_keys),
        )

    def _restore_starting(
        self, sess: tf.compat.v1.Session, reader: Any, missing: list[str]
    ) -> None:
        """Loads variable by variable, through the initializers: it adds nothing to the graph."""
        sources = {key: key for key in self._swapped.by_key}
        sources.update({key: self._swapped.weight_keys[key] for key in missing})
        # All values are read before the first is assigned: a key that is missing changes nothing.
        values = {key: reader.get_tensor(source) for key, source in sources.items()}
        loads = [
            (variable, _slice_of(variable, values[key]))
            for key, saved in self._swapped.by_key.items()
            for variable in _as_list(saved)
        ]
        for variable, value in loads:
            if not variable.shape.is_compatible_with(value.shape):
                message = (
                    f"The checkpoint must hold {variable.name!r} with shape {variable.shape}. "
                    f"Received: shape {value.shape}."
                )
                raise ValueError(message)
        for variable, value in loads:
            assign = variable.initializer
            sess.run(assign, {assign.inputs[1]: value})


def _as_list(saved: Any) -> list[Any]:
    return list(saved) if isinstance(saved, list | tuple) else [saved]


def _slice_of(variable: tf.Variable, value: Any) -> Any:
    """The part of a partitioned variable's whole value that is one shard's."""
    info = variable._get_save_slice_info()  # noqa: SLF001 - what Saver itself reads.
    if info is None:
        return value
    ranges = zip(info.var_offset, info.var_shape, strict=True)
    return value[tuple(slice(offset, offset + size) for offset, size in ranges)]
