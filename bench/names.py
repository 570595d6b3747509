"""What contestants and conditions are called, where they run and in every table."""

from __future__ import annotations

from typing import Final

OURS: Final = "tf_mavg"
BOUND_OP: Final = f"{OURS}, bound op"
SPLIT_OP: Final = f"{OURS}, bound op on split averages"
STOCHASTIC: Final = f"{OURS}, bound op with stochastic rounding"
PEER: Final = "tf.train.ExponentialMovingAverage"
TORCH: Final = "torch._foreach_lerp_"
ASSIGN_SUB: Final = "assign_sub for each variable"
KERAS_FORMULA: Final = "Keras use_ema's formula"
LIMIT: Final = "plain C++ loop"

ARITHMETIC: Final = "arithmetic: a += b; b = a - b; a -= b"
HOST: Final = "through host memory"
DROP_IN: Final = f"{OURS}.ExponentialMovingAverage"
KERAS: Final = f"{OURS}.keras.MovingAverage"

ONE_PASS: Final = f"{OURS}, one pass"
A_PASS_EACH: Final = f"{OURS}, a pass for each average"

REPLICATED: Final = f"{OURS}, replicated"
SHARDED: Final = f"{OURS}, sharded"

# Averages of a table of which a step writes a few rows.
LAZY_ROWS, DENSE_ROWS = f'{OURS}, sparse="lazy"', f"{OURS}, all rows"
ONLY_WRITES: Final = "the step without averages"
CATCHING_UP: Final = f"{OURS}, catching up all rows"

# Runners that code asks for.
SESSION: Final = "Session"

# Operations.
UPDATE, SWAP, SWAPPED = "update", "swap", "swapped()"
SEVERAL: Final = "update of several averages"
# The condition of a case whose steps find empty caches.
COLD: Final = "cold caches"

# Steps of training, and what the averaging is part of.
WITHOUT: Final = "without"
WITHIN, AFTER, BARE, FIT = "in its tf.function", "after it", "the bare update", "in fit"
MANY_VARIABLES: Final = "200 dense layers"
