"""What an installation is made of and runs on: the text of `python -m tf_mavg info`."""

from __future__ import annotations

import platform

import tensorflow as tf

from tf_mavg import _native
from tf_mavg._library import BUILD_INFO, OPS_PATH, tensorflow_distribution


def facts() -> dict[str, str]:
    """The facts, each a short text under its name, in the order to print them."""
    active, supported = _native.active_cpu_level(), _native.supported_cpu_level()
    return {
        "tf_mavg": BUILD_INFO["version"],
        "Python": platform.python_version(),
        "TensorFlow, built against": BUILD_INFO["tensorflow"],
        "TensorFlow, running": f"{tf.__version__} ({tensorflow_distribution()})",
        "compiler": BUILD_INFO["compiler"],
        "op library": str(OPS_PATH),
        "CPU instructions": f"{active} in use, {supported} supported",
        "GPU": "no GPU images in this build; variables on a GPU are not served",
    }


def report() -> str:
    """The facts as a table of two columns."""
    rows = facts()
    width = max(map(len, rows))
    return "\n".join(f"{name:{width}}  {text}" for name, text in rows.items())
