"""`tf_mavg info`: what an installation is made of and runs on."""

from __future__ import annotations

import platform

import click

from tf_mavg_cli import options
from tf_mavg_cli.running import command_body


@click.command
@options.as_json
@command_body
def info(*, as_json: bool) -> None:
    """Print what this installation is made of and runs on."""
    if as_json:
        options.print_json(facts())
    else:
        click.echo(report())


def facts() -> dict[str, str]:
    """The facts, each a short text under its name, in the order to print them."""
    import tensorflow as tf

    from tf_mavg import _native
    from tf_mavg._ops import library

    active, supported = _native.active_cpu_level(), _native.supported_cpu_level()
    return {
        "tf_mavg": library.BUILD_INFO["version"],
        "Python": platform.python_version(),
        "TensorFlow, served": library.served_text(),
        "TensorFlow, built against": library.TENSORFLOW_BUILD["tensorflow"],
        "TensorFlow, running": f"{tf.__version__} ({library.tensorflow_distribution()})",
        "compiler": library.TENSORFLOW_BUILD["compiler"],
        "op library": str(library.OPS_PATH),
        "XLA kernels": library.XLA_KERNELS,
        "CPU instructions": f"{active} in use, {supported} supported",
        "GPU images": _gpu_images(),
        "GPU driver": _gpu_driver(),
    }


def _gpu_images() -> str:
    from tf_mavg import _native

    images = _native.gpu_images()
    kinds = dict.fromkeys(
        f"{'sm' if image['kind'] == 'cubin' else 'PTX'}_{image['architecture']}" for image in images
    )
    return ", ".join(kinds) or "none: this build serves no GPU"


def _gpu_driver() -> str:
    from tf_mavg import _native

    driver = _native.gpu_driver()
    if driver["error"]:
        return str(driver["error"])
    names = ", ".join(device["name"] for device in driver["devices"]) or "no device"
    version = driver["version"]  # As CUDA has it: 12050 is 12.5.
    return f"{version // 1000}.{version % 1000 // 10}: {names}"


def report() -> str:
    """The facts as a table of two columns."""
    rows = facts()
    width = max(map(len, rows))
    return "\n".join(f"{name:{width}}  {text}" for name, text in rows.items())
