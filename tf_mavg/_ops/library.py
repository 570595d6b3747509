"""Loads the libraries for the TensorFlow that is running: the ops, and the XLA kernels.

The libraries' symbols carry the version of what TensorFlow is built from, so a binary serves one
minor version. Loaded into another one, it would fail with an undefined symbol or worse. Each minor
version that this installation serves has a folder, with a file of what was built.
"""

import contextlib
import json
import re
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1]
# Both, since either leaves files of the other behind.
UNINSTALL = "pip uninstall tensorflow tensorflow-cpu"

try:
    from tf_mavg import _native
except ImportError as missing:
    message = (
        f"{PACKAGE} lacks the compiled part of tf_mavg: if it is a source checkout, "
        "run `make install` and start Python from another folder, or use the command `tf_mavg`."
    )
    raise ImportError(message) from missing

BUILD_INFO: dict[str, str] = _native.build_info()


def _folders() -> dict[str, Path]:
    """The folder of each minor version that is served, the oldest first."""
    found = {}
    for folder in PACKAGE.glob("_tf*"):
        if match := re.fullmatch(r"_tf(\d+)_(\d+)", folder.name):
            found[int(match[1]), int(match[2])] = folder
    return {f"{major}.{minor}": found[major, minor] for major, minor in sorted(found)}


def _import_tensorflow() -> Any:
    prefix = f"tf_mavg {BUILD_INFO['version']} is built for TensorFlow {served_text()}, but"
    newest = SERVED[-1]
    remedy = f"pip install 'tensorflow=={newest}.*' or 'tensorflow-cpu=={newest}.*'"
    try:
        import tensorflow as tf  # noqa: PLC0415 - its absence is reported in our own words.
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
        message = f"{prefix} no TensorFlow is installed; install it with {remedy}."
        raise ImportError(message) from None
    version = getattr(tf, "__version__", None)
    if version is None:  # A folder is left of it, or is of somebody else.
        message = (
            f"{prefix} the tensorflow in {', '.join(tf.__path__)} lacks its files; "
            f"run {UNINSTALL}, then install it with {remedy}."
        )
        raise ImportError(message)
    minor = _minor(version)
    if minor not in SERVED:
        message = (
            f"{prefix} found TensorFlow {version}; install a matching one with {remedy}, "
            f"or a tf_mavg that is built for {minor}."
        )
        raise ImportError(message)
    return tf


def _warn_of_mixed_files() -> None:
    versions = {}
    for name in ("tensorflow", "tensorflow-cpu"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    if len(set(versions.values())) > 1:
        message = (
            f"{' and '.join(map(' '.join, versions.items()))} are installed in one folder, and "
            f"have overwritten each other's files; run {UNINSTALL}, then install one of them."
        )
        warnings.warn(message, stacklevel=2)


def _load_ops(tensorflow: Any) -> Any:
    try:
        return tensorflow.load_op_library(str(OPS_PATH))
    except tensorflow.errors.NotFoundError as error:
        message = (
            f"{OPS_PATH} is built with TensorFlow {TENSORFLOW_BUILD['tensorflow']}, and TensorFlow "
            f"{tensorflow.__version__} ({tensorflow_distribution()}) cannot load it; run "
            f"{UNINSTALL}, then install one of them, or build tf_mavg with the TensorFlow that you "
            f"have: {' '.join(str(error).split())}"
        )
        raise ImportError(message) from None


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def served_text() -> str:
    """The minor versions of TensorFlow that this installation serves: "2.20 and 2.21"."""
    return " and ".join(filter(None, [", ".join(SERVED[:-1]), SERVED[-1]]))


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
        reason = TENSORFLOW_BUILD["without_xla"] or f"{XLA_PATH} is missing"
        return f"not part of this build, so jit_compile=True cannot compile the ops: {reason}"
    try:
        tensorflow.load_library(str(XLA_PATH))
    except (tensorflow.errors.OpError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        return f"not loaded, so jit_compile=True cannot compile the ops: {reason}"
    return str(XLA_PATH)


# The minor versions of TensorFlow that this installation serves, the oldest first.
SERVED = tuple(_folders())
_tensorflow = _import_tensorflow()
_warn_of_mixed_files()
_folder = _folders()[_minor(_tensorflow.__version__)]
# The version of TensorFlow that the loaded libraries are built against, and by which compiler; why
# there are no XLA kernels, or nothing.
TENSORFLOW_BUILD: dict[str, str] = json.loads((_folder / "build.json").read_text())
OPS_PATH = _folder / "libtf_mavg_ops.so"
XLA_PATH = _folder / "libtf_mavg_xla.so"
# The generated Python functions, one an op.
OPS: Any = _load_ops(_tensorflow)
# The XLA library's path, or why it is not loaded.
XLA_KERNELS = _load_xla_kernels(_tensorflow)
