"""Averages of a table of which a step writes a few rows: lazily, and as a whole.

Every contestant takes the same steps, in a tf.function, with a table of its own: with the writing
of the rows, and the averages alone. Alone they find the rows in no cache; with it, naming the rows
brings them for the writing, too. Catching up all rows is what a swap or a save waits for.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import tensorflow as tf

import tf_mavg

from ..names import DENSE_ROWS, LAZY_ROWS, ONLY_WRITES, OURS, PEER
from ..workloads import DECAY
from .spread import summary
from .turns import take_turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from .turns import Settings

    Write = Callable[[tf.IndexedSlices], object]
    Step = Callable[[tf.Variable, tf.IndexedSlices, Write], None]

BATCHES: Final = 50


class Size(NamedTuple):
    """A table of float32, and how many of its rows a step writes."""

    rows: int
    columns: int
    written: int


LARGE: Final = Size(1_000_000, 64, 8192)


def lazily(average: tf_mavg.ExponentialMovingAverage) -> Step:
    """A step of lazy averages: it names the rows before and after it writes them."""

    def step(table: tf.Variable, slices: tf.IndexedSlices, write: Write) -> None:
        average.catch_up([table], [slices])
        write(slices)
        average.apply([table], indices=[slices])

    return step


def densely(average: tf.train.ExponentialMovingAverage) -> Step:
    """A step of averages that are updated as a whole."""

    def step(table: tf.Variable, slices: tf.IndexedSlices, write: Write) -> None:
        write(slices)
        average.apply([table])

    return step


def only_writes(_: tf.Variable, slices: tf.IndexedSlices, write: Write) -> None:
    """A step without averages."""
    write(slices)


def measure_rows(settings: Settings, size: Size = LARGE) -> dict[str, Any]:
    """Measures all of them, by turns; ready for JSON."""
    print(f"{size.written} of {size.rows} rows a step: 4 contestants", file=sys.stderr)
    rng = np.random.default_rng(0)
    batches = [
        tf.constant(rng.choice(size.rows, size.written, replace=False)) for _ in range(BATCHES)
    ]
    values = tf.constant(rng.normal(size=[size.written, size.columns]).astype(np.float32))
    lazy = tf_mavg.ExponentialMovingAverage(DECAY, sparse="lazy")
    steps = {
        ONLY_WRITES: only_writes,
        LAZY_ROWS: lazily(lazy),
        DENSE_ROWS: densely(tf_mavg.ExponentialMovingAverage(DECAY)),
        PEER: densely(tf.train.ExponentialMovingAverage(DECAY)),
    }
    tables = {name: tf.Variable(tf.zeros([size.rows, size.columns])) for name in steps}
    timed = {
        (name, key): repeated(step, tables[name], batches, values, write)
        for name, step in steps.items()
        for key, write in (("step", tables[name].scatter_add), ("alone", nothing))
        if (name, key) != (ONLY_WRITES, "alone")
    }
    _, seconds = take_turns([(step, nothing) for step in timed.values()], settings)
    found = dict(zip(timed, map(summary, seconds), strict=True))
    one_call = dataclasses.replace(settings, turn_seconds=0.0)
    behind = timed[LAZY_ROWS, "step"]
    _, of_all = take_turns([(lambda: lazy.average(tables[LAZY_ROWS]), nothing)], one_call, [behind])
    element, counter = 4, 8
    return {
        "rows": size.rows,
        "columns": size.columns,
        "written": size.written,
        "contestants": [
            {"name": name, "ours": name.startswith(OURS), **found[name, "step"]}
            | ({"alone": found[name, "alone"]} if (name, "alone") in found else {})
            for name in steps
        ],
        "lazy_bytes": size.written * (3 * element * size.columns + 2 * counter),
        "dense_bytes": size.rows * 3 * element * size.columns,
        "catch_up_all": summary(of_all[0]),
    }


def repeated(
    step: Step, table: tf.Variable, batches: list[tf.Tensor], values: tf.Tensor, write: Write
) -> Callable[[], None]:
    """A call takes a step with the next batch."""

    @tf.function(autograph=False)
    def traced(rows: tf.Tensor) -> None:
        step(table, tf.IndexedSlices(values, rows), write)

    following = itertools.cycle(batches)
    return lambda: traced(next(following))


def nothing(_: Any = None) -> None:
    """A step on the CPU is done when its call returns; and what writes no row."""
