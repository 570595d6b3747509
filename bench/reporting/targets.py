"""What the benchmark is to show, and whether results show it: from their JSON alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..names import (
    BARE,
    BOUND_OP,
    COLD,
    DROP_IN,
    KERAS,
    MANY_VARIABLES,
    OURS,
    PEER,
    SWAPPED,
    TORCH,
    UPDATE,
    WITHIN,
)
from .figures import Entry, find_contestant, find_entry, share_of_limit, speed_up

if TYPE_CHECKING:
    from collections.abc import Callable

    Results = dict[str, Any]

WARM_TITLE: Final = "1,000 x 64 float32"
COLD_TITLE: Final = f"{WARM_TITLE}, {COLD}"
LARGE_TITLE: Final = "400 x 65,536 float32"


class Bound(NamedTuple):
    """What a ratio is to be at least, or at most."""

    words: str
    holds: Callable[[float], bool]


def at_least(least: float) -> Bound:
    """A bound from below."""
    return Bound(f"at least {least:g}", lambda found: found >= least)


def at_most(most: float) -> Bound:
    """A bound from above."""
    return Bound(f"at most {most:g}", lambda found: found <= most)


class Target(NamedTuple):
    """A ratio within one run, and its bound.

    Attributes:
      what: The ratio, in words.
      wanted: Its bound.
      measure: Finds it in results; None if they do not have it.
    """

    what: str
    wanted: Bound
    measure: Callable[[Results], float | None]


def of_function(results: Results) -> float | None:
    """TensorFlow's time over ours, both in a tf.function."""
    entry = find_entry(results, UPDATE, WARM_TITLE)
    ours = find_contestant(entry, OURS, "tf.function")
    return speed_up(entry, ours) if entry and ours else None


def of_limit(results: Results) -> float | None:
    """The limit's time over ours in a tf.function."""
    entry = find_entry(results, UPDATE, LARGE_TITLE)
    ours = find_contestant(entry, OURS, "tf.function")
    return share_of_limit(entry, ours) if entry and ours else None


def of_eager(results: Results) -> float | None:
    """The time of `apply` over the bound op's."""
    entry = find_entry(results, UPDATE, WARM_TITLE)
    return ratio(find_contestant(entry, OURS, "eager"), find_contestant(entry, BOUND_OP, "eager"))


def of_cold(results: Results) -> float | None:
    """The time of PyTorch over that of `apply`, both with empty caches."""
    entry = find_entry(results, UPDATE, COLD_TITLE)
    return ratio(find_contestant(entry, TORCH, "torch"), find_contestant(entry, OURS, "eager"))


def of_training(results: Results) -> float | None:
    """What averaging adds to a step of training over the time of the bare update."""
    found = [e for e in results.get("share", []) if e["network"] == MANY_VARIABLES]
    added = find_contestant(found[0], OURS, WITHIN) if found else None
    bare = find_contestant(found[0], OURS, BARE) if found else None
    return float(added["added_s"] / bare["added_s"]) if added and bare else None


def of_swapped(results: Results) -> float | None:
    """The time of Keras's `swapped` over the drop-in's."""
    entry = find_entry(results, SWAPPED, WARM_TITLE)
    return ratio(find_contestant(entry, KERAS, "eager"), find_contestant(entry, DROP_IN, "eager"))


def ratio(dividend: Entry | None, divisor: Entry | None) -> float | None:
    """The ratio of two median times, if both were measured."""
    if dividend is None or divisor is None:
        return None
    return float(dividend["median_s"] / divisor["median_s"])


TARGETS: Final = (
    Target(f"{WARM_TITLE}, tf.function: times faster than {PEER}", at_least(12), of_function),
    Target(f"{LARGE_TITLE}, tf.function: share of the limit", at_least(0.85), of_limit),
    Target(f"{WARM_TITLE}, eager: time of apply over the bound op's", at_most(1.2), of_eager),
    Target(f"{COLD_TITLE}, eager: times faster than torch", at_least(2.5), of_cold),
    Target(f"{MANY_VARIABLES}, a step: added time over the bare update's", at_most(1), of_training),
    Target(f"{WARM_TITLE}, swapped(): time of Keras's over the drop-in's", at_most(2), of_swapped),
)


def check(results: Results) -> list[list[str]]:
    """A row for each target that was measured: itself, its bound, the ratio, the verdict."""
    rows = []
    for target in TARGETS:
        found = target.measure(results)
        if found is not None:
            verdict = "met" if target.wanted.holds(found) else "missed"
            rows.append([target.what, target.wanted.words, f"{found:.3g}", verdict])
    return rows
