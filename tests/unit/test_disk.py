# SPDX-License-Identifier: Apache-2.0
"""Full disks, and files that are private, linked or damaged: nothing is lost or let through."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import moe_viz as mv
from moe_viz import files
from moe_viz.errors import OutputError, TraceError
from moe_viz.files import atomic_path, check_writable
from moe_viz.recording.recording import bytes_of_trace
from moe_viz.trace import Trace, checksums
from tests.conftest import random_model

ALONE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
SMALL_DISK = 'mount -t tmpfs -o size=3m none "$0" && exec "$@"'


def on_a_small_disk(folder: Path, program: str) -> str:
    """What a program prints whose folder is on a disk of 3 MB of its own."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare here")
    command = [*ALONE, SMALL_DISK, str(folder), sys.executable, "-c", program]
    if subprocess.run([*ALONE, SMALL_DISK, str(folder), "true"], capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    ended = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout


def test_a_recording_whose_disk_fills_up_at_the_end_is_not_lost(tmp_path):
    printed = on_a_small_disk(
        tmp_path,
        f"""
from pathlib import Path
import os
import numpy as np
import moe_viz as mv
from moe_viz.errors import OutputError
from tests.conftest import random_model
folder, model, ids = Path({str(tmp_path)!r}), random_model(), [list(range(100))] * 40
half, out, filler = folder / "half", folder / "out.safetensors", folder / "filler"
seen = []
def fill(routing):
    seen.append(routing.layer)
    if routing.layer == 2:
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        os.truncate(filler, filler.stat().st_size - 250_000)  # room for one layer's decisions
with model.router_hooks(fill):
    try:
        mv.record(model, ids, resume=half, out=out)
    except OutputError as error:
        print(error)
print(sorted(p.name for p in folder.iterdir()), len(seen))
filler.unlink()
with model.router_hooks(fill):
    trace = mv.record(model, ids, resume=half, out=out)
print(sorted(p.name for p in folder.iterdir()), len(seen))
expected, kept = mv.record(model, ids), mv.Trace.load(out, whole=True)
names = ("router_logits", "experts", "gates")
print(all(np.array_equal(getattr(kept, n), getattr(expected, n)) for n in names))
""",
    )
    said, left, done, same = printed.splitlines()
    assert "out.safetensors: cannot be written (No space left on device)" in said
    assert "MB are needed, and" in said
    assert left == "['filler', 'half'] 3"
    assert done == "['out.safetensors'] 3"  # nothing was computed again
    assert same == "True"


def test_what_is_too_large_is_refused_before_it_is_computed(tmp_path):
    printed = on_a_small_disk(
        tmp_path,
        f"""
import moe_viz as mv
from moe_viz.errors import OutputError
from tests.conftest import random_model
model = random_model()
for option in ("out", "resume"):
    try:
        with model.router_hooks(lambda routing: print("computed")):
            mv.record(model, [list(range(100))] * 200, **{{option: {str(tmp_path / "t")!r}}})
    except OutputError as error:
        print(error)
""",
    )
    assert printed.count("MB are needed, and 3.1 MB are free") == 2
    assert "computed" not in printed


def test_every_writer_says_that_the_disk_is_full(tmp_path):
    """safetensors', Arrow's and Python's own errors."""
    printed = on_a_small_disk(
        tmp_path,
        f"""
from pathlib import Path
import moe_viz as mv
from moe_viz.checkpoint import save_checkpoint
from moe_viz.errors import OutputError
folder, model = Path({str(tmp_path)!r}), mv.load("8x7m")
trace = mv.record(model, mv.prompts.passages()[:10])
def tried(name, work):
    try:
        work(); print(name, "written")
    except OutputError as error:
        print(name, error)
tried("page", lambda: mv.save_page(trace, folder / "page.html"))
filler = open(folder / "filler", "wb")
try:
    while True:
        filler.write(bytes(10_000)); filler.flush()
except OSError:
    pass
tried("trace", lambda: trace.save(folder / "t"))
tried("page", lambda: mv.save_page(trace, folder / "page.html"))
tried("report", lambda: mv.report(trace).save(folder))
tried("weights", lambda: save_checkpoint(model, folder))
print(sorted(p.name for p in folder.iterdir()), (folder / "page.html").read_text()[-8:].strip())
""",
    )
    lines = printed.splitlines()
    assert lines[0] == "page written"
    for line, name in zip(lines[1:5], ("trace", "page", "report", "weights"), strict=True):
        assert line.startswith(name)
        assert "cannot be written (" in line
        assert "free there" in line
    assert lines[5] == "['filler', 'page.html'] </html>"  # what was there is as it was


@pytest.mark.parametrize("loss", [False, True])
def test_the_size_of_a_trace_is_known_beforehand(tmp_path, loss):
    model, ids = random_model(), [list(range(50))] * 20
    path = mv.record(model, ids, loss=loss).save(tmp_path / "t")
    guess = bytes_of_trace(model.config, 1000)
    assert 0.9 * guess < path.stat().st_size < 1.1 * guess + 10_000


# ---- Whose file it is


def test_a_private_file_stays_private_and_a_new_one_is_as_the_system_says(tmp_path):
    path, umask = tmp_path / "t", os.umask(0o027)
    try:
        with atomic_path(path) as temporary:
            temporary.write_bytes(b"one")
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        for mode in (0o600, 0o664, 0o444):
            path.chmod(mode)
            with atomic_path(path) as temporary:
                temporary.unlink()
                temporary.write_bytes(b"two")  # as writers do that make a file of their own
            assert stat.S_IMODE(path.stat().st_mode) == mode
    finally:
        os.umask(umask)


def test_a_link_leads_on(tmp_path):
    (tmp_path / "far").mkdir()
    real, link, dangling = tmp_path / "far/real", tmp_path / "link", tmp_path / "dangling"
    real.write_bytes(b"old")
    link.symlink_to(real)
    dangling.symlink_to("far/new")
    for path in (link, dangling):
        check_writable(path)
        with atomic_path(path) as temporary:
            temporary.write_bytes(b"new")
        assert path.is_symlink()
    assert (real.read_bytes(), (tmp_path / "far/new").read_bytes()) == (b"new", b"new")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["dangling", "far", "link", "new", "real"]


@pytest.mark.skipif(os.name == "nt", reason="there is no /dev on Windows")
@pytest.mark.parametrize("where", ["/dev/null", "/dev/full", "pipe"])
def test_a_device_or_a_pipe_is_not_replaced(tmp_path, where):
    path = tmp_path / "pipe" if where == "pipe" else Path(where)
    if where == "pipe":
        os.mkfifo(path)
    before = path.stat()
    with pytest.raises(OutputError, match="it is a device or a pipe"):
        mv.record(random_model(), [[1, 2]], out=path)
    assert os.path.samestat(path.stat(), before)


def test_a_file_is_on_the_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    done = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda f: (done.append(os.readlink(f"/proc/self/fd/{f}")),
                                                sync(f)))  # fmt: skip
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("replaced"), replace(a, b)))
    with atomic_path(tmp_path / "t") as temporary:
        temporary.write_bytes(b"one")
    assert done == [str(temporary), "replaced", str(tmp_path)]


# ---- Damage


@pytest.fixture
def saved(tmp_path) -> Path:
    return mv.record(random_model(), [list(range(90))], loss=True).save(tmp_path / "t.safetensors")


def zeroed(path: Path, start: int, stop: int) -> None:
    with open(path, "r+b") as file:
        file.seek(start)
        file.write(bytes(stop - start))


def test_a_copy_whose_second_half_is_zeros_is_refused(saved):
    size = saved.stat().st_size
    zeroed(saved, size // 2, size)
    with pytest.raises(TraceError, match=r"t\.safetensors: is damaged: .*router_logits"):
        Trace.load(saved)


@pytest.mark.parametrize("name", ["router_logits", "experts", "gates", "loss", "spans"])
def test_one_wrong_byte_is_noticed_and_its_array_named(saved, name):
    arrays = load_file(saved)
    with safe_open(saved, "numpy") as file:
        metadata = file.metadata()
    flat = arrays[name].reshape(-1).view(np.uint8)
    flat[len(flat) // 3] ^= 1
    save_file(arrays, saved, metadata)
    with pytest.raises(TraceError, match=f"is damaged: {name} are not what was written"):
        Trace.load(saved)


def test_of_a_large_array_parts_are_looked_at_and_all_of_it_on_demand(saved, monkeypatch):
    trace = Trace.load(saved)
    monkeypatch.setattr(checksums, "SMALL", 100)
    monkeypatch.setattr(checksums, "PAGE", 16)
    monkeypatch.setattr(checksums, "PAGES", 8)
    trace.save(saved)  # with checksums of these pages
    arrays = load_file(saved)
    logits = arrays["router_logits"].reshape(-1).view(np.uint8)
    with safe_open(saved, "numpy") as file:
        metadata = file.metadata()
    logits[20] ^= 1  # between two pages
    save_file(arrays, saved, metadata)
    Trace.load(saved)
    with pytest.raises(TraceError, match="router_logits"):
        Trace.load(saved, whole=True)
    logits[len(logits) // 2 :] = 0
    save_file(arrays, saved, metadata)
    with pytest.raises(TraceError, match="router_logits"):
        Trace.load(saved)


def test_a_file_of_an_earlier_version_has_no_checksums_and_opens(saved):
    arrays = load_file(saved)
    with safe_open(saved, "numpy") as file:
        metadata = file.metadata()
    header = json.loads(metadata["moe_viz_trace"])
    assert header.pop("checksums").keys() == arrays.keys()
    header["format"] = 1
    save_file(arrays, saved, {"moe_viz_trace": json.dumps(header)})
    assert len(Trace.load(saved)) == 90


def test_a_full_disk_is_told_from_a_folder_that_may_not_be_written(tmp_path):
    with pytest.raises(OutputError, match="MB are free there"), files.writing(tmp_path / "t", 5):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OutputError, match="in a folder you may"), files.writing(tmp_path / "t"):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_that_looks_like_a_writer_s_folder_is_not_followed(tmp_path):
    """Somebody else could lay it, to a folder of ours with a file named lock."""
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "lock").write_text("")
    (tmp_path / "private" / "kept").write_text("")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / f".a{files.TEMPORARY}").symlink_to(tmp_path / "private")
    with atomic_path(tmp_path / "shared" / "out") as path:
        path.write_text("written")
    assert sorted(p.name for p in (tmp_path / "private").iterdir()) == ["kept", "lock"]
