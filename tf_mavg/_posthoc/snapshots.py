"""Takes snapshots of the power function averages of a holder.

In eager mode the caller's function writes the model while each average in turn is in the place of
its weights. In a graph of TensorFlow 1 a Saver writes the averages under their variables' names,
and nothing changes places.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tf_mavg._averages.checkpoints.identity import remainder_of
from tf_mavg._compat.saver import by_key
from tf_mavg._posthoc.listing import Snapshot, read_list, write_list
from tf_mavg.decays import PowerFunction, Uniform

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from tf_mavg._averages.averages import Averages
    from tf_mavg._tensorflow.holding import HasAverages


class Snapshots:
    """Keeps snapshots of power function averages in a folder, to make others of them afterwards.

        average = tf_mavg.ExponentialMovingAverage([PowerFunction(0.05), PowerFunction(0.10)])
        checkpoint = tf.train.Checkpoint(model=model)
        snapshots = tf_mavg.posthoc.Snapshots("snapshots", average, checkpoint.write)
        ...
        snapshots.save()  # Every so many steps; some twenty times in a run.

    A snapshot is a file like any other of the model, with an average in the place of the weights.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        averages: HasAverages,
        write: Callable[[str], object] | None = None,
        suffix: str = "",
    ) -> None:
        """Makes the folder, or goes on with one.

        Args:
          directory: Where snapshots are kept. Of several workers each has a folder of its own.
          averages: The `ExponentialMovingAverage`, the `MovingAverageOptimizer`, or the
            `MovingAverage` of a Keras. Those of its averages whose decay is a `PowerFunction` or
            `Uniform` are kept.
          write: In eager mode: called with a path, as `tf.train.Checkpoint.write` is, it writes the
            model, and not the averages. In a graph of TensorFlow 1 leave it away, and make this
            object when all averages are made: a Saver then writes them under their variables'
            names.
          suffix: Of the files: "" for TensorFlow checkpoints, ".keras" or ".weights.h5".

        Raises:
          RuntimeError: In a graph, if there are no averages yet.
          ValueError: If none of the averages has such a decay, or `write` is missing in eager mode
            or given in a graph.
        """
        self._directory = Path(directory)
        self._holder = averages.holder
        self._write = write
        self._suffix = suffix
        # Whether `write` may save while swapped: the callback's writes weights alone.
        self.may_save = False
        self._exponents = _exponents_of(self._holder)
        self._savers: dict[int, tf.compat.v1.train.Saver] = {}
        self._steps: Any = None  # In a graph, the count of the averages' steps.
        is_graph = not tf.compat.v1.executing_eagerly_outside_functions()
        if is_graph == (write is not None):
            message = (
                "In eager mode `write` must write the model; in a graph of TensorFlow 1 a Saver "
                f"writes. Received: write={write!r} in {'a graph' if is_graph else 'eager mode'}."
            )
            raise ValueError(message)
        if is_graph:
            self._savers = {index: self._saver(index) for index in self._exponents}
            self._steps = self._holder.steps_at_hand()[0]
        self._directory.mkdir(parents=True, exist_ok=True)

    def save(
        self, step: int | None = None, *, session: tf.compat.v1.Session | None = None
    ) -> list[str]:
        """Writes a snapshot of each average, and notes it in the folder's list.

        A snapshot of a step that the folder has already is replaced.

        Args:
          step: How many updates the averages had. They count themselves; what is given is compared.
          session: In a graph, the Session to run in; by default the default Session.

        Returns:
          The paths of the snapshots.

        Raises:
          RuntimeError: If averages and variables are swapped, or there is no Session to run in.
          ValueError: If there was no update yet, or not as many as `step`.
        """
        self._holder.state.check_not_swapped("No snapshot can be taken")
        count = self.count(session)
        if count < 1 or step not in {None, count}:
            message = (
                "`step` must be how many updates the averages had, 1 or more. "
                f"Received: step={step} after {max(count, 0)} updates."
            )
            raise ValueError(message)
        return [self._save(count, index, session) for index in self._exponents]

    def count(self, session: tf.compat.v1.Session | None = None) -> int:
        """How many updates the averages had since their start, up to the last that moved them.

        Below 1 if none has.

        Args:
          session: In a graph, the Session to run in; by default the default Session.

        Raises:
          RuntimeError: If there is no Session to run in.
        """
        first = self._holder.steps.first
        if self._steps is not None:
            count = _session(session).run(self._steps)
        elif first is not None:
            count = first.read_value()
        else:  # No average was made yet.
            return 0
        pace = self._holder.pace
        since = int(count) - pace.start
        return since - since % pace.every

    def _save(self, step: int, index: int, session: tf.compat.v1.Session | None) -> str:
        exponent = self._exponents[index]
        made = Snapshot(step, exponent, f"snapshot-{step}-{index}{self._suffix}")
        listed = read_list(self._directory)
        others = [
            one
            for one in listed
            if (one.step, one.exponent) != (step, exponent) and one.file != made.file
        ]
        if len(others) < len(listed):  # A kill while it is written again must not leave it listed.
            write_list(self._directory, others)
        path = str(self._directory / made.file)
        if self._write is None:
            saver, to = self._savers[index], _session(session)
            with to.graph.as_default():  # The caller may have left it.
                saver.save(to, path, write_meta_graph=False, write_state=False)
        else:
            with self._holder.swaps.swapped(index=index, may_save=self.may_save):
                self._write(path)
        write_list(self._directory, [*others, made])
        return path

    def _saver(self, index: int) -> tf.compat.v1.train.Saver:
        """What saves the averages of an index under their variables' names."""
        entries = self._holder.entries(index)
        if not entries:
            message = (
                "Snapshots are taken of averages that are made. Received: none in this graph; call "
                "apply() or minimize() before."
            )
            raise RuntimeError(message)
        found = by_key([entry.variable for entry in entries])
        saved: dict[str, Any] = {}

        def add(parts: dict[int, Any], key_of: Callable[[str], str]) -> None:
            for key, one in found.items():
                shards = one if isinstance(one, list) else [one]
                if all(id(shard) in parts for shard in shards):
                    of_each = [parts[id(shard)] for shard in shards]
                    saved[key_of(key)] = of_each if isinstance(one, list) else of_each[0]

        add({id(entry.variable): entry.average for entry in entries}, str)
        # Of split averages both halves, so that no bit is lost on the way to a merge.
        add({id(e.variable): e.remainder for e in entries if e.is_split}, remainder_of)
        return tf.compat.v1.train.Saver(
            saved,
            max_to_keep=None,
            name=f"snapshots_{index}",
        )


def _session(session: tf.compat.v1.Session | None) -> tf.compat.v1.Session:
    """A Session, by default the default one."""
    session = session or tf.compat.v1.get_default_session()
    if session is None:
        message = "Snapshots need a Session in graph mode: pass it or enter `with session:`."
        raise RuntimeError(message)
    return session


def _exponents_of(holder: Averages) -> dict[int, float]:
    """The exponents of the averages that are power functions of the count of updates."""
    found = {
        index: decay.exponent if isinstance(decay, PowerFunction) else 0.0
        for index, decay in enumerate(holder.pace.decays)
        if isinstance(decay, PowerFunction | Uniform)
    }
    if not found:
        message = (
            "Averages of other widths are made of power function averages: one must have the decay "
            f"PowerFunction(...) or Uniform(). Received: {[*holder.pace.decays]}."
        )
        raise ValueError(message)
    return found
