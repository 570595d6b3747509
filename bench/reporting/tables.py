"""What a report says of results, in Markdown, from their JSON alone: nothing is measured here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from ..names import OURS, PEER, SEVERAL, SWAP, SWAPPED, TORCH, UPDATE
from .costs import costs_table
from .figures import find_entry, title
from .parts import (
    caches_table,
    first_step_table,
    flush_sentence,
    markdown,
    memory_table,
    replicas_table,
    rows_table,
    several_table,
    share_table,
    steps_table,
)
from .targets import COLD_TITLE, WARM_TITLE, check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .figures import Entry

# Of each operation, what docs/speed.md shows, a table each.
HEADLINES: Final = (
    (
        UPDATE,
        (
            "1,000 x 64 float32",
            "MobileNetV3 float32",
            "400 x 65,536 float32",
            "BERT-large float32",
        ),
    ),
    (
        UPDATE,
        (
            "400 x 65,536 float16",
            "400 x 65,536 bfloat16",
            "400 x 65,536 bfloat16 in float32",
        ),
    ),
    (SWAP, ("1,000 x 64 float32", "400 x 65,536 float32", "BERT-large float32")),
    (SWAPPED, ("1,000 x 64 float32",)),
)
# Beside ours, the baselines and the limit.
PEERS_SHOWN: Final = {
    PEER,
    "Keras's use_ema",
    TORCH,
}


def headlines(results: dict[str, Any]) -> str:
    """The tables for docs/speed.md, and where their numbers come from."""
    shown = {key: leaders(part) for key, part in results.items()}
    tables = []
    for operation, titles in HEADLINES:
        entries = {title(e): e for e in shown["steps"] if e["operation"] == operation}
        found = [entries[t] for t in titles if t in entries]
        if found:
            tables.append(steps_table(found))
    return "\n\n".join([*tables, *other_tables(shown), provenance(results)])


def leaders(part: Any) -> Any:
    """A part of the results without the contestants that docs/speed.md leaves out."""
    if isinstance(part, list):
        return [leaders(entry) for entry in part]
    if "contestants" not in part:
        return part
    shown = PEERS_SHOWN | {part.get("baseline"), part.get("limit")}
    kept = [c for c in part["contestants"] if c["name"] in shown or is_ours(c["name"])]
    return part | {"contestants": kept}


def is_ours(name: str) -> bool:
    """Whether a contestant is tf_mavg in one of its forms, not its kernel alone."""
    return name.startswith(OURS) and not name.endswith(("kernel", "copying"))


def everything(results: dict[str, Any]) -> str:
    """All tables of a file of results, a table an entry."""
    tables = [steps_table([entry]) for entry in results["steps"]]
    return "\n\n".join([*tables, *other_tables(results), provenance(results)])


def other_tables(results: dict[str, Any]) -> list[str]:
    """The tables that compare entries, or of other parts, as far as they were measured."""
    tables = []
    warm, cold = (find_entry(results, UPDATE, wanted) for wanted in (WARM_TITLE, COLD_TITLE))
    if warm and cold:
        tables += [caches_table(warm, cold), flush_sentence(cold["flush"])]
    several = [entry for entry in results["steps"] if entry["operation"] == SEVERAL]
    if several:
        tables.append(several_table(several))
    if "first_step" in results:
        tables.append(first_step_table(results["first_step"]))
    if "memory" in results:
        tables.append(memory_table(results["memory"]))
    if "share" in results:
        tables.append(share_table(results["share"]))
    if results.get("replicas"):
        tables.append(replicas_table(results["replicas"]))
    if results.get("rows"):
        tables.append(rows_table(results["rows"]))
    targets = check(results)
    if targets:
        tables.append(markdown(["target", "wanted", "measured", "verdict"], targets, left=1))
    return tables


def provenance(results: dict[str, Any]) -> str:
    """What the tables are about, in prose."""
    conditions, machine = results["conditions"], results["conditions"]["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in conditions["versions"].items())
    load = " to ".join(str(results["load_average"][when]) for when in ("before", "after"))
    gpu = f"{machine['gpu']}, " if machine.get("gpu") else ""
    return (
        f"{legend(results['steps'])}{gpu}{machine['processor']}, {machine['cores']} cores, "
        f"{conditions['cpu_level']}, load {load}, {versions}, "
        f"commit {short(conditions['commit'])}, {conditions['date'][:10]}."
    )


def short(commit: str | None) -> str:
    """Ten digits of a commit, and whether files differed from it."""
    if commit is None:
        return "unknown"
    number, dash, dirty = commit.partition("-")
    return f"{number[:10]}{dash}{dirty}"


def legend(entries: Sequence[Entry]) -> str:
    """What the cells of updates and swaps say."""
    turns = [c["turns"] for entry in entries for c in entry["contestants"]]
    if not turns:
        return ""
    peers = [e["baseline"] for e in entries if not e["baseline"].startswith(OURS)]
    baselines = " and ".join(dict.fromkeys(peers))
    return (
        f"Medians of {min(turns)} to {max(turns)} interleaved turns. x: times faster than "
        f"{baselines}, in a Session where the row is, else in a tf.function. "
        "limit: the plain C++ loop's time over the row's. "
    )


# What stands between the marks <!-- NAME --> and <!-- /NAME --> of a page.
SECTIONS: Final = {"bench": headlines, "costs": costs_table}


def with_tables(text: str, results: dict[str, Any]) -> str:
    """A text with what stands between its marks made anew from results.

    Raises:
      ValueError: If it has no marks.
    """
    names = [name for name in SECTIONS if f"<!-- {name} -->" in text]
    if not names:
        message = "The text must hold marks, such as <!-- bench --> and <!-- /bench -->."
        raise ValueError(message)
    for name in names:
        marked = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.DOTALL)
        section = SECTIONS[name](results)
        text = marked.sub(lambda _, section=section: f"{section}\n", text)
    return text
