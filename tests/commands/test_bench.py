"""The benchmark: it measures what it says, and its report says what its JSON says."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from bench_cases import SMALL, Case

from tf_mavg._bench import (
    cli,
    figures,
    first_step,
    keras_step,
    memory,
    plots,
    share,
    spread,
    tables,
    turns,
    workloads,
)
from tf_mavg._bench.networks import NETWORKS
from tf_mavg._bench.steps import Choice
from tf_mavg._bench.turns import Settings

SHORT = Settings(turn_seconds=1e-5, seconds=0, fewest=4)


def test_every_step_gets_its_turns():
    called = [0, 0]
    waited = [0, 0]

    def step(i):
        def call():
            called[i] += 1

        def wait():
            waited[i] += 1

        return call, wait

    calls, seconds = turns.take_turns([step(0), step(1)], SHORT)
    for i in (0, 1):
        assert len(seconds[i]) == 4
        assert called[i] == 2 * turns.WARM_UP_CALLS + 4 * calls[i]
        assert waited[i] == 2 + 4
        assert min(seconds[i]) > 0


@pytest.mark.parametrize(
    ("settings", "rounds"),
    [(Settings(seconds=0, fewest=3), 3), (Settings(seconds=9, fewest=1, most=2), 2)],
)
def test_rounds_are_within_their_bounds(settings, rounds):
    order = list(turns.order_of_turns(2, settings))
    assert len(order) == 2 * rounds
    assert all(sorted(order[i : i + 2]) == [0, 1] for i in range(0, len(order), 2))


def test_the_summary_is_median_interval_and_quartiles():
    found = spread.summary([5, 1, 3, 2, 4])
    assert (found["first_quartile_s"], found["median_s"], found["third_quartile_s"]) == (2, 3, 4)
    assert found["turns"] == 5
    assert 1 <= found["low_s"] < 3 < found["high_s"] <= 5
    assert spread.median_with_interval([2.0, 2.0]) == (2.0, 2.0, 2.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a real run of some contestants, by the command line."""
    path = tmp_path_factory.mktemp("results")
    only = [
        "--part",
        "steps",
        "--workload",
        "1,000 x 64",
        "--contestant",
        "op (eager",
        "C++ loop (",
    ]
    short = ["--seconds", "0", "--fewest", "2"]
    cli.main(["measure", "--folder", str(path), *only, *short])
    return path


def test_the_json_says_what_ran_where(folder):
    results = json.loads((folder / "cpu.json").read_text())
    conditions = results["conditions"]
    assert conditions["versions"].keys() >= {"python", "tf_mavg", "numpy"}
    assert conditions["machine"].keys() == {"processor", "cores", "memory_bytes", "kernel", "gpu"}
    assert conditions["cpu_level"] in {"baseline", "avx2", "avx512"}
    assert results["settings"]["fewest"] == 2
    assert results["load_average"].keys() == {"before", "after"}
    entry, swap = results["steps"]
    assert swap["operation"] == "swap"
    assert (entry["operation"], entry["workload"]) == ("update", "1,000 x 64")
    assert (entry["variables"], entry["elements"]) == (1000, 64_000)
    assert entry["update_bytes"] == 12 * 64_000
    assert [c["runner"] for c in entry["contestants"]] == ["eager", "C++"]
    for contestant in entry["contestants"]:
        ends = [contestant[key] for key in ("low_s", "median_s", "high_s")]
        assert 0 < ends[0] <= ends[1] <= ends[2]


def test_a_report_depends_on_the_json_alone(folder, capsys):
    written = []
    for _ in "ab":
        cli.main(["report", "--folder", str(folder)])
        files = [folder / f"cpu.{suffix}" for suffix in ("png", "svg", "md")]
        written.append([path.read_bytes() for path in files])
    assert written[0] == written[1]
    printed = capsys.readouterr().out
    assert "| tf_mavg, group op | eager |" in printed
    assert printed.endswith(written[0][2].decode())


def test_a_run_compared_with_itself(folder, capsys):
    path = str(folder / "cpu.json")
    cli.main(["compare", path, path])
    lines = capsys.readouterr().out.splitlines()
    assert "times faster" in lines[0]
    assert len(lines) == 2 + 3
    assert all(line.endswith("| 1.0 |") for line in lines[2:])


@pytest.mark.parametrize("module", ["matplotlib", "scipy"])
def test_a_missing_library_is_one_sentence(module, folder, monkeypatch):
    command, users = {
        "matplotlib": ("report", ["plots"]),
        "scipy": ("measure", ["first_step", "spread"]),
    }[module]
    for user in users:
        monkeypatch.delitem(sys.modules, f"tf_mavg._bench.{user}")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SystemExit, match=rf"needs {module}.*: pip install 'tf_mavg\[bench\]'\.$"):
        cli.main([command, "--folder", str(folder)])


def test_first_steps():
    entry = first_step.measure_first_steps(Case(SMALL), rounds=1)
    found = {(c["name"], c["runner"]): c for c in entry["contestants"]}
    assert len(found) == len(first_step.FIRST_STEPS)
    for runner in ("tf.function", "Session"):
        ours, peer = (found[name, runner] for name in (first_step.OURS, entry["baseline"]))
        assert ours["median_s"] > 0
        assert 0 < ours["graph_nodes"] < peer["graph_nodes"]


def test_the_memory_of_a_step_is_seen():
    label = "tf.train.ExponentialMovingAverage (tf.function)"
    size = 2**21
    peak = memory.in_new_process("update", label, Case(workloads.same_size(1, size, 0)))
    assert 0.9 * 4 * size < peak < 4 * 4 * size  # It makes temporaries of the variable's size.


def test_the_share_of_a_training_step():
    (entry,) = share.measure_shares(SHORT, {"digits network": NETWORKS["digits network"]})
    assert (entry["variables"], entry["elements"]) == (8, 13_706)
    assert entry["without"]["median_s"] > 0
    for contestant in entry["contestants"]:
        assert contestant["added_low_s"] <= contestant["added_s"] <= contestant["added_high_s"]
        if contestant["where"] == share.AFTER:
            assert 0 < contestant["share"] < 1


def test_the_share_of_a_step_of_keras():
    entries = keras_step.measure_keras_steps(SHORT, layers=1)
    assert len(entries) == 2  # Without XLA and with it.
    for entry in entries:
        assert (entry["variables"], entry["elements"]) == (2, 65 * 64)
        assert [c["name"] for c in entry["contestants"]] == [*keras_step.OPTIMIZERS][1:]
        assert [c["ours"] for c in entry["contestants"]] == [False, True]
        assert all(c["median_s"] > 0 for c in entry["contestants"])


def test_a_choice_names_parts_of_names():
    choice = Choice(workloads=["mall"], contestants=[])
    assert choice.has_case(Case(SMALL))
    assert not Choice(workloads=["BERT"]).has_case(Case(SMALL))


def example() -> dict[str, Any]:
    """Results with round numbers, on a workload that memory limits."""

    def contestant(name: str, runner: str, median: float, *, ours: bool = False) -> dict[str, Any]:
        times = {"median_s": median, "low_s": 0.9 * median, "high_s": 1.1 * median}
        return {"name": name, "runner": runner, "ours": ours, "turns": 9, **times}

    def entry(operation: str, dtypes: str, *contestants: dict[str, Any]) -> dict[str, Any]:
        return {
            "operation": operation,
            "workload": "400 x 65,536",
            "dtypes": dtypes,
            "update_bytes": 10**9,
            "baseline": "theirs",
            "limit": "loop" if operation == "update" else None,
            "contestants": list(contestants),
        }

    ours = contestant("tf_mavg", "eager", 0.002, ours=True)
    return {
        "conditions": {
            "date": "2026-01-02T03:04:05+00:00",
            "commit": "0123456789abcdef",
            "machine": {"processor": "A Processor", "cores": 2},
            "versions": {"python": "3.11.0"},
        },
        "load_average": {"before": 0.1, "after": 1.2},
        "steps": [
            entry(
                "update",
                "float32",
                ours,
                contestant("tf_mavg", "Session", 0.004, ours=True),
                contestant("theirs", "tf.function", 0.008),
                contestant("theirs", "Session", 0.040),
                contestant("loop", "C++", 0.001),
            ),
            entry("update", "bfloat16 in float32", ours, contestant("loop", "C++", 0.001)),
            entry("swap", "float32", ours, contestant("theirs", "tf.function", 0.5)),
        ],
        "first_step": {
            "workload": "1,000 x 64",
            "baseline": "theirs",
            "contestants": [
                contestant("tf_mavg", "tf.function", 2, ours=True) | {"graph_nodes": 12},
                contestant("theirs", "tf.function", 9) | {"graph_nodes": 3456},
            ],
        },
        "memory": {
            "workload": "400 x 65,536",
            "dtypes": "float32",
            "variable_bytes": 100 * 2**20,
            "contestants": [
                {"operation": "update", "name": "tf_mavg", "runner": "eager", "peak_bytes": 2**19}
            ],
        },
        "share": [
            {
                "network": "net",
                "variables": 8,
                "elements": 13_706,
                "without": contestant("without", "", 0.1),
                "contestants": [
                    {
                        "name": "tf_mavg",
                        "where": share.AFTER,
                        "ours": True,
                        "added_s": 0.001,
                        "added_low_s": 0.0009,
                        "added_high_s": 0.0012,
                        "share": 0.0099,
                        "low_s": 0.1,
                        "median_s": 0.101,
                        "high_s": 0.102,
                    }
                ],
            }
        ],
    }


def test_ratios():
    entry = example()["steps"][0]
    eager, session, function = entry["contestants"][:3]
    assert figures.speed_up(entry, eager) == pytest.approx(4)  # Against the tf.function.
    assert figures.speed_up(entry, session) == pytest.approx(10)  # Against the Session.
    assert figures.speed_up(entry, function) == 1
    assert figures.share_of_limit(entry, eager) == pytest.approx(0.5)
    assert figures.share_of_limit(entry | {"update_bytes": 1000}, eager) is None
    assert figures.share_of_limit(entry | {"limit": "nobody"}, eager) is None
    assert figures.speed_up(entry | {"baseline": "nobody"}, eager) is None


def test_the_tables():
    assert tables.headlines(example()).split("\n\n") == [
        (
            "| update | in | 400 x 65,536 float32 |\n"
            "| --- | --- | ---: |\n"
            "| tf_mavg | eager | 2.00 ms, 4.0 x, limit 0.50 |\n"
            "| tf_mavg | Session | 4.00 ms, 10 x, limit 0.25 |\n"
            "| theirs | tf.function | 8.00 ms, 1.0 x, limit 0.12 |\n"
            "| theirs | Session | 40.0 ms, 1.0 x, limit 0.025 |\n"
            "| loop | C++ | 1.00 ms, 8.0 x, limit 1.0 |"
        ),
        (
            "| update | in | 400 x 65,536 bfloat16 in float32 |\n"
            "| --- | --- | ---: |\n"
            "| tf_mavg | eager | 2.00 ms, limit 0.50 |\n"
            "| loop | C++ | 1.00 ms, limit 1.0 |"
        ),
        (
            "| swap | in | 400 x 65,536 float32 |\n"
            "| --- | --- | ---: |\n"
            "| tf_mavg | eager | 2.00 ms, 250 x |\n"
            "| theirs | tf.function | 500 ms, 1.0 x |"
        ),
        (
            "| first step, 1,000 x 64 | in | time | times sooner | graph nodes |\n"
            "| --- | --- | ---: | ---: | ---: |\n"
            "| tf_mavg | tf.function | 2.00 s | 4.5 | 12 |\n"
            "| theirs | tf.function | 9.00 s | 1.0 | 3,456 |"
        ),
        (
            "| memory of a step | 400 x 65,536 float32 | peak above what was there "
            "| of the variables' 100 MiB |\n"
            "| --- | --- | ---: | ---: |\n"
            "| update | tf_mavg (eager) | 0.5 MiB | 0.50 % |"
        ),
        (
            "| training step | averaged by | adds (95 %) | of the step |\n"
            "| --- | --- | ---: | ---: |\n"
            "| net: 8 variables, 13,706 elements, 100 ms | tf_mavg (after it) "
            "| 1 ms (0.9 to 1.2 ms) | 0.99 % |"
        ),
        (
            "Medians of 9 to 9 interleaved turns. x: times faster than theirs, in a Session where "
            "the row is, else in a tf.function. limit: the plain C++ loop's time over the row's. "
            "A Processor, 2 cores, load 0.1 to 1.2, python 3.11.0, commit 0123456789, 2026-01-02."
        ),
    ]


def test_a_comparison_marks_what_differs_for_sure(tmp_path, capsys):
    first, second = example(), example()
    contestants = second["steps"][0]["contestants"]
    contestants[0] |= {"median_s": 0.001, "low_s": 0.0009, "high_s": 0.0011}
    contestants[1] |= {"median_s": 0.0041}
    for name, results in (("a", first), ("b", second)):
        (tmp_path / name).write_text(json.dumps(results))
    cli.main(["compare", str(tmp_path / "a"), str(tmp_path / "b")])
    lines = capsys.readouterr().out.splitlines()
    what = "| update, 400 x 65,536 float32 |"
    assert f"{what} tf_mavg (eager) | 2.00 ms | 1.00 ms | 2.0 * |" in lines
    assert f"{what} tf_mavg (Session) | 4.00 ms | 4.10 ms | 0.98 |" in lines
    assert any(line.startswith("| first step | tf_mavg (tf.function) |") for line in lines)
    assert any(line.startswith("| training step, net | without |") for line in lines)


def test_a_plot_needs_something_to_plot(tmp_path):
    assert plots.plot(example() | {"steps": []}, tmp_path, "cpu") == []
    assert [path.name for path in plots.plot(example(), tmp_path, "cpu")] == ["cpu.png", "cpu.svg"]


@pytest.mark.parametrize(
    ("commit", "expected"),
    [("0123456789ab", "0123456789"), ("0123456789ab-dirty", "0123456789-dirty"), (None, "unknown")],
)
def test_a_commit_is_shortened_but_not_its_dirt(commit, expected):
    assert tables.short(commit) == expected


def test_a_text_without_marks_takes_no_section():
    with pytest.raises(ValueError, match=r"must hold the marks <!-- bench -->"):
        tables.with_section("text", "section")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (15.0, "15.0 s"),
        (0.1234, "123 ms"),
        (0.00567, "5.67 ms"),
        (9.99e-4, "999 µs"),
        (2e-7, "0.200 µs"),
    ],
)
def test_times_have_three_digits(seconds, expected):
    assert figures.readable(seconds) == expected
