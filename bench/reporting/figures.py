"""Numbers as people read them, and the ratios between contestants of an entry of results."""

from __future__ import annotations

from typing import Any, Final

Entry = dict[str, Any]

# Below this, threads and calls cost more than memory, and the loop over memory is no limit.
MEMORY_BOUND_BYTES: Final = 2**26
# The runner whose baseline serves those that have none of their own.
DEFAULT_RUNNER: Final = "tf.function"


def readable(seconds: float) -> str:
    """Three digits of a time: "12.3 ms"."""
    units = (("s", 1.0), ("ms", 1e3), ("µs", 1e6))
    unit, value = next(
        ((unit, seconds * factor) for unit, factor in units if seconds * factor >= 1),
        ("µs", seconds * 1e6),
    )
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:#.3g} {unit}"  # noqa: PLR2004 - three digits.


def multiple(ratio: float) -> str:
    """Two digits, or all before the point: "0.85", "7.2", "1,234"."""
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:#.2g}"  # noqa: PLR2004 - two digits.


def percent(share: float) -> str:
    """Two digits: "1.2 %", "0.034 %"."""
    return f"{multiple(100 * share)} %" if share else "0 %"


def label(contestant: Entry) -> str:
    """Name and runner, or where it runs."""
    return f"{contestant['name']} ({runner_of(contestant)})"


def runner_of(contestant: Entry) -> str | None:
    """What calls its code; of a step of training, what the averaging is part of."""
    return contestant.get("runner") or contestant.get("where")


def baseline_of(entry: Entry, contestant: Entry) -> Entry | None:
    """The baseline in the runner of a contestant, or else in a tf.function; None if neither ran."""
    by_runner: dict[str, Entry] = {
        c["runner"]: c for c in entry["contestants"] if c["name"] == entry["baseline"]
    }
    return by_runner.get(contestant["runner"], by_runner.get(DEFAULT_RUNNER))


def speed_up(entry: Entry, contestant: Entry) -> float | None:
    """How many times faster than its baseline a contestant is."""
    baseline = baseline_of(entry, contestant)
    return baseline and float(baseline["median_s"] / contestant["median_s"])


def share_of_limit(entry: Entry, contestant: Entry) -> float | None:
    """The limit's time over a contestant's; None where memory is not what limits."""
    limits = [c for c in entry["contestants"] if c["name"] == entry["limit"]]
    if not limits or entry["update_bytes"] < MEMORY_BOUND_BYTES:
        return None
    return float(limits[0]["median_s"] / contestant["median_s"])


def title(entry: Entry) -> str:
    """What an entry was measured on: "1,000 x 64 float32, cold caches"."""
    condition = entry.get("condition")
    return f"{entry['workload']} {entry['dtypes']}{f', {condition}' if condition else ''}"


def find_entry(results: Entry, operation: str, wanted: str) -> Entry | None:
    """The entry of an operation with such a title; None if it was not measured."""
    found = [e for e in results["steps"] if (e["operation"], title(e)) == (operation, wanted)]
    return found[0] if found else None


def find_contestant(entry: Entry | None, name: str, runner: str) -> Entry | None:
    """A contestant of an entry; None if it or the entry was not measured."""
    contestants = entry["contestants"] if entry else []
    found = [c for c in contestants if (c["name"], runner_of(c)) == (name, runner)]
    return found[0] if found else None
