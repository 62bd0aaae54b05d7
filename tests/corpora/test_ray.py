# SPDX-License-Identifier: Apache-2.0
"""Ray: it makes what one process makes, says what is ours, stays on this machine, and goes away.

Starting Ray takes ten seconds, and an actor as many: all of these are slow.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

import moe_viz as mv
from moe_viz.errors import InputError, MoeVizError, PlacementError
from moe_viz.files import TEMPORARY
from moe_viz.recording.corpora.engines import ray as engine
from moe_viz.trace import Trace

from .deaths import sleep_or_die
from .made import assert_same, inline, names, prose

os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # as the engine does, which is too late here
ray = pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="Ray's processes are looked at as on Linux"),
]
OPTIONS = {"shard_tokens": 250, "loss": True}


@pytest.fixture(scope="module")
def begun():
    """Ray as the engine starts it, for several tests: one that runs is not started again."""
    library = engine._ray(alone=True)
    engine._end_left_over()
    engine._begin(library, None)
    yield library
    library.shutdown()
    engine._end_left_over()


def test_it_makes_what_one_process_makes(begun, tmp_path):
    documents = prose(12)
    data = mv.record_corpus("8x7m", documents, tmp_path / "a", "ray", workers=2, **OPTIONS)
    assert ray.is_initialized()  # it was not ours to end
    alone = inline(documents, tmp_path / "b", "8x7m", **OPTIONS)
    assert names(data) == names(alone)
    assert len(data) > 3
    a, b = Trace.join(list(data)), Trace.join(list(alone))
    assert_same(a, b, within=2e-6)
    assert a.prompts == b.prompts
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(TEMPORARY)]


def test_workers_that_die_are_replaced(begun, tmp_path):
    tasks = [(f"dies {n}" if n % 4 == 0 else f"lives {n}", str(tmp_path)) for n in range(8)]
    with engine.Ray(2).started(sleep_or_die) as run:
        assert sorted(run(tasks)) == sorted(what for what, _ in tasks)
    assert len(list(tmp_path.iterdir())) == 2


def test_errors_of_ours_come_through(begun, tmp_path):
    with (
        pytest.raises(InputError, match="it was not to be"),
        engine.Ray(1).started(sleep_or_die) as run,
    ):
        list(run([("fails", str(tmp_path))]))
    with pytest.raises((PlacementError, InputError), match="nonsense"):
        mv.record_corpus("8x7m", prose(2), tmp_path, "ray", workers=1, dtype="nonsense")


def test_any_error_says_what_to_do(begun, tmp_path):
    with (
        pytest.raises(MoeVizError) as error,
        engine.Ray(1).started(sleep_or_die) as run,
    ):
        list(run([("fails", str(tmp_path))]))
    said = str(error.value)
    assert "it was not to be" in said or "the same call goes on from there" in said


def listening(processes: list[psutil.Process]) -> set[tuple[str, str]]:
    """Names of processes, and the addresses at which they wait for others."""
    found = set()
    for process in processes:
        with suppress(psutil.Error):
            found |= {
                (process.name(), one.laddr.ip)
                for one in process.net_connections("inet")
                if one.status == psutil.CONN_LISTEN
            }
    return found


def test_nobody_else_can_reach_it(begun):
    here = psutil.Process()
    found = listening([here, *here.children(recursive=True)])
    assert {name for name, _ in found} >= {"gcs_server", "raylet"}
    assert {address.removeprefix("::ffff:") for _, address in found} <= {"127.0.0.1", "::1"}


# ---- In processes of their own, from here on

DRIVER = """
import sys, moe_viz as mv
data = mv.record_corpus("8x7m", sys.argv[1], sys.argv[2], engine="ray", workers=1, shard_tokens=250)
print("made", data.documents)
"""


def driver(source: Path, out: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, source, out], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def seen_until_the_end(process: subprocess.Popen[str], limit: float = 280) -> set[psutil.Process]:
    """All processes that came from this one while it ran."""
    seen, until = set(), time.monotonic() + limit
    while process.poll() is None and time.monotonic() < until:
        with suppress(psutil.Error):
            seen |= set(psutil.Process(process.pid).children(recursive=True))
        time.sleep(0.2)
    return seen


def living(processes: set[psutil.Process]) -> list[psutil.Process]:
    return psutil.wait_procs(list(processes), timeout=10)[1]


def test_no_process_is_left_by_a_driver_that_was_killed_and_another(tmp_path):
    source, out = tmp_path / "a.jsonl", tmp_path / "out"
    source.write_text("".join(json.dumps(row) + "\n" for row in prose(24)))
    first, seen, until = driver(source, out), set(), time.monotonic() + 280
    while len(list(out.rglob("*.safetensors"))) < 2 and time.monotonic() < until:
        assert first.poll() is None, "it ended by itself"
        with suppress(psutil.Error):
            seen |= set(psutil.Process(first.pid).children(recursive=True))
        time.sleep(0.1)
    first.send_signal(signal.SIGKILL)
    first.wait()
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    assert len(kept) >= 2
    second = driver(source, out)
    seen |= seen_until_the_end(second)
    assert second.returncode == 0
    assert second.stdout is not None
    assert "made 24" in second.stdout.read()
    assert living(seen) == []
    assert len(seen) > 8
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())
    assert not [path for path in out.rglob("*") if path.name.endswith(TEMPORARY)]
    assert mv.TraceDataset.load(out).documents == 24


def test_two_nodes_are_two_machines(tmp_path):
    """Each has one core: two workers are one on each."""
    from ray.cluster_utils import Cluster

    engine._ray(alone=True)
    if ray.is_initialized():  # by the tests above: a cluster is joined by a new driver
        ray.shutdown()
        engine._end_left_over()
    one: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 200_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={**one, "include_dashboard": False})
    try:
        cluster.add_node(**one)
        cluster.wait_for_nodes()
        documents = prose(8)
        data = mv.record_corpus(
            "8x7m", documents, tmp_path / "a", "ray", workers=2, address=cluster.address, **OPTIONS
        )
        assert not ray.is_initialized()
        alone = inline(documents, tmp_path / "b", "8x7m", **OPTIONS)
        assert names(data) == names(alone)
        assert_same(Trace.join(list(data)), Trace.join(list(alone)), within=2e-6)
    finally:
        cluster.shutdown()


def test_an_address_where_nobody_is_is_told_soon(tmp_path):
    asked = (
        "import sys, moe_viz as mv\n"
        "mv.record_corpus('8x7m', ['a'], sys.argv[1], 'ray', address='127.0.0.1:1')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", asked, tmp_path], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 1
    assert "127.0.0.1:1: no Ray cluster answers there" in run.stderr
    assert "as ray start --head prints it" in run.stderr
