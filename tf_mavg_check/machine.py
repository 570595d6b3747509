"""What is checked: the installation, the processor and the GPU."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any, Final

from tf_mavg_check.native import native

FORCE_PTX: Final = "TF_MAVG_FORCE_PTX"


def facts() -> dict[str, Any]:
    """Facts that a report of a failure needs, for print and for scripts."""
    build = native().build_info()
    return {
        "tf_mavg": build["version"],
        "compiler": build["compiler"],
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}, {' '.join(platform.libc_ver())}",
        "processor": f"{processor()}, {native().supported_cpu_level()}",
        "GPU": device_text(),
    }


def processor() -> str:
    """What the processor calls itself."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def device() -> dict[str, Any] | None:
    """The facts of device 0; None without a driver or a device."""
    devices = native().gpu_driver()["devices"]
    return devices[0] if devices else None


def device_text() -> str:
    """The device and its driver, or why there is none."""
    driver = native().gpu_driver()
    if not driver["devices"]:
        return driver["error"] or "the driver has no device"
    first = driver["devices"][0]
    capability, version = first["compute_capability"], driver["version"]
    return (
        f"{first['name']}, compute capability {capability // 10}.{capability % 10}, "
        f"driver for CUDA {version // 1000}.{version % 1000 // 10}"
    )


def forces_ptx() -> bool:
    """Whether the driver compiles the kernels from PTX in this process."""
    return os.environ.get(FORCE_PTX, "0") not in {"", "0"}
