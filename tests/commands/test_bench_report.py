"""The benchmark's report: ratios, tables, plots and comparisons, from the JSON alone."""

import json

import pytest
from bench_results import example

from tf_mavg._bench.reporting import figures, parts, plots, tables
from tf_mavg_cli import main


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
            "| replicas | averaged by | update | times faster | averages of one "
            "| of the variables |\n"
            "| --- | --- | ---: | ---: | ---: | ---: |\n"
            "| 2 replicas, 400 x 64 float32 | tf_mavg, sharded | 2.00 ms | 4.0 "
            "| 50.00 MiB | 50 % |\n"
            "| 2 replicas, 400 x 64 float32 | theirs | 8.00 ms | 1.0 | 100.00 MiB | 100 % |"
        ),
        (
            "Medians of 9 to 9 interleaved turns. x: times faster than theirs, in a Session where "
            "the row is, else in a tf.function. limit: the plain C++ loop's time over the row's. "
            "A Processor, 2 cores, avx2, load 0.1 to 1.2, python 3.11.0, commit 0123456789, "
            "2026-01-02."
        ),
    ]


def test_a_comparison_marks_what_differs_for_sure(tmp_path, capsys):
    first, second = example(), example()
    contestants = second["steps"][0]["contestants"]
    contestants[0] |= {"median_s": 0.001, "low_s": 0.0009, "high_s": 0.0011}
    contestants[1] |= {"median_s": 0.0041}
    for name, results in (("a", first), ("b", second)):
        (tmp_path / name).write_text(json.dumps(results))
    main(["bench", "compare", *(str(tmp_path / name) for name in "ab")], standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()
    what = "| update, 400 x 65,536 float32 |"
    assert f"{what} tf_mavg (eager) | 2.00 ms | 1.00 ms | 2.0 * |" in lines
    assert f"{what} tf_mavg (Session) | 4.00 ms | 4.10 ms | 0.98 |" in lines
    assert any(line.startswith("| first step | tf_mavg (tf.function) |") for line in lines)
    assert any(line.startswith("| training step, net | without |") for line in lines)
    what = "| update of 2 replicas, 400 x 64 float32 | tf_mavg, sharded (strategy.run) |"
    assert any(line.startswith(what) for line in lines)


def test_a_plot_needs_something_to_plot(tmp_path):
    assert plots.plot(example() | {"steps": []}, tmp_path, "cpu") == []
    assert [path.name for path in plots.plot(example(), tmp_path, "cpu")] == ["cpu.png", "cpu.svg"]


@pytest.mark.parametrize(
    ("commit", "expected"),
    [("0123456789ab", "0123456789"), ("0123456789ab-dirty", "0123456789-dirty"), (None, "unknown")],
)
def test_a_commit_is_shortened_but_not_its_dirt(commit, expected):
    assert tables.short(commit) == expected


def test_names_with_underscores_are_no_emphasis():
    table = parts.markdown(["by"], [["torch._foreach_lerp_"], ["tf_mavg"]], left=1)
    assert table.splitlines()[2:] == [r"| torch.\_foreach_lerp\_ |", "| tf_mavg |"]


def test_a_text_without_marks_takes_no_section():
    with pytest.raises(ValueError, match=r"must hold marks, such as <!-- bench -->"):
        tables.with_tables("text", example())


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
