"""Fixtures for all tests."""

from collections.abc import Iterator

import numpy as np
import pytest
import worlds


@pytest.fixture(params=worlds.WORLDS)
def world(request: pytest.FixtureRequest) -> Iterator[worlds.World]:
    """Each way of running an op, in turn."""
    with worlds.enter(request.param) as entered:
        yield entered


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator of the same numbers in every run."""
    return np.random.default_rng(20)
