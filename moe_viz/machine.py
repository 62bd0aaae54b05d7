"""How much memory this machine has, and how much of it may be taken now.

Nothing is imported that is not always there, so that `doctor` answers where torch is missing.
"""

from __future__ import annotations

from pathlib import Path


def available_memory() -> float:
    """Bytes that may be taken on the host now; infinite where the system does not say."""
    return _meminfo().get("MemAvailable", float("inf"))


def total_memory() -> float:
    """Bytes of memory in the machine; infinite where the system does not say."""
    return _meminfo().get("MemTotal", float("inf"))


def _meminfo() -> dict[str, float]:
    """Linux's own account, in bytes; empty elsewhere."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return {}
    return {line.split(":")[0]: 1024.0 * int(line.split()[1]) for line in lines if ":" in line}
