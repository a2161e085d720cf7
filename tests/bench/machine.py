"""Which machine a figure was measured on."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import av


def describe() -> dict[str, Any]:
    """Returns what decides a figure besides the code: hardware, versions, and how busy the machine was."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": {"av": av.__version__, "ffmpeg": av.ffmpeg_version_info} | _packages(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_before": os.getloadavg()[0],
    }


def _packages() -> dict[str, str]:
    shown = {"framewarden", "numpy", "onnxruntime", "onnxruntime-gpu"}
    return {found.name: found.version for found in distributions() if found.name in shown}


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
