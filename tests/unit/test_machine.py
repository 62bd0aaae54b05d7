# SPDX-License-Identifier: Apache-2.0
"""What this process may take is the least that anything allows it; what is unknown is little."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from moe_viz import doctor, machine
from moe_viz.config import MixtralConfig
from moe_viz.errors import PlacementError
from moe_viz.placement import loading, memory

GB = 2.0**30


def system(tmp_path: Path, cgroup: str, mounts: str, files: dict[str, object]) -> Path:
    """A made-up /proc/self, and the files of cgroups; {} stands for the folder of both."""
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "cgroup").write_text(cgroup)
    (proc / "mountinfo").write_text(mounts.replace("{}", str(tmp_path)))
    return proc


V2 = "36 25 0:31 / {}/v2 rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "33 25 0:28 ROOT {}/v1 rw,nosuid shared:7 - cgroup cgroup rw,memory\n"
CPU = "34 25 0:29 / {}/cpu rw,nosuid shared:8 - cgroup cgroup rw,cpu,cpuacct\n"


def left(proc: Path) -> list[float]:
    return sorted(bound.available / GB for bound in machine._containers(proc))


def test_a_container_of_version_2_counts_what_is_used_but_not_cached_files(tmp_path):
    stat = f"anon {int(GB)}\ninactive_file {int(0.5 * GB)}\nactive_file {int(0.25 * GB)}\n"
    files = {"v2/a/memory.max": int(2 * GB), "v2/a/memory.current": int(1.75 * GB),
             "v2/a/memory.stat": stat, "v2/a/memory.high": "max"}  # fmt: skip
    assert left(system(tmp_path, "0::/a\n", V2, files)) == [1.0]


def test_the_tightest_of_nested_groups_counts(tmp_path):
    files = {"v2/a/memory.max": int(3 * GB), "v2/a/memory.current": int(2.5 * GB),
             "v2/a/b/memory.max": int(2 * GB), "v2/a/b/memory.current": int(GB),
             "v2/a/b/memory.high": int(1.75 * GB), "v2/a/b/c/memory.max": "max"}  # fmt: skip
    assert left(system(tmp_path, "0::/a/b/c\n", V2, files)) == [0.5, 0.75, 1.0]


@pytest.mark.parametrize("root", ["/", "/docker/f00"])
def test_a_container_of_version_1_sees_its_group_at_the_top(root, tmp_path):
    stat = f"cache 5\ntotal_inactive_file {int(GB)}\ninactive_file 0\n"
    files = {"v1/memory.limit_in_bytes": int(4 * GB), "v1/memory.usage_in_bytes": int(3 * GB),
             "v1/memory.stat": stat}  # fmt: skip
    groups = "5:cpuacct,cpu:/docker/f00\n4:memory:/docker/f00\n0::/\n"
    assert left(system(tmp_path, groups, CPU + V1.replace("ROOT", root), files)) == [2.0]


@pytest.mark.parametrize(("version", "group"), [(1, "4:memory:"), (2, "0::")])
def test_a_group_below_the_one_that_is_mounted_counts(version, group, tmp_path):
    """As in a container that runs others: its mount shows part of the tree, its own at the top."""
    names = {1: "limit_in_bytes", 2: "max"}, {1: "usage_in_bytes", 2: "current"}
    limit, usage = (f"v{version}/inner/memory.{names[n][version]}" for n in (0, 1))
    files: dict[str, object] = {limit: int(4 * GB), usage: int(3 * GB)}
    mounts = V1.replace("ROOT", "/outer") if version == 1 else V2.replace("0:31 /", "0:31 /outer")
    assert left(system(tmp_path, f"{group}/outer/inner\n", mounts, files)) == [1.0]


def test_no_limit_is_none(tmp_path):
    files = {"v1/memory.limit_in_bytes": 9223372036854771712, "v1/memory.usage_in_bytes": 5,
             "v2/memory.max": "max", "v2/memory.current": 5}  # fmt: skip
    assert left(system(tmp_path, "4:memory:/\n0::/\n", V1.replace("ROOT", "/") + V2, files)) == []
    assert list(machine._containers(tmp_path / "nowhere")) == []


def test_a_limit_on_the_address_space_counts():
    """In a process of its own, whose limit is real."""
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**30, -1))\n"
        "from moe_viz import machine; print(machine.tightest())"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "of 1.0 GiB" in said.stdout
    assert "ulimit -v" in said.stdout


@pytest.fixture
def nothing_known(monkeypatch):
    """A system that psutil does not know, and that has no /proc."""
    monkeypatch.setitem(sys.modules, "psutil", None)
    monkeypatch.setattr(Path, "read_text", _missing)


def _missing(self, *args, **options):
    raise FileNotFoundError(2, "No such file or directory")


def test_what_is_unknown_is_little_and_said(nothing_known):
    assert machine.available_memory() == machine.ASSUMED == 2 * GB
    assert "assumed" in doctor._memory()
    assert memory.free_memory(torch.device("meta")) == 2 * GB


class Huge:
    """What is asked of Mixtral 8x7B's checkpoint before it is placed."""

    config = MixtralConfig.preset("mixtral-8x7b")
    headers, revision, is_local = (), "", True

    def memory(self, dtype: torch.dtype, name: str = "") -> int:
        return (176160768 if name else 46702792704) * dtype.itemsize


def test_what_does_not_fit_into_the_unknown_is_streamed_or_refused_with_the_reason(
    nothing_known, capsys
):
    huge: object = Huge()
    cpu = torch.device("cpu")
    assert loading._choose("auto", huge, cpu, torch.bfloat16) == "stream"  # type: ignore[arg-type]
    assert "2 GiB are assumed" in capsys.readouterr().err
    with pytest.raises(PlacementError, match="2 GiB are assumed"):
        loading._choose("resident", huge, cpu, torch.float32)  # type: ignore[arg-type]


def test_without_psutil_linux_is_asked(monkeypatch):
    known = machine.tightest().total
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert machine.tightest().total == known


def test_doctor_names_what_binds(monkeypatch):
    limit = machine.Memory(GB, 3 * GB, "limit of the container: /x/memory.max")
    monkeypatch.setattr(machine, "_containers", lambda: [limit])
    said = dict(doctor.examine())["memory"]
    assert said.startswith("1.0 of 3.0 GiB available (limit of the container: /x/memory.max); ")
    assert "(this machine)" in said


def test_apples_gpu_computes_in_float32_and_in_the_hosts_memory(monkeypatch):
    """Simulated: nobody has run it there."""
    mps = torch.device("mps")
    with pytest.raises(PlacementError, match="float32"):
        loading.dtype_named("bfloat16", mps)
    assert loading.dtype_named("auto", mps) == torch.float32
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: int(8 * GB))
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: int(GB))
    monkeypatch.setattr(memory, "available_memory", lambda: 20 * GB)
    assert memory.free_memory(mps) == 7 * GB
    monkeypatch.setattr(memory, "available_memory", lambda: 5 * GB)
    assert memory.free_memory(mps) == 5 * GB


@pytest.mark.parametrize("lines", ["", "x", ":", "1:memory", "\n\n", "a b - c", "- - -", "\xff"])
def test_files_of_the_kernel_that_say_nothing_limit_nothing(tmp_path, lines):
    (tmp_path / "cgroup").write_bytes(lines.encode("latin-1"))
    (tmp_path / "mountinfo").write_bytes(lines.encode("latin-1"))
    assert list(machine._containers(tmp_path)) == []
