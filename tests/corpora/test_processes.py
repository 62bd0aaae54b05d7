# SPDX-License-Identifier: Apache-2.0
"""Corpora recorded by processes: workers die and are replaced, and end with their driver."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

import moe_viz as mv
from moe_viz.errors import InputError, MoeVizError
from moe_viz.recording.corpora.engines.processes import Processes

from .deaths import sleep_or_die
from .made import Rows, files, prose, rows, temporaries, texts


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_tasks_of_workers_that_die_are_done_by_others(tmp_path):
    tasks = [(f"dies {n}" if n % 8 == 0 else f"lives {n}", str(tmp_path)) for n in range(16)]
    with Processes(2).started(sleep_or_die) as run:
        assert sorted(run(tasks)) == sorted(what for what, _ in tasks)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_a_task_that_kills_every_worker_is_given_up(tmp_path):
    with (
        Processes(1).started(sleep_or_die) as run,
        pytest.raises(MoeVizError, match=r"died \d+ times and finished nothing.*fewer workers="),
    ):
        list(run([("always", str(tmp_path))]))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_a_task_is_not_blamed_for_others(tmp_path):
    """Six workers die, each over a task of its own; the slow one has killed nobody."""
    tasks = [("slow", str(tmp_path)), *((f"dies {n}", str(tmp_path)) for n in range(6))]
    with Processes(2).started(sleep_or_die) as run:
        assert len(list(run(tasks))) == 7


@pytest.mark.slow
def test_a_worker_that_grows_is_not_taken_for_one_that_leaks(tmp_path):
    """A model and its batches may be gigabytes; loky would start a worker anew beyond 300 MB."""
    tasks = [("tells", str(tmp_path)), *[("grows", str(tmp_path))] * 3]
    with warnings.catch_warnings(), Processes(1).started(sleep_or_die) as run:
        warnings.simplefilter("error")
        assert len(set(run(tasks))) == 1  # process


@pytest.mark.long
def test_an_error_of_a_task_ends_the_workers(tmp_path):
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with (
        pytest.raises(InputError, match="it was not to be"),
        Processes(2).started(sleep_or_die) as run,
    ):
        list(run([("fails", str(tmp_path)), *[("slow", str(tmp_path))] * 4]))
    left = [c for c in psutil.Process().children(recursive=True) if c.pid not in before]
    assert not [c for c in left if any("popen_loky" in word for word in c.cmdline())]


SCRIPT = """
import json, sys, moe_viz as mv
data = mv.record_corpus("8x7m", sys.argv[1], sys.argv[2], engine="processes", workers=2,
                        shard_tokens=int(sys.argv[3]))
print(json.dumps([data.documents, len(data)]))
"""


def script(tmp_path: Path, documents: Rows, tokens: int) -> list[str]:
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in documents))
    (tmp_path / "script.py").write_text(SCRIPT)
    return [sys.executable, *(str(tmp_path / n) for n in ("script.py", "corpus.jsonl", "out")),
            str(tokens)]  # fmt: skip


@pytest.mark.long
def test_a_plain_script_needs_no_guard(tmp_path):
    """A script that would start itself again in every worker would print more than once."""
    run = subprocess.run(
        script(tmp_path, rows(9), 60), capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == 0, run.stderr
    documents, shards = json.loads(run.stdout)
    assert documents == 9
    assert shards > 1
    assert "Traceback" not in run.stderr
    assert "Warning" not in run.stderr


def below(process: subprocess.Popen) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return psutil.Process(process.pid).children(recursive=True)
    return []


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_workers_end_when_their_driver_is_killed(tmp_path):
    """And the same call goes on, with what they had made."""
    asked, out = script(tmp_path, prose(200), 1000), tmp_path / "out"
    driver = subprocess.Popen(asked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while len(list(out.rglob("*.safetensors"))) < 3 and time.monotonic() < until:
        time.sleep(0.05)
    there = below(driver)
    assert sum("popen_loky" in " ".join(p.cmdline()) for p in there) == 2
    driver.kill()
    driver.wait()
    _, alive = psutil.wait_procs(there, timeout=20)
    assert alive == []
    kept = files(out)
    documents = prose(200)[:40]
    asked = script(tmp_path, documents, 1000)
    run = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=200)
    assert run.returncode == 0, run.stderr
    assert kept.items() <= files(out).items()
    assert mv.TraceDataset.load(out).documents == 40


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="there is no SIGINT on Windows")
def test_an_interrupted_call_takes_its_workers_with_it(tmp_path):
    """Control and C reach the whole group: workers leave it to their driver, which ends them."""
    asked, out = script(tmp_path, prose(200), 1000), tmp_path / "out"
    driver = subprocess.Popen(
        asked, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    until = time.monotonic() + 60
    while len(files(out)) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    there = below(driver)
    os.killpg(driver.pid, signal.SIGINT)
    _, said = driver.communicate(timeout=60)
    assert driver.returncode == -signal.SIGINT
    assert said.count("Traceback") == 1  # the driver's own
    assert psutil.wait_procs(there, timeout=20)[1] == []
    assert temporaries(out) == []


@pytest.mark.slow
def test_two_calls_at_the_same_time_make_one_corpus(tmp_path):
    asked = script(tmp_path, prose(30), 200)
    asked[1:2] = ["-c", SCRIPT.replace('"processes", workers=2', '"inline"')]
    drivers = [subprocess.Popen(asked, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [driver.communicate(timeout=200)[0] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0]
    assert said[0] == said[1]
    data = mv.TraceDataset.load(tmp_path / "out")
    assert [p.text for trace in data for p in trace.prompts] == texts(prose(30))
    assert len(files(tmp_path / "out")) == len(data)
    assert temporaries(tmp_path) == []
