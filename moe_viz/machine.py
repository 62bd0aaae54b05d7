# SPDX-License-Identifier: Apache-2.0
"""How much memory this process may take: the least that machine, container and limits leave it.

Nothing is imported that is not always there, so that `doctor` answers where torch is missing:
psutil asks every system, and Linux is asked without it too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: Bytes that are assumed to be free where nothing says how many are.
ASSUMED = 2.0 * 2**30

#: Larger limits are none: cgroup v1 spells "no limit" as a number of pages.
_NO_LIMIT = 2.0**60


@dataclass(frozen=True)
class Memory:
    """What one bound leaves: bytes that may be taken now, of how many, and which bound that is."""

    available: float
    total: float
    bound: str

    def __str__(self) -> str:
        return (
            f"{self.available / 2**30:.1f} of {self.total / 2**30:.1f} GiB available ({self.bound})"
        )


def available_memory() -> float:
    """Bytes that this process may take on the host now."""
    return tightest().available


def tightest() -> Memory:
    """The bound that leaves least.

    >>> tightest().available <= min(bound.available for bound in bounds())
    True
    """
    return min(bounds(), key=lambda bound: bound.available)


def bounds() -> list[Memory]:
    """Every bound that is known here; one that is assumed where none is."""
    found = [*_machine(), *_containers(), *_address_space()]
    if not any(bound.bound == "this machine" for bound in found):
        why = "unknown here, so 2 GiB are assumed; pip install psutil"
        found.append(Memory(ASSUMED, ASSUMED, why))
    return found


# ---- The machine -------------------------------------------------------------------------------


def _machine() -> Iterator[Memory]:
    """The whole machine: as psutil knows it everywhere, else by Linux's own account."""
    try:
        import psutil

        said = psutil.virtual_memory()
        yield Memory(float(said.available), float(said.total), "this machine")
        return
    except Exception:  # missing, or a system that does not tell: psutil fails in many ways
        pass
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        said = {line.split(":")[0]: 1024.0 * int(line.split()[1]) for line in lines if ":" in line}
        yield Memory(said["MemAvailable"], said["MemTotal"], "this machine")
    except (OSError, ValueError, LookupError):
        pass


# ---- Containers --------------------------------------------------------------------------------


def _containers(proc: Path = Path("/proc/self")) -> Iterator[Memory]:
    """What each cgroup leaves that this process is in, from its own to the outermost one."""
    for folder, top, version in _cgroups(proc):
        while True:
            yield from _limits(folder, version)
            if folder == top or top not in folder.parents:
                break
            folder = folder.parent


def _cgroups(proc: Path) -> Iterator[tuple[Path, Path, int]]:
    """The folder of this process's cgroup, the one at the top, and the version, 1 or 2."""
    try:
        mounts = (proc / "mountinfo").read_text().splitlines()
        groups = (proc / "cgroup").read_text().splitlines()
    except (OSError, ValueError):  # not Linux, or nothing that can be read
        return
    inside: dict[int, str] = {}
    for line in groups:
        _, found, rest = line.partition(":")
        controllers, there, path = rest.partition(":")
        if not (found and there):
            continue
        if not controllers:
            inside[2] = path
        elif "memory" in controllers.split(","):
            inside[1] = path
    for line in mounts:
        ours, _, theirs = line.partition(" - ")
        if len(theirs.split()) < 3 or len(ours.split()) < 5:
            continue
        kind, options = theirs.split()[0], theirs.split()[-1]
        version = {"cgroup2": 2, "cgroup": 1}.get(kind, 0)
        if version not in inside or (version == 1 and "memory" not in options.split(",")):
            continue
        root, point = (_plain(field) for field in ours.split()[3:5])
        # A container sees its own cgroup as the top one, and may be told another name for it.
        path = inside[version]
        if root != "/" and (path == root or path.startswith(f"{root}/")):
            path = path[len(root) :]
        folder = Path(point) / path.lstrip("/")
        yield (folder if folder.is_dir() else Path(point)), Path(point), version


def _plain(field: str) -> str:
    r"""A path of mountinfo, where spaces are written as \040.

    >>> _plain(r"/a\040b")
    '/a b'
    """
    return re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), field)


def _limits(folder: Path, version: int) -> Iterator[Memory]:
    """What one cgroup leaves, by each of its limits: `high` slows down, `max` kills."""
    limits, usage = (
        (("memory.max", "memory.high"), "memory.current")
        if version == 2
        else (("memory.limit_in_bytes",), "memory.usage_in_bytes")
    )
    used = _number(folder / usage)
    for name in limits:
        limit = _number(folder / name)
        if limit is None or limit >= _NO_LIMIT:
            continue
        # Files that were read count as used, and make room when somebody needs it.
        taken = max(0.0, (used or 0.0) - _reclaimable(folder))
        yield Memory(max(0.0, limit - taken), limit, f"limit of the container: {folder / name}")


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text())
    except (OSError, ValueError):  # "max" is not a number
        return None


def _reclaimable(folder: Path) -> float:
    """Bytes of a cgroup that the system would give back: pages of files, and of its own caches."""
    try:
        words = (folder / "memory.stat").read_text().split()
        said = dict(zip(words[::2], map(float, words[1::2]), strict=True))
    except (OSError, ValueError):
        return 0.0
    for prefix in ("total_", ""):  # version 1: with those of the groups in it
        if f"{prefix}inactive_file" in said:
            parts = ("inactive_file", "active_file", "slab_reclaimable")
            return sum(said.get(f"{prefix}{part}", 0.0) for part in parts)
    return 0.0


# ---- This process ------------------------------------------------------------------------------


def _address_space() -> Iterator[Memory]:
    """What a limit on the address space (`ulimit -v`) leaves, where there is one."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if not 0 <= limit < _NO_LIMIT or limit == resource.RLIM_INFINITY:
            return
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        used = float(pages * resource.getpagesize())
    except (ImportError, AttributeError, OSError, ValueError):  # Windows, macOS
        return
    yield Memory(max(0.0, limit - used), float(limit), "limit of this process: ulimit -v")
