# SPDX-License-Identifier: Apache-2.0
"""What stands in a folder and is no plain file: pipes, devices, links that another account laid."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

import moe_viz as mv
from moe_viz import files
from moe_viz.errors import (
    CheckpointError,
    ConfigError,
    InputError,
    MoeVizError,
    OutputError,
    TokenizerError,
    TraceError,
)
from moe_viz.files import atomic_path, check_writable, embedded_folder, open_file, small_bytes
from moe_viz.progress import tell
from moe_viz.tokenization import Tokenizer
from moe_viz.view.pages.slides import save_notebook_page

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def soon(work) -> BaseException:
    """What a call raises; a test that would wait for ever fails instead."""
    found: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "it waits"
    return found[0]


@pytest.mark.parametrize("make", [fifo, device, listening])
def test_only_a_file_is_opened(make, tmp_path):
    make(tmp_path / "a")
    for opened in (open_file, small_bytes):
        assert isinstance(soon(lambda opened=opened: opened(tmp_path / "a")), OSError)
    with pytest.raises(IsADirectoryError):
        open_file(tmp_path)
    (tmp_path / "b").write_bytes(b"bytes")
    (tmp_path / "c").symlink_to(tmp_path / "b")
    with open_file(tmp_path / "c") as file:
        assert file.read() == b"bytes"


@pytest.mark.parametrize("make", [fifo, device])
@pytest.mark.parametrize("name", [
    "tokenizer.model", "tokenizer.json", "tokenizer_config.json", "generation_config.json",
])  # fmt: skip
def test_beside_the_weights_it_is_passed_over_with_a_note(make, name, tmp_path, capsys):
    folder = Path(shutil.copytree(embedded_folder(), tmp_path / "model"))
    (folder / name).unlink(missing_ok=True)
    make(folder / name)
    loaded: list[object] = []
    thread = threading.Thread(target=lambda: loaded.append(mv.load(folder)), daemon=True)
    thread.start()
    thread.join(60)
    assert loaded  # the weights are whole: ids can be given
    if make is device or name != "tokenizer.json":  # what is no file is not looked for
        assert "a device or a pipe, no file" in capsys.readouterr().err


def weights(name: str):
    def load(path: Path) -> None:
        folder = Path(shutil.copytree(embedded_folder(), path.parent / "model"))
        if name != "model.safetensors":
            (folder / "model.safetensors").unlink(missing_ok=True)
        shutil.move(path, folder / name)
        mv.load(folder)

    return load


READERS = {
    "trace": (mv.Trace.load, TraceError),
    "tokenizer": (Tokenizer, TokenizerError),
    "notebook": (lambda p: save_notebook_page([p], p.with_name("o.html"), False), InputError),
    "config": (weights("config.json"), MoeVizError),
    "weights": (weights("model.safetensors"), CheckpointError),
    "pickles": (weights("pytorch_model.bin"), CheckpointError),
    "index": (weights("model.safetensors.index.json"), CheckpointError),
    "resume": (lambda p: mv.record(mv.load("8x7m"), [[5]], resume=p), MoeVizError),
    "gguf": (mv.load, CheckpointError),
}


@pytest.mark.parametrize("make", [fifo, device])
@pytest.mark.parametrize("what", READERS)
def test_nothing_waits_for_what_never_comes(make, what, tmp_path):
    if what == "notebook":
        pytest.importorskip("sphinx_revealjs")
    read, error = READERS[what]
    path = tmp_path / "a.gguf" if what == "gguf" else tmp_path / "a"
    make(path)
    assert isinstance(soon(lambda: read(path)), error)


def test_a_small_file_has_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LARGEST", 2**21)
    with open(tmp_path / "config.json", "wb") as file:
        file.truncate(2**21)
    assert len(small_bytes(tmp_path / "config.json")) == 2**21
    with open(tmp_path / "config.json", "ab") as file:
        file.write(b" ")
    with pytest.raises(ConfigError, match=r"config\.json: cannot be read .*more than 2 MB"):
        mv.config.MixtralConfig.from_file(tmp_path / "config.json")


# ---- Links -----------------------------------------------------------------------------------


def written(path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("new")


@pytest.fixture
def for_all(tmp_path) -> Path:
    """A folder like /tmp, in which there is a link to a file of ours."""
    (tmp_path / "mine").write_text("mine")
    folder = tmp_path / "all"
    folder.mkdir()
    folder.chmod(0o1777)
    (folder / "out").symlink_to("../mine")
    return folder


@pytest.fixture
def of_another(monkeypatch) -> None:
    """Links belong to another account, and the folder to a third one."""
    real_link, real_stat = os.lstat, os.stat

    def owned(found: os.stat_result, uid: int) -> SimpleNamespace:
        return SimpleNamespace(st_mode=found.st_mode, st_uid=uid)

    def lstat(path, **how):
        found = real_link(path, **how)
        return owned(found, 4242) if stat.S_ISLNK(found.st_mode) else found

    def of_root(path, **how):
        found = real_stat(path, **how)
        return owned(found, 4243) if found.st_mode & stat.S_ISVTX else found

    monkeypatch.setattr(files.os, "lstat", lstat)
    monkeypatch.setattr(files.os, "stat", of_root)


def test_our_own_link_leads_on(for_all):
    written(for_all / "out")
    assert (for_all.parent / "mine").read_text() == "new"
    assert (for_all / "out").is_symlink()


@pytest.mark.usefixtures("of_another")
@pytest.mark.parametrize("write", [
    written, check_writable, lambda path: mv.record(mv.load("8x7m"), [[5]], resume=path),
], ids=["written", "checked", "resumed"])  # fmt: skip
def test_a_link_that_another_account_laid_is_not_followed(for_all, write):
    with pytest.raises(OutputError, match="a link that another account has laid"):
        write(for_all / "out")
    assert (for_all.parent / "mine").read_text() == "mine"


@pytest.mark.usefixtures("of_another")
def test_in_a_folder_of_one_s_own_links_are_one_s_own(for_all):
    for_all.chmod(0o755)
    written(for_all / "out")
    assert (for_all.parent / "mine").read_text() == "new"


def test_a_temporary_folder_of_another_account_stays(tmp_path, monkeypatch):
    left = tmp_path / f".a.{files.TEMPORARY}"
    left.mkdir()
    (left / "lock").touch()
    monkeypatch.setattr(files.os, "geteuid", lambda: os.stat(tmp_path).st_uid + 1)
    written(tmp_path / "b")
    assert (left / "lock").exists()
    monkeypatch.undo()
    written(tmp_path / "b")
    assert not left.exists()


def test_an_unfinished_recording_is_nobody_else_s_to_read(tmp_path):
    class Cut(Exception):
        pass

    def cut(routing) -> None:
        if routing.layer:
            raise Cut

    model, path = mv.load("8x7m"), tmp_path / "half"
    path.symlink_to("there")  # which is not there yet
    with model.router_hooks(cut), pytest.raises(Cut):
        mv.record(model, [[5, 6]], resume=path)
    assert stat.S_IMODE((tmp_path / "there").stat().st_mode) == 0o600
    assert len(mv.record(model, [[5, 6]], resume=path, out=tmp_path / "t")) == 2
    assert not (tmp_path / "there").exists()


# ---- Names -----------------------------------------------------------------------------------


def test_a_note_is_on_stderr_and_no_terminal_obeys_it(capsys):
    tell("tokenizer\x1b]0;mine\x07.json: \x9b31m")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "moe_viz: tokenizer␛]0;mine␇.json: �31m\n"


def test_what_a_folder_is_called_is_not_obeyed(tmp_path, capsys):
    folder = Path(shutil.copytree(embedded_folder(), tmp_path / "evil\x1b[31m"))
    (folder / "tokenizer.model").write_bytes(b"damaged")
    mv.load(folder)
    said = capsys.readouterr().err
    assert "evil␛[31m" in said
    assert "\x1b" not in said
