"""The benchmark's targets, and the tables that set entries of its results side by side."""

from typing import Any

import pytest
from bench_results import everyone, example

from tf_mavg._bench import names
from tf_mavg._bench.contestants import updates_elsewhere
from tf_mavg._bench.reporting import figures, parts, tables, targets


def change(results: dict[str, Any], factor: float, *, name: str, runner: str) -> None:
    """Has contestants take longer."""
    everywhere = [*results["steps"], *results["share"]]
    for contestant in (c for entry in everywhere for c in entry["contestants"]):
        if (contestant["name"], figures.runner_of(contestant)) == (name, runner):
            for key in contestant.keys() & {"median_s", "added_s"}:
                contestant[key] *= factor


# Of each target: who is slower, and by how much just meets and just misses it.
TARGETS = {
    "tf.function: times faster": (names.PEER, "tf.function", 12.1, 11.9),
    "share of the limit": (names.LIMIT, "C++", 0.86, 0.84),
    "over the bound op's": (names.OURS, "eager", 1.19, 1.21),
    "times faster than torch": (names.TORCH, "torch", 2.6, 2.4),
    "over the bare update's": (names.OURS, names.WITHIN, 0.99, 1.01),
    "over the drop-in's": (names.KERAS, "eager", 1.9, 2.1),
}


@pytest.mark.parametrize("what", TARGETS)
def test_a_target_is_met_or_missed(what):
    name, runner, meets, misses = TARGETS[what]
    for factor, verdict in ((meets, "met"), (misses, "missed")):
        results = everyone()
        if name == names.TORCH and not updates_elsewhere.has_torch():
            pytest.skip("torch is not installed")
        change(results, factor, name=name, runner=runner)
        (row,) = [row for row in targets.check(results) if what in row[0]]
        assert row[2:] == [f"{factor:g}", verdict]
        table = tables.headlines(results)
        assert f"| {' | '.join(row)} |" in table


def test_what_was_not_measured_is_no_target():
    assert targets.check(example() | {"share": []}) == []
    assert len(targets.check(everyone())) == 5 + updates_elsewhere.has_torch()


def test_warm_and_cold_times_stand_side_by_side():
    results = everyone()
    warm, cold = (
        figures.find_entry(results, names.UPDATE, title)
        for title in (targets.WARM_TITLE, targets.COLD_TITLE)
    )
    assert warm
    assert cold
    ours = figures.find_contestant(cold, names.OURS, "eager")
    assert ours
    ours["median_s"] = 0.25
    lines = parts.caches_table(warm, cold).splitlines()
    assert len(lines) == 2 + len(cold["contestants"])
    peers = "times ExponentialMovingAverage | times torch"
    assert lines[0] == f"| update, 1,000 x 64 float32 | in | warm | {peers} | cold | {peers} |"
    torch = ("1.0", "4.0") if updates_elsewhere.has_torch() else ("", "")
    assert f"| tf_mavg | eager | 1.00 s | 1.0 | {torch[0]} | 250 ms | 4.0 | {torch[1]} |" in lines
    assert parts.flush_sentence(cold["flush"]) == (
        "Cold: before each step every processor has read 128 MiB, where the largest cache holds "
        "32; then the contestant's own framework has added up as much. A line of a probe then "
        "takes 11 ns to read, after twice as much memory 12 ns, warm 1 ns."
    )


def test_several_averages_have_a_row_for_each_count():
    results = everyone()
    change(results, 1.25, name=names.A_PASS_EACH, runner="eager")
    several = [entry for entry in results["steps"] if entry["operation"] == names.SEVERAL]
    assert parts.several_table(several).splitlines()[2:] == [
        f"| {count} averages of 400 x 65,536 float32 | 32 | 1.00 s | 1.25 s | 1.2 |"
        for count in (2, 3)
    ]


def test_a_report_of_everything_has_every_table():
    text = tables.everything(everyone())
    for title in ("swapped()", "update of several averages", "training step", "target"):
        assert f"\n| {title} |" in text
    assert f"times faster than {names.PEER} and {names.ARITHMETIC}, in a Session" in text
