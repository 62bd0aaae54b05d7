# SPDX-License-Identifier: Apache-2.0
"""What this machine has that matters to moe_viz: versions, processor, memory, GPU, disk.

Nothing is installed or changed; torch is used only where it is installed.
"""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from .files import embedded_folder
from .machine import bounds, tightest

_PACKAGES = (
    "numpy", "safetensors", "torch", "sentencepiece", "psutil", "pyarrow", "jupyterlab",
)  # fmt: skip


def examine() -> list[tuple[str, str]]:
    """Findings by name, each one line, in reading order."""
    found = [("Python", platform.python_version()), ("moe-viz", _version("moe-viz"))]
    found += [(name, _version(name)) for name in _PACKAGES]
    found.append(("processors", str(os.cpu_count())))
    found.append(("memory", _memory()))
    found.append(("disk here", f"{shutil.disk_usage(Path.cwd()).free / 2**30:,.0f} GiB free"))
    found.append(("GPU", _gpu()))
    weights = embedded_folder() / "model.safetensors"
    size = f"{weights.stat().st_size / 1e6:.1f} MB" if weights.is_file() else "missing: reinstall"
    found.append(("embedded model 8x7m", size))
    if find_spec("torch") and find_spec("sentencepiece"):
        verdict = "can record and generate here"
    else:
        verdict = "can show recorded traces; to record: pip install 'moe-viz[model]'"
    found.append(("so moe-viz", verdict))
    return found


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _memory() -> str:
    """What this process may take, and the machine's own account where that is not what binds."""
    binding = tightest()
    machine = [bound for bound in bounds() if bound.bound == "this machine"]
    others = f"; {machine[0]}" if machine and binding.bound != "this machine" else ""
    return f"{binding}{others}"


def _gpu() -> str:
    if not find_spec("torch"):
        return "unknown: torch is not installed"
    import torch

    if not torch.cuda.is_available():
        if torch.backends.mps.is_available():
            return "Apple's (device='mps', float32); not tested by moe_viz's authors"
        return "none that torch can use"
    free, total = torch.cuda.mem_get_info()
    name = torch.cuda.get_device_name()
    return f"{name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
