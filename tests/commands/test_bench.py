"""The benchmark: it measures what it says, and its report says what its JSON says."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from bench_cases import SMALL, Case
from places import ROOT

from tf_mavg._bench import commands, names, workloads
from tf_mavg._bench.measuring import (
    caches,
    first_step,
    keras_step,
    machine,
    memory,
    replicas,
    rows,
    share,
    spread,
    turns,
)
from tf_mavg._bench.measuring.networks import NETWORKS, dense
from tf_mavg._bench.measuring.steps import UPDATE, Choice, measure
from tf_mavg._bench.measuring.turns import Settings
from tf_mavg._bench.reporting import parts
from tf_mavg_cli import main

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
        assert called[i] == 2 * turns.WARM_UP_CALLS + 4 * (1 + calls[i])  # One wakes its threads.
        assert waited[i] == 2 + 4 * 2
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
        "--contestant",
        "C++ loop (",
    ]
    short = ["--seconds", "0", "--fewest", "2"]
    main(["bench", "measure", "--folder", str(path), *only, *short], standalone_mode=False)
    return path


def test_the_json_says_what_ran_where(folder):
    results = json.loads((folder / "cpu.json").read_text())
    conditions = results["conditions"]
    assert conditions["versions"].keys() >= {"python", "tf_mavg", "numpy"}
    assert conditions["machine"].keys() == {"processor", "cores", "memory_bytes", "kernel", "gpu"}
    assert conditions["cpu_level"] in {"baseline", "avx2", "avx512"}
    assert results["settings"]["fewest"] == 2
    assert results["load_average"].keys() == {"before", "after"}
    entry, cold, swap = results["steps"]
    assert swap["operation"] == "swap"
    assert (entry["operation"], entry["workload"]) == ("update", "1,000 x 64")
    assert (entry["variables"], entry["elements"]) == (1000, 64_000)
    assert entry["update_bytes"] == 12 * 64_000
    assert (cold["condition"], cold["elements"]) == (names.COLD, 64_000)
    assert {c["calls_a_turn"] for c in cold["contestants"]} == {1}
    assert 0 < cold["flush"]["largest_cache_bytes"] < cold["flush"]["memory_bytes"]
    assert [c["runner"] for c in entry["contestants"]] == ["eager", "C++"]
    for contestant in entry["contestants"]:
        ends = [contestant[key] for key in ("low_s", "median_s", "high_s")]
        assert 0 < ends[0] <= ends[1] <= ends[2]


@pytest.mark.parametrize(
    ("chosen", "lost"),
    [
        (["--part", "memory"], "steps"),
        (["--part", "steps", "--workload", "BERT"], "update of 1,000 x 64 float32, update of"),
        (["--contestant", "op (eager"], "update of 1,000 x 64 float32, update of"),
    ],
    ids=["part", "workload", "contestant"],
)
def test_a_choice_overwrites_no_results_that_it_leaves_out(chosen, lost, folder):
    before = (folder / "cpu.json").read_bytes()
    expected = rf"measure again all .* without {re.escape(lost)}.*--folder"
    with pytest.raises(click.ClickException, match=expected):
        main(["bench", "measure", "--folder", str(folder), *chosen], standalone_mode=False)
    assert (folder / "cpu.json").read_bytes() == before


def test_a_choice_may_measure_again_all_that_is_there(folder):
    results = commands.read(folder / "cpu.json")
    contestants = ["op (eager", "C++ loop ("]
    for choice in (Choice(["1,000 x 64"], contestants), Choice()):
        assert commands.not_measured_again(results, ["steps"], choice) == []


def test_a_report_depends_on_the_json_alone(folder, capsys):
    written = []
    for _ in "ab":
        main(["bench", "report", "--folder", str(folder)], standalone_mode=False)
        files = [folder / f"cpu.{suffix}" for suffix in ("png", "svg", "md")]
        written.append([path.read_bytes() for path in files])
    assert written[0] == written[1]
    printed = capsys.readouterr().out
    assert "| tf_mavg, bound op | eager |" in printed
    assert "| update, 1,000 x 64 float32 | in | warm |" in printed
    assert "Cold: before each step every processor has read " in printed
    assert printed.endswith(written[0][2].decode())


def test_a_run_compared_with_itself(folder, capsys):
    path = str(folder / "cpu.json")
    main(["bench", "compare", path, path], standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()
    assert "times faster" in lines[0]
    assert len(lines) == 2 + 5
    assert all(line.endswith("| 1.0 |") for line in lines[2:])


@pytest.mark.parametrize("module", ["matplotlib", "scipy"])
def test_a_missing_library_is_one_sentence(module, folder, monkeypatch):
    command, users = {
        "matplotlib": ("report", ["reporting.plots"]),
        "scipy": ("measure", ["measuring.first_step", "measuring.spread"]),
    }[module]
    for user in users:
        monkeypatch.delitem(sys.modules, f"tf_mavg._bench.{user}")
    monkeypatch.setitem(sys.modules, module, None)
    expected = rf"needs {module}.*: pip install 'tf_mavg\[bench\]'\.$"
    with pytest.raises(click.ClickException, match=expected):
        main(["bench", command, "--folder", str(folder)], standalone_mode=False)


def test_a_clone_tells_its_commit_and_another_folder_none(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    command = ["git", "rev-parse", "HEAD"]
    head = subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
    assert str(machine.commit()).removesuffix("-dirty") == head
    monkeypatch.chdir(tmp_path)
    assert machine.commit() is None


def test_a_flush_reads_more_than_a_cache_holds_on_every_processor():
    flush, seen = caches.Flush(2**20), []
    read = flush._read

    def seen_reading(processor: int) -> None:
        read(processor)
        seen.append(os.sched_getaffinity(0))

    flush._read = seen_reading
    before = os.sched_getaffinity(0)
    flush()
    assert sorted(seen, key=min) == [{processor} for processor in sorted(before)]
    assert os.sched_getaffinity(0) == before
    assert flush._memory.nbytes == 2**20
    assert flush._memory.all()
    assert caches.new_flush("C++").memory_bytes > caches.largest_cache_bytes() > 0


def test_a_flush_ends_with_the_contestants_own_framework():
    order = []

    def make_pass(memory_bytes: int):
        return lambda: order.append(memory_bytes)

    flush = caches.Flush(2**20, make_pass)
    flush._read = lambda _: order.append("read")
    flush()
    assert order == ["read"] * len(os.sched_getaffinity(0)) + [2**20]
    assert flush.of_twice_as_much().memory_bytes == 2**21
    assert caches.tensorflow_pass(2**20)().numpy() == 2**18


def test_a_cold_case_is_flushed_before_every_turn(monkeypatch):
    flush, flushed = caches.Flush(2**20), []
    monkeypatch.setattr(flush, "_read", flushed.append)
    monkeypatch.setattr(caches, "new_flush", lambda _: flush)
    monkeypatch.setattr(caches, "evidence", lambda _: {})
    ours = [entrant for entrant in UPDATE.entrants if entrant.name == names.BOUND_OP]
    entry = measure(UPDATE, Case(SMALL, cold=True), ours, SHORT)
    assert entry["condition"] == names.COLD
    assert len(flushed) == 4 * len(ours) * len(os.sched_getaffinity(0))


def test_the_largest_cache_is_that_of_linux(tmp_path):
    for processor, index, size in ((0, 2, "512K"), (0, 3, "2048K"), (1, 2, "1024K")):
        folder = tmp_path / f"cpu{processor}" / "cache" / f"index{index}"
        folder.mkdir(parents=True)
        (folder / "size").write_text(f"{size}\n")
    assert caches.largest_cache_bytes(tmp_path) == 2048 * 1024
    assert caches.largest_cache_bytes(tmp_path / "none") == caches.UNKNOWN_CACHE_BYTES


def test_a_turn_begins_with_what_does_not_count():
    order = []
    steps = [(lambda: order.append("step"), lambda: None)]
    turns.take_turns(steps, SHORT, [lambda: order.append("before")])
    assert order[2 * turns.WARM_UP_CALLS] == "before"
    assert order.count("before") == 4
    assert turns.turn((lambda: None, lambda: None), 1, lambda: time.sleep(0.1)) < 0.1


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
        if contestant["where"] == names.AFTER:
            assert 0 < contestant["share"] < 1


def test_the_share_against_the_bare_update():
    entry = share.measure_closely(SHORT, "two layers", lambda: dense(layers=2))
    assert (entry["network"], entry["variables"]) == ("two layers", 4)
    within, bare = entry["contestants"]
    assert (within["where"], bare["where"]) == (names.WITHIN, names.BARE)
    assert 0 < bare["added_s"] <= bare["median_s"]
    assert 0 < bare["share"] < 1


def test_the_many_variables_are_many():
    assert len(dense().model.trainable_variables) == 400


def test_the_share_of_a_step_of_keras():
    entries = keras_step.measure_keras_steps(SHORT, layers=1)
    assert len(entries) == 2  # Without XLA and with it.
    for entry in entries:
        assert (entry["variables"], entry["elements"]) == (2, 65 * 64)
        assert [c["name"] for c in entry["contestants"]] == [*keras_step.OPTIMIZERS][1:]
        assert [c["ours"] for c in entry["contestants"]] == [False, True]
        assert all(c["median_s"] > 0 for c in entry["contestants"])


def test_the_update_of_replicas():
    entry = replicas.in_new_process(SHORT, 2, Case(SMALL))
    assert (entry["replicas"], entry["variables"], entry["elements"]) == (2, 4, 19)
    found = {c["name"]: c for c in entry["contestants"]}
    assert [*found] == [*replicas.CONTESTANTS]
    assert all(c["median_s"] > 0 for c in found.values())
    of_one = {name: c["average_bytes"] for name, c in found.items()}
    assert of_one == {names.REPLICATED: 76, names.SHARDED: 44, names.PEER: 76}
    of_all = {name: c["all_average_bytes"] for name, c in found.items()}
    assert of_all == {names.REPLICATED: 152, names.SHARDED: 76, names.PEER: 152}


def test_replicas_are_measured_on_the_cases_that_are_chosen(monkeypatch):
    monkeypatch.setattr(replicas, "in_new_process", lambda _, count, case: (count, case.name))
    chosen = replicas.measure_replicas(SHORT, Choice(workloads=["65,536"]))
    assert chosen == [(2, "400 x 65,536 float32"), (4, "400 x 65,536 float32")]


def test_a_choice_names_parts_of_names():
    choice = Choice(workloads=["mall"], contestants=[])
    assert choice.has_case(Case(SMALL))
    assert not Choice(workloads=["BERT"]).has_case(Case(SMALL))


def test_steps_that_write_rows_are_measured_and_tabulated():
    part = rows.measure_rows(SHORT, rows.Size(100, 4, 10))
    assert [c["name"] for c in part["contestants"]] == [
        names.ONLY_WRITES,
        names.LAZY_ROWS,
        names.DENSE_ROWS,
        names.PEER,
    ]
    assert all(c["median_s"] > 0 for c in [*part["contestants"], part["catch_up_all"]])
    assert part["lazy_bytes"] == 10 * (3 * 16 + 16)
    assert part["dense_bytes"] == 100 * 3 * 16
    example = {
        "rows": 1000,
        "columns": 4,
        "written": 10,
        "contestants": [
            {"name": names.ONLY_WRITES, "median_s": 0.001},
            {"name": names.LAZY_ROWS, "median_s": 0.0015, "alone": {"median_s": 0.0005}},
            {"name": names.DENSE_ROWS, "median_s": 0.051, "alone": {"median_s": 0.05}},
        ],
        "lazy_bytes": 1_000_000,
        "dense_bytes": 50_000_000,
        "catch_up_all": {"median_s": 0.06},
    }
    assert parts.rows_table(example).splitlines()[2:] == [
        "| the step without averages | 1.00 ms |  |  |",
        '| tf_mavg, sparse="lazy" | 1.50 ms | 500 µs | 1.0 MB |',
        "| tf_mavg, all rows | 51.0 ms | 50.0 ms | 50.0 MB |",
        "| tf_mavg, catching up all rows |  | 60.0 ms | 50.0 MB |",
    ]
