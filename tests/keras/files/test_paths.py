"""Which weight of a file is which weight of a model: by path, else by Keras's numbers alone."""

import pytest

from tf_mavg._keras.files.matching import match_paths


@pytest.mark.parametrize(
    ("saved", "now", "expected"),
    [
        (["a/kernel", "b/kernel"], ["a/kernel", "b/kernel"], {0: 0, 1: 1}),
        (["a/kernel", "b/kernel"], ["b/kernel", "a/kernel"], {0: 1, 1: 0}),
        (["a/kernel", "b/kernel"], ["b/kernel"], {0: 1}),  # A layer is frozen now,
        (["b/kernel"], ["a/kernel", "b/kernel"], {1: 0}),  # or was then.
        # Keras counts on through a process.
        (["dense/kernel", "dense_1/kernel"], ["dense_7/kernel", "dense_8/kernel"], {0: 0, 1: 1}),
        (["dense/kernel", "dense_1/kernel"], ["dense_1/kernel", "dense_2/kernel"], {0: 0, 1: 1}),
        (["dense_9/kernel", "dense_10/kernel"], ["dense/kernel", "dense_1/kernel"], {0: 0, 1: 1}),
        (["dense_1/kernel", "dense/kernel"], ["dense_4/kernel", "dense_5/kernel"], {0: 0, 1: 1}),
        # The same names in another order: Keras loads the weights in order.
        (["dense/kernel", "dense_1/kernel"], ["dense_1/kernel", "dense/kernel"], {0: 0, 1: 1}),
        (["dense/kernel", "norm/gamma"], ["norm_3/gamma", "dense_2/kernel"], {0: 1, 1: 0}),
        # A model is loaded without the scope of its name.
        (["net/a/kernel", "net/b/kernel"], ["a/kernel", "b/kernel"], {0: 0, 1: 1}),
        (["a/kernel"], ["sequential_2/a/kernel"], {0: 0}),
        (["net_1/dense/kernel"], ["dense_3/kernel"], {0: 0}),
        (["net/a/kernel", "net/b/kernel"], ["net_1/b/kernel"], {0: 1}),
        # A new name is a new weight.
        (["a/kernel", "b/kernel"], ["c/kernel", "b/kernel"], {1: 1}),
        (["net/a/kernel"], ["net/b/kernel"], {}),
        # Without a name of their own they are told apart by order.
        (["Variable", "Variable"], ["Variable", "Variable"], {0: 0, 1: 1}),
    ],
)
def test_weights_that_match(saved, now, expected):
    assert match_paths(saved, now) == expected


@pytest.mark.parametrize(
    ("saved", "now"),
    [
        # One of three is frozen, and all have other numbers: it cannot be told which.
        (
            ["dense/kernel", "dense_1/kernel", "dense_2/kernel"],
            ["dense_4/kernel", "dense_5/kernel"],
        ),
        # Nor where numbers agree: another layer may have been made before.
        (
            ["dense/kernel", "dense_1/kernel", "dense_2/kernel"],
            ["dense_1/kernel", "dense_2/kernel"],
        ),
    ],
)
def test_weights_that_do_not_are_named(saved, now):
    with pytest.raises(
        ValueError, match=f"{saved[0]!r} and its like, 3 in the file, and {now[0]!r}"
    ):
        match_paths(saved, now)
