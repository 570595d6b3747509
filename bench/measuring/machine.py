"""On what the measurements were taken: processor, versions, commit, load."""

from __future__ import annotations

import datetime as dt
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from tf_mavg import _native

from .. import device

DISTRIBUTIONS = ("tf_mavg", "tensorflow", "tensorflow-cpu", "numpy", "torch")


def conditions() -> dict[str, Any]:
    """All of it, ready for JSON."""
    return {
        "date": dt.datetime.now(tz=dt.timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": {
            "processor": processor(),
            "cores": device.THREADS,
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "kernel": platform.release(),
            "gpu": device.gpu_name(),
        },
        "versions": {"python": platform.python_version(), **versions()},
        "cpu_level": _native.active_cpu_level(),
    }


def processor() -> str:
    """The processor's name, from Linux's own list where there is one."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def versions() -> dict[str, str]:
    """The versions of what takes part, as far as it is installed."""
    installed = {
        distribution.name: distribution.version for distribution in metadata.distributions()
    }
    return {name: installed[name] for name in DISTRIBUTIONS if name in installed}


def commit() -> str | None:
    """The commit of the clone of tf_mavg that this runs in, "-dirty" if files differ from it.

    None elsewhere: an installed package does not know its commit, but its version.
    """
    if not Path("bench", "commands.py").exists():
        return None
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed command.
            command, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()


def load_average() -> float:
    """Threads that ran or wanted to in the last minute: more than 0 means a machine not at rest."""
    return round(os.getloadavg()[0], 2)
