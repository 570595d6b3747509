"""same_objects: a list is known again by the addresses of what it holds."""

import sys

import numpy as np
import pytest

from tf_mavg import _native


class Unequal:
    """What must not be compared."""

    def __eq__(self, other: object) -> bool:
        """Fails: only addresses count."""
        raise AssertionError

    __hash__ = None


@pytest.mark.parametrize("kinds", [(list, list), (list, tuple), (tuple, list), (tuple, tuple)])
def test_the_same_objects_in_the_same_order(kinds):
    items = [Unequal() for _ in range(1000)]
    first, second = kinds
    assert _native.same_objects(first(items), second(items))
    assert not _native.same_objects(first(items), second(items[:-1]))
    assert not _native.same_objects(first(items), second([*items[:-1], Unequal()]))
    assert not _native.same_objects(first(items), second([items[1], items[0], *items[2:]]))


def test_equal_is_not_the_same():
    first, second = np.float32(1), np.float32(1)
    assert not _native.same_objects([first], [second])


def test_empty_lists_are_the_same():
    assert _native.same_objects([], ())


def test_no_reference_is_counted():
    item = Unequal()
    items = [item]
    before = sys.getrefcount(item)
    _native.same_objects(items, items)
    assert sys.getrefcount(item) == before


@pytest.mark.parametrize("other", [{}, "a", None, range(1)], ids=str)
def test_anything_else_is_refused(other):
    with pytest.raises(TypeError, match=r"two lists or tuples\. Received: "):
        _native.same_objects([], other)
    with pytest.raises(TypeError, match=r"two lists or tuples\. Received: "):
        _native.same_objects(other, [])
