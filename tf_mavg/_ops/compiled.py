"""Refuses what XLA is to compile where this installation has no kernels for it."""

from tf_mavg._compat.tensorflow import compiles_with_xla
from tf_mavg._ops.library import XLA_KERNELS, XLA_PATH


def check_has_kernels() -> None:
    """Checks that XLA can compile the ops, if it compiles the function that is being traced.

    Raises:
      RuntimeError: If it cannot, which TensorFlow would call an unregistered kernel.
    """
    if str(XLA_PATH) != XLA_KERNELS and compiles_with_xla():
        message = (
            "XLA compiles the ops only where its kernels of tf_mavg are loaded. Received: XLA "
            f"kernels that are {XLA_KERNELS}. Use jit_compile=False, or another TensorFlow."
        )
        raise RuntimeError(message)
