"""Who updates averages: a line for each contestant."""

from __future__ import annotations

from functools import partial
from typing import Final

import tensorflow as tf

import tf_mavg

from . import updates_elsewhere as elsewhere
from . import updates_tensorflow as within
from .contestant import OURS, Entrant
from .workloads import ALONE, EVERYONE, LEADERS, PEERS

PEER: Final = "tf.train.ExponentialMovingAverage"
ASSIGN_SUB: Final = "assign_sub for each variable"
KERAS: Final = "Keras use_ema's formula"
LIMIT: Final = "plain C++ loop"

_ours = tf_mavg.ExponentialMovingAverage
_tensorflows = tf.train.ExponentialMovingAverage
_group_op = partial(within.group_op, wrap=within.eager)
_group_op_in_function = partial(within.group_op, wrap=tf.function)
_op = partial(within.op_in_function, wrap=tf.function)
_op_xla = partial(within.op_in_function, wrap=within.xla)
_apply = partial(within.apply, make=_ours, wrap=within.eager)
_peer = partial(within.apply, make=_tensorflows, wrap=tf.function)
_peer_xla = partial(within.apply, make=_tensorflows, wrap=within.xla)
_peer_session = partial(within.apply_in_session, make=_tensorflows)
_subs = partial(within.for_each, formula=within.assign_sub)
_keras = partial(within.for_each, formula=within.weighted_sum)
_foreach = partial(elsewhere.in_torch, step=elsewhere.foreach)
_one_by_one = partial(elsewhere.in_torch, step=elsewhere.one_by_one)
_many_arrays = elsewhere.plain_loop_on_many_arrays

_TENSORFLOW: Final = (
    Entrant(f"{OURS}, group op", "eager", _group_op, ALONE, mixed=True),
    Entrant(f"{OURS}, group op", "tf.function", _group_op_in_function, LEADERS, mixed=True),
    Entrant(OURS, "eager", _apply, PEERS),
    Entrant(OURS, "tf.function", _op, ALONE, mixed=True),
    Entrant(OURS, "Session", within.op_in_session, PEERS, mixed=True),
    Entrant(OURS, "XLA", _op_xla, EVERYONE, float32_only=True),
    Entrant(PEER, "tf.function", _peer, LEADERS),
    Entrant(PEER, "Session", _peer_session, PEERS),
    Entrant(PEER, "XLA", _peer_xla, EVERYONE, float32_only=True),
    Entrant(ASSIGN_SUB, "eager", partial(_subs, wrap=within.eager), PEERS, mixed=True),
    Entrant(ASSIGN_SUB, "tf.function", partial(_subs, wrap=tf.function), PEERS, mixed=True),
    Entrant(ASSIGN_SUB, "XLA", partial(_subs, wrap=within.xla), EVERYONE, float32_only=True),
    Entrant(KERAS, "tf.function", partial(_keras, wrap=tf.function), EVERYONE, float32_only=True),
)
_TORCH: Final = (
    Entrant("torch._foreach_lerp_", "torch", _foreach, LEADERS),
    Entrant("lerp_ for each tensor", "torch", _one_by_one, EVERYONE),
)
_CPP: Final = (
    Entrant(LIMIT, "C++", elsewhere.plain_loop, LEADERS, mixed=True, on_gpu=False),
    Entrant(f"{LIMIT}, many arrays", "C++", _many_arrays, EVERYONE, mixed=True, on_gpu=False),
    Entrant(f"{OURS}'s kernel", "C++", elsewhere.kernel_alone, EVERYONE, mixed=True, on_gpu=False),
)
UPDATES: Final = (*_TENSORFLOW, *(_TORCH if elsewhere.has_torch() else ()), *_CPP)
