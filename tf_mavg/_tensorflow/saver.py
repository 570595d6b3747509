"""The saver that writes averages under the names of their variables, and resumes from that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import tensorflow as tf

from tf_mavg._compat.saver import RenamingBuilder, SaveableObject, SaveSpec, slice_info
from tf_mavg._tensorflow.converted import converted_values
from tf_mavg._tensorflow.swapped_names import MARK, SwappedKeys, SwappedVarList, exchange_marked_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tf_mavg._averages.averages import Averages

# What a checkpoint without a mark, but with averages, may be said to be.
Unmarked = Literal["plain", "swapped"]


class _Mark(SaveableObject):  # type: ignore[misc]
    """What a swapping saver saves beside the variables: which of them it has exchanged."""

    def __init__(self, exchange: SwappedKeys) -> None:
        with tf.device("/cpu:0"):
            mark = tf.constant(exchange.mark(), tf.string)
        super().__init__(mark, [SaveSpec(mark, "", MARK)], MARK)

    def restore(self, *_: Any) -> tf.Operation:
        """Restores nothing: the mark is read before a restore."""
        return tf.group()


class SwappingSaver(tf.compat.v1.train.Saver):  # type: ignore[misc]
    """A Saver whose checkpoints hold each average under its variable's name.

    The variable's own value is saved under the average's name, so that restoring with this saver
    is the identity and training resumes exactly. `MovingAverageOptimizer.swapping_saver` makes it.
    """

    def __init__(
        self,
        var_list: SwappedVarList,
        *,
        holders: Sequence[Averages],
        start_missing_averages: bool,
        unmarked: Unmarked | None,
        **kwargs: Any,
    ) -> None:
        """As `MovingAverageOptimizer.swapping_saver`."""
        if unmarked not in {None, "plain", "swapped"}:
            message = f'`unmarked` must be "plain", "swapped" or None. Received: {unmarked!r}.'
            raise ValueError(message)
        for argument in ("builder", "saver_def"):
            if kwargs.get(argument) is not None:
                message = f"`{argument}` cannot be given to a swapping saver, which has its own."
                raise TypeError(message)
        self._swapped = var_list
        self._holders = holders
        self._start_missing_averages = start_missing_averages
        self._unmarked = unmarked
        version = {"write_version": kwargs["write_version"]} if "write_version" in kwargs else {}
        self._renaming = RenamingBuilder(not_read=MARK, **version)
        marked = {**var_list.saveables(), MARK: _Mark(var_list.exchange)}
        super().__init__(marked, **{**kwargs, "builder": self._renaming})

    def build(self) -> None:
        """Builds the ops, in a graph; the caller does so only if the saver was made to wait."""
        super().build()
        graph = tf.compat.v1.get_default_graph()
        restored = graph.get_operation_by_name(self.saver_def.restore_op_name)
        # Not before all values are there: a restore that fails has changed nothing.
        with tf.control_dependencies([restored]):
            self._restored = [restored, *self._note_restored()]

    def _note_restored(self) -> list[tf.Operation]:
        """Notes that averages have been given values; the operations that do, in a graph."""
        return [one for h in self._holders for one in h.lazy.restart(h.entries())]

    def save(self, *args: Any, **kwargs: Any) -> str | None:
        """Saves as `tf.compat.v1.train.Saver.save`.

        Raises:
          RuntimeError: If averages and variables are swapped, which would save each under the
            wrong name.
        """
        self._check_not_swapped("saved")
        return super().save(*args, **kwargs)  # type: ignore[no-any-return]

    def restore(self, sess: tf.compat.v1.Session, save_path: str) -> None:
        """Restores as `tf.compat.v1.train.Saver.restore`, each value to its own place.

        Which places were exchanged in the checkpoint, its mark says: other variables may have had
        averages when it was written. A restore that is refused has changed nothing.

        With `start_missing_averages`, an average that is not in the checkpoint receives its
        variable's value.

        Raises:
          tf.errors.NotFoundError: If the checkpoint lacks a variable, or averages that were not to
            be started.
          RuntimeError: If averages and variables are swapped.
          TypeError: If a saved value has another dtype than its variable.
          ValueError: If a saved value has another shape than its variable, or the checkpoint has
            averages but no mark, and `unmarked` does not say how they are to be read.
        """
        self._check_not_swapped("restored")
        try:
            reader = tf.compat.v1.train.NewCheckpointReader(save_path)
        except (TypeError, ValueError, tf.errors.OpError):
            super().restore(sess, save_path)  # It refuses what is no checkpoint in its own words.
            return
        keys = reader.get_variable_to_dtype_map().keys()
        sources, missing = self._swapped.sources(self._exchanged_in(reader, save_path), keys)
        every = len(self._swapped.starts)
        if missing and not self._start_missing_averages:
            message = (
                f"The checkpoint {save_path} lacks {len(missing)} of {every} averages, the first "
                f"under key {missing[0]!r}. To start averages from their variables, make the saver "
                "with swapping_saver(start_missing_averages=True)."
            )
            raise tf.errors.NotFoundError(None, None, message)
        converted = {}
        if not tf.executing_eagerly():
            converted = converted_values(reader, self._swapped, sources)
        self._check(reader, sources, save_path, converted)
        if converted:
            self._restore_read(sess, save_path, reader, sources, converted)
        else:
            self._restore_renamed(sess, save_path, sources)
        if missing:
            tf.get_logger().info(
                "%s lacks %d of %d averages: each of these starts from its variable.",
                save_path,
                len(missing),
                every,
            )

    def _check_not_swapped(self, verb: str) -> None:
        if any(holder.state.is_swapped for holder in self._holders):
            message = (
                f"A checkpoint cannot be {verb} while averages and variables are swapped; leave "
                "swapped() first: a swapping saver has the averages under their variables' names "
                "by itself."
            )
            raise RuntimeError(message)

    def _exchanged_in(self, reader: Any, path: str) -> SwappedKeys:
        """What is exchanged in a file, by its mark or, if it has none, by what the user said."""
        marked = exchange_marked_in(reader)
        if marked is not None:
            return marked
        keys = reader.get_variable_to_dtype_map().keys()
        likely = self._swapped.exchange_without_mark(
            keys, {holder.name for holder in self._holders}
        )
        if likely.weight_keys and self._unmarked is None:
            message = (
                f"The checkpoint {path} has averages, the first under key "
                f"{min(likely.weight_keys)!r}, but no mark to say whether they are exchanged with "
                'their variables: make the saver with swapping_saver(unmarked="plain") if a plain '
                'Saver wrote the checkpoint, or with swapping_saver(unmarked="swapped") if the '
                "swapping saver of tf.contrib.opt did."
            )
            raise ValueError(message)
        return likely if self._unmarked == "swapped" else SwappedKeys({})

    def _check(
        self, reader: Any, sources: dict[str, str], path: str, converted: dict[str, Any]
    ) -> None:
        """Checks that the file has a value for each variable, before any is assigned.

        But for those that are converted.
        """
        shapes = reader.get_variable_to_shape_map()
        dtypes = reader.get_variable_to_dtype_map()
        for key, variable in self._swapped.variables():
            if key in converted:
                continue
            source = sources[key]
            where = f"The checkpoint {path} must hold under {source!r} {variable.name!r}"
            if source not in shapes:
                message = f"{where}. Received: no such key."
                raise tf.errors.NotFoundError(None, None, message)
            info = slice_info(variable)
            expected, received = (
                tf.TensorShape(shape)
                for shape in (info.full_shape if info else variable.shape, shapes[source])
            )
            alike = expected.is_compatible_with(received)
            if self._reshape and not info and expected.is_fully_defined():
                alike = expected.num_elements() == received.num_elements()
            if not alike:
                message = f"{where} with shape {expected}. Received: shape {received}."
                raise ValueError(message)
            dtype = variable.dtype.base_dtype
            if dtypes[source] != dtype:
                message = f"{where} of {dtype.name}. Received: {dtypes[source].name}."
                raise TypeError(message)
        for key in (key for _, keys in self._renaming.reads for key in keys):
            if key not in converted and sources.get(key, key) not in shapes:  # A table.
                message = f"The checkpoint {path} must have the key {key!r}. Received: no such key."
                raise tf.errors.NotFoundError(None, None, message)

    def _restore_read(
        self,
        sess: tf.compat.v1.Session,
        path: str,
        reader: Any,
        sources: dict[str, str],
        converted: dict[str, Any],
    ) -> None:
        """Restores what the host has read, all of which lies in its memory meanwhile.

        Raises:
          TypeError: If a variable is partitioned.
        """
        if any(slice_info(variable) for _, variable in self._swapped.variables()):
            message = (
                f"Averages of partitioned variables must be of the kind that {path} has. Received: "
                f"another one, of {next(iter(converted))!r}; make them with the `average_dtype` of "
                "the program that wrote it."
            )
            raise TypeError(message)
        feeds: dict[Any, Any] = {self.saver_def.filename_tensor_name: path}
        for operation, keys in self._renaming.reads:
            for output, key in zip(operation.outputs, keys, strict=True):
                known = converted.get(key)
                feeds[output] = reader.get_tensor(sources.get(key, key)) if known is None else known
        sess.run(self._restored, feeds)

    def _restore_renamed(
        self, sess: tf.compat.v1.Session, path: str, sources: dict[str, str]
    ) -> None:
        """Restores by the ops of every restore, which read the keys that they are given."""
        if tf.executing_eagerly():
            self._renaming.sources = sources
            super().restore(sess, path)
            self._note_restored()
            return
        feeds: dict[Any, Any] = {self.saver_def.filename_tensor_name: path}
        for operation, keys in self._renaming.reads:
            _, tensor_names, _ = operation.inputs
            feeds[tensor_names] = [sources.get(key, key) for key in keys]
        tf.get_logger().info("Restoring parameters from %s", path)
        if len(self._renaming.reads) > 1:
            # A sharded saver assigns the values of each device as soon as it has read these: read
            # all once before, so that a damaged file changes nothing.
            sess.run([operation for operation, _ in self._renaming.reads], feeds)
        sess.run(self._restored, feeds)
