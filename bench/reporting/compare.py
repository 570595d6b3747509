"""The ratio of two files of results."""

from __future__ import annotations

from typing import Any

from .figures import Entry, label, multiple, readable, title
from .parts import markdown
from .tables import short


def comparison(first: dict[str, Any], second: dict[str, Any]) -> str:
    """A table of what both measured: times, and how many times faster the second is.

    A star marks a ratio whose two times have 95 % intervals that do not overlap.
    """
    before, after = medians(first), medians(second)
    rows = []
    for key in before:
        if key in after:
            a, b = before[key], after[key]
            apart = a["high_s"] < b["low_s"] or b["high_s"] < a["low_s"]
            ratio = f"{multiple(a['median_s'] / b['median_s'])}{' *' if apart else ''}"
            rows.append([*key, readable(a["median_s"]), readable(b["median_s"]), ratio])
    names = [
        f"{results['conditions']['date'][:10]} {short(results['conditions']['commit'])}"
        for results in (first, second)
    ]
    return markdown(["what", "who", *names, "times faster"], rows, left=2)


def medians(results: dict[str, Any]) -> dict[tuple[str, str], Entry]:
    """Everything that has a median time, by what was measured and who."""
    found = {}
    for entry in results["steps"]:
        what = f"{entry['operation']}, {title(entry)}"
        found.update({(what, label(c)): c for c in entry["contestants"]})
    first_step = results.get("first_step", {"contestants": []})
    found.update({("first step", label(c)): c for c in first_step["contestants"]})
    for entry in results.get("replicas", []):
        what = f"update of {entry['replicas']} replicas, {title(entry)}"
        found.update({(what, label(c)): c for c in entry["contestants"]})
    for entry in results.get("share", []):
        what = f"training step, {entry['network']}"
        found[what, "without"] = entry["without"]
        found.update({(what, label(c)): c for c in entry["contestants"]})
    return found
