"""Small cases of the benchmark, for its tests."""

from functools import partial

from tf_mavg._bench import workloads

SHAPES = ((5,), (3, 2), (), (1, 7))


def shapes() -> tuple[tuple[int, ...], ...]:
    """Of a workload that Python can pickle."""
    return SHAPES


# A decay that moves averages of every dtype.
Case = partial(workloads.Case, decay=0.75)
SMALL = workloads.Workload("small", shapes, workloads.EVERYONE)
EVERY_DTYPES = [workloads.FLOAT32, workloads.FLOAT16, workloads.BFLOAT16, workloads.MIXED]
