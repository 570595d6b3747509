"""Takes snapshots in a MonitoredSession."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

if TYPE_CHECKING:
    from tf_mavg._posthoc.snapshots import Snapshots


class SnapshotSaverHook(tf.compat.v1.train.SessionRunHook):  # type: ignore[misc]
    """Takes snapshots every so often in a `MonitoredSession`, and at its end."""

    def __init__(
        self, snapshots: Snapshots, save_steps: int | None = None, save_secs: float | None = None
    ) -> None:
        """Takes no snapshot yet.

        Args:
          snapshots: What takes them.
          save_steps: After how many updates of the averages.
          save_secs: After how many seconds.

        Raises:
          ValueError: Unless just one of the two is given.
        """
        self._snapshots = snapshots
        self._timer = tf.compat.v1.train.SecondOrStepTimer(
            every_steps=save_steps, every_secs=save_secs
        )

    def after_create_session(self, session: tf.compat.v1.Session, coord: Any) -> None:
        """Counts from where the averages are: after a resume that is not the first step."""
        del coord
        self._timer.reset()
        self._timer.update_last_triggered_step(max(self._snapshots.count(session), 0))

    def after_run(self, run_context: Any, run_values: Any) -> None:
        """Takes snapshots when it is time."""
        del run_values
        session = run_context.session
        count = self._snapshots.count(session)
        if count >= 1 and self._timer.should_trigger_for_step(count):
            self._timer.update_last_triggered_step(count)
            self._snapshots.save(session=session)

    def end(self, session: tf.compat.v1.Session) -> None:
        """Takes the last ones, unless they were taken."""
        count = self._snapshots.count(session)
        if count >= 1 and self._timer.last_triggered_step() != count:
            self._snapshots.save(session=session)
