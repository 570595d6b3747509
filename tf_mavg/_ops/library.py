"""Loads the op library, once it is sure to fit the TensorFlow that is running, and the XLA kernels.

The library's symbols carry the version of what TensorFlow is built from, so a binary serves one
minor version. Loaded into another one, it would fail with an undefined symbol or worse.
"""

from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1]

try:
    from tf_mavg import _native
except ImportError as missing:
    message = (
        f"{PACKAGE} lacks the compiled part of tf_mavg: if it is a source checkout, "
        "run `make install` and start Python from another folder, or use the command `tf_mavg`."
    )
    raise ImportError(message) from missing

BUILD_INFO: dict[str, str] = _native.build_info()


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _import_tensorflow() -> Any:
    built_for = _minor(BUILD_INFO["tensorflow"])
    prefix = f"tf_mavg {BUILD_INFO['version']} is built for TensorFlow {built_for}, but"
    remedy = f"pip install 'tensorflow=={built_for}.*' or 'tensorflow-cpu=={built_for}.*'"
    try:
        import tensorflow as tf  # noqa: PLC0415 - its absence is reported in our own words.
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
        message = f"{prefix} no TensorFlow is installed; install it with {remedy}."
        raise ImportError(message) from None
    if _minor(tf.__version__) != built_for:
        message = (
            f"{prefix} found TensorFlow {tf.__version__}; install a matching one with {remedy}, "
            f"or a tf_mavg that is built for {_minor(tf.__version__)}."
        )
        raise ImportError(message)
    return tf


def tensorflow_distribution() -> str:
    """Name and version of the installed distribution that provides `tensorflow`."""
    names = metadata.packages_distributions().get("tensorflow", [])
    return ", ".join(f"{name} {metadata.version(name)}" for name in sorted(set(names)))


def _load_xla_kernels(tensorflow: Any) -> str:
    """Loads the kernels that jit_compile=True needs; all else works without them.

    Returns:
      Whether that went well, or why not: a line for `info`.
    """
    if not XLA_PATH.exists():
        return "not part of this build: jit_compile=True cannot compile the ops"
    try:
        tensorflow.load_library(str(XLA_PATH))
    except (tensorflow.errors.OpError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        return f"not loaded, so jit_compile=True cannot compile the ops: {reason}"
    return str(XLA_PATH)


OPS_PATH = PACKAGE / "libtf_mavg_ops.so"
XLA_PATH = OPS_PATH.with_name("libtf_mavg_xla.so")
_tensorflow = _import_tensorflow()
# The generated Python functions, one an op.
OPS: Any = _tensorflow.load_op_library(str(OPS_PATH))
# The XLA library's path, or why it is not loaded.
XLA_KERNELS = _load_xla_kernels(_tensorflow)
