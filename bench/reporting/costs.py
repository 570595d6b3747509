"""What averaging costs, in the few figures that a README shows; from the JSON of results alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..names import ARITHMETIC, LAZY_ROWS, OURS, PEER, SWAP, UPDATE
from .figures import find_contestant, find_entry, multiple, readable
from .parts import markdown

if TYPE_CHECKING:
    from .figures import Entry

FUNCTION = "tf.function"


def costs_table(results: dict[str, Any]) -> str:
    """One table: what happens, what it costs, and what it costs with TensorFlow's own means."""
    found = [
        _times(find_entry(results, UPDATE, "1,000 x 64 float32"), "a step, 1,000 tiny variables"),
        _times(find_entry(results, UPDATE, "BERT-large float32"), "a step, BERT-large"),
        _times(find_entry(results, SWAP, "BERT-large float32"), "a swap, BERT-large"),
        _times(results.get("first_step"), "the first step, 400 variables"),
        _peaks(results.get("memory")),
        _embedding(results.get("rows")),
    ]
    return markdown(["what", "tf_mavg", "TensorFlow", ""], [row for row in found if row], left=1)


def _times(entry: Entry | None, what: str) -> list[str] | None:
    ours = find_contestant(entry, OURS, FUNCTION)
    peer = find_contestant(entry, PEER, FUNCTION) or find_contestant(entry, ARITHMETIC, FUNCTION)
    if not ours or not peer:
        return None
    times = f"{multiple(peer['median_s'] / ours['median_s'])} times"
    return [what, readable(ours["median_s"]), readable(peer["median_s"]), times]


def _peaks(entry: Entry | None) -> list[str] | None:
    if not entry:
        return None
    peaks = {
        (c["operation"], c["name"], c["runner"]): f"{c['peak_bytes'] / 2**20:,.1f} MiB"
        for c in entry["contestants"]
    }
    of = [peaks.get((UPDATE, name, FUNCTION), "") for name in (OURS, PEER)]
    return [f"memory of a step, {entry['workload']}", *of, ""]


def _embedding(entry: Entry | None) -> list[str] | None:
    if not entry:
        return None
    alone = {c["name"]: c["alone"]["median_s"] for c in entry["contestants"] if "alone" in c}
    lazy, peer = (alone.get(name) for name in (LAZY_ROWS, PEER))
    if lazy is None or peer is None:
        return None
    what = f"a step that writes {entry['written']:,} rows of {entry['rows']:,}"
    return [what, readable(lazy), readable(peer), f"{multiple(peer / lazy)} times"]
