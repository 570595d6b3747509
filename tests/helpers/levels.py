"""The instruction levels of CPU kernels, for tests of each."""

import pytest

from tf_mavg import _native

ALL_LEVELS = ["baseline", "avx2", "avx512"]
# The levels that this processor can run; each lower one is always among them.
LEVELS = ALL_LEVELS[: ALL_LEVELS.index(_native.supported_cpu_level()) + 1]

level = pytest.mark.parametrize("level", LEVELS)

# Numbers of elements one short of a vector of some level and dtype, and one of several vectors.
ALMOST_VECTORS = [7, 15, 31, 41]
