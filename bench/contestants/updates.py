"""Who updates averages: a line for each contestant."""

from __future__ import annotations

from functools import partial
from typing import Final

import tensorflow as tf

from ..names import (
    ASSIGN_SUB,
    BOUND_OP,
    KERAS_FORMULA,
    LIMIT,
    OURS,
    PEER,
    SESSION,
    SPLIT_OP,
    STOCHASTIC,
    TORCH,
)
from ..workloads import ALONE, EVERYONE, LEADERS, PEERS
from . import updates_elsewhere as elsewhere
from . import updates_tensorflow as within
from .contestant import Entrant

_bound_op = partial(within.bound_op, wrap=within.eager)
_bound_op_in_function = partial(within.bound_op, wrap=tf.function)
_stochastic = partial(within.stochastic_op, wrap=tf.function)
_ours = within.our_apply
_ours_in_session = partial(within.apply_in_session, make=within.ours)
_peer = within.their_apply
_peer_in_session = partial(within.apply_in_session, make=within.tensorflows)
_subs = partial(within.for_each, formula=within.assign_sub)
_keras = partial(within.for_each, formula=within.weighted_sum)
_foreach = partial(elsewhere.in_torch, step=elsewhere.foreach)
_one_by_one = partial(elsewhere.in_torch, step=elsewhere.one_by_one)
_many_arrays = elsewhere.plain_loop_on_many_arrays

_TENSORFLOW: Final = (
    Entrant(BOUND_OP, "eager", _bound_op, ALONE, mixed=True),
    Entrant(BOUND_OP, "tf.function", _bound_op_in_function, LEADERS, mixed=True),
    Entrant(SPLIT_OP, "eager", within.split_op, ALONE, mixed=True, mixed_only=True),
    Entrant(STOCHASTIC, "tf.function", _stochastic, PEERS, half_only=True),
    Entrant(OURS, "eager", partial(_ours, wrap=within.eager), PEERS, mixed=True),
    Entrant(OURS, "tf.function", partial(_ours, wrap=tf.function), LEADERS, mixed=True),
    Entrant(OURS, SESSION, _ours_in_session, PEERS, float32_only=True),
    Entrant(OURS, "XLA", partial(_ours, wrap=within.xla), EVERYONE, float32_only=True),
    Entrant(PEER, "tf.function", partial(_peer, wrap=tf.function), LEADERS),
    Entrant(PEER, SESSION, _peer_in_session, PEERS, float32_only=True),
    Entrant(PEER, "XLA", partial(_peer, wrap=within.xla), EVERYONE, float32_only=True),
    Entrant(ASSIGN_SUB, "eager", partial(_subs, wrap=within.eager), PEERS, mixed=True),
    Entrant(ASSIGN_SUB, "tf.function", partial(_subs, wrap=tf.function), PEERS, mixed=True),
    Entrant(
        KERAS_FORMULA, "tf.function", partial(_keras, wrap=tf.function), EVERYONE, float32_only=True
    ),
)
_TORCH: Final = (
    Entrant(TORCH, "torch", _foreach, LEADERS),
    Entrant("lerp_ for each tensor", "torch", _one_by_one, EVERYONE),
)
_CPP: Final = (
    Entrant(LIMIT, "C++", elsewhere.plain_loop, LEADERS, mixed=True, on_gpu=False),
    Entrant(f"{LIMIT}, many arrays", "C++", _many_arrays, EVERYONE, mixed=True, on_gpu=False),
    Entrant(f"{OURS}'s kernel", "C++", elsewhere.kernel_alone, EVERYONE, mixed=True, on_gpu=False),
)
UPDATES: Final = (*_TENSORFLOW, *(_TORCH if elsewhere.has_torch() else ()), *_CPP)
