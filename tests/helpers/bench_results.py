"""Results of the benchmark that were not measured, for the tests of its report."""

from typing import Any

from tf_mavg._bench import names
from tf_mavg._bench.measuring import steps


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
            "cpu_level": "avx2",
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
        "replicas": [
            {
                "replicas": 2,
                "workload": "400 x 64",
                "dtypes": "float32",
                "variable_bytes": 100 * 2**20,
                "baseline": "theirs",
                "contestants": [
                    contestant(name, "strategy.run", median, ours=ours)
                    | {"average_bytes": size * 2**20}
                    for name, median, ours, size in (
                        ("tf_mavg, sharded", 0.002, True, 50),
                        ("theirs", 0.008, False, 100),
                    )
                ],
            }
        ],
        "share": [
            {
                "network": "net",
                "variables": 8,
                "elements": 13_706,
                "without": contestant("without", "", 0.1),
                "contestants": [
                    {
                        "name": "tf_mavg",
                        "where": names.AFTER,
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


def everyone(seconds: float = 1.0) -> dict[str, Any]:
    """Results of all that is measured, by the names of those that do it; all take as long."""
    times = {"median_s": seconds, "low_s": seconds, "high_s": seconds, "turns": 7}
    share = [
        {"name": name, "where": where, "ours": True, "added_s": seconds, "share": 0.5}
        | {"added_low_s": seconds, "added_high_s": seconds, **times}
        for name, where in ((names.OURS, names.WITHIN), (names.OURS, names.BARE))
    ]
    entries = [
        {
            "operation": operation.name,
            "workload": case.workload.name,
            "dtypes": case.dtypes.name,
            "condition": case.condition,
            "averages": case.averages,
            "update_bytes": 2**30,
            "elements": 2**25,
            "baseline": operation.baseline,
            "limit": operation.limit,
            "flush": {"largest_cache_bytes": 2**25, "memory_bytes": 2**27}
            | {"warm_s": 1e-9, "flushed_s": 1.1e-8, "flushed_twice_s": 1.2e-8},
            "contestants": [
                {"name": e.name, "runner": e.runner, "ours": e.ours, **times}
                for e in operation.entrants
                if e.takes_part(case)
            ],
        }
        for operation in steps.OPERATIONS
        for case in operation.cases
    ]
    network = {"network": names.MANY_VARIABLES, "variables": 400, "elements": 832_000}
    kept = {key: example()[key] for key in ("conditions", "load_average")}
    return kept | {"steps": entries, "share": [network | {"without": times, "contestants": share}]}
