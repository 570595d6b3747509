"""The command `tf_mavg`.

A package of its own: importing tf_mavg imports TensorFlow, which takes seconds, and help must not.
Each command imports what it needs when it runs.
"""

from tf_mavg_cli.program import tf_mavg as main

__all__ = ["main"]
