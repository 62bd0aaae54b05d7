# SPDX-License-Identifier: Apache-2.0
"""The command line: every command runs, and whatever is refused is refused in one message."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

import moe_viz as mv
from moe_viz.cli import app, main
from moe_viz.files import embedded_folder

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
PROGRAM = Path(sys.executable).with_name("moe-viz")
TRACE = "kept.safetensors"


@pytest.fixture(scope="session")
def recorded(tmp_path_factory) -> bytes:
    """The bytes of a trace of one text."""
    path = tmp_path_factory.mktemp("recorded") / TRACE
    return mv.record(mv.load("8x7m"), "Good morning.").save(path).read_bytes()


@pytest.fixture
def here(tmp_path, monkeypatch, recorded):
    """A folder to work in: a trace, and files that are none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "99999")  # messages in one line
    monkeypatch.setattr("webbrowser.open", lambda url: pytest.fail(f"opened {url}"))
    contents = {
        TRACE: recorded,
        "trace.html": recorded,  # a trace, whatever its name says
        "cut.safetensors": recorded[: len(recorded) // 2],
        "empty.safetensors": b"",
        "text.txt": "Grüße\nan alle".encode(),
        "latin.txt": "Grüße".encode("latin-1"),
        "nul.txt": b"a\0b",
        "big.txt": b"ten bytes " * 1_000_000,
        "long.txt": b"word " * 5000,
        "deep.json": b"[" * 100_000,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.fixture
def run(here, monkeypatch, capsys):
    """Runs the program in this process: its exit status and what it printed, apart."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["moe-viz", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), *capsys.readouterr()

    return run


def files() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


# ---- What works ------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(command):
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output
    assert "Traceback" not in result.output
    if not command:
        assert all(name in result.output for name in COMMANDS)


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("Good morning.", "Good morning."),
        ("@text.txt", "Grüße\nan alle"),
        ("@nul.txt", "a\0b"),
        (" \n\t ", " \n\t "),  # whitespace is text: the model has tokens for it
    ],
)
def test_record_and_explore(here, argument, text):
    runner = CliRunner()
    result = runner.invoke(app, ["record", argument, "-l", "x", "-o", "new/t.safetensors"])
    assert result.exit_code == 0, result.output
    trace = mv.Trace.load("new/t.safetensors")
    assert [(p.text, p.label) for p in trace.prompts] == [(text, "x")]
    written = ["explore", "new/t.safetensors", "--no-browser", "-o", "new/t.html"]
    result = runner.invoke(app, written)
    assert result.exit_code == 0, result.output
    assert Path("new/t.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_explore_says_where_it_serves_and_ends(here):
    command = ["explore", TRACE, "--no-browser", "--seconds", "0.3"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "http://127.0.0.1:" in result.output


def test_generate(here):
    result = CliRunner().invoke(app, ["generate", "[bold]Hi", "-n", "3", "-o", "g.safetensors"])
    assert result.exit_code == 0, result.output
    assert "[bold]Hi" in result.output  # text, and no markup
    assert mv.Trace.load("g.safetensors").generated.sum() == 3


@pytest.mark.parametrize(
    ("preset", "numbers"),
    [("mixtral-8x7b", ["46,702,792,704", "12,879,925,248"]), ("mixtral-8x22b", ["140,6"])],
)
def test_ledger(preset, numbers):
    result = CliRunner().invoke(app, ["ledger", preset])
    assert result.exit_code == 0
    assert all(number in result.output for number in numbers)


def test_inspect():
    result = CliRunner().invoke(app, ["inspect", "8x7m"])
    assert result.exit_code == 0
    for word in ("Hugging Face", "BF16 100.0%", "24,263,936", "46.3 MiB"):
        assert word in result.output


def test_compare(tmp_path):
    ids = [[1, 30, 500, 7, 9]]
    for dtype in ("float32", "bfloat16"):
        trace = mv.record(mv.load("8x7m", dtype=dtype), ids)
        trace.save(tmp_path / dtype)
    result = CliRunner().invoke(
        app, ["compare", str(tmp_path / "float32"), str(tmp_path / "bfloat16")]
    )
    assert result.exit_code == 0
    for word in ("8x7m · float32 and 8x7m · bfloat16", "chance", "4 tokens"):
        assert word in result.output


def test_record_streams_and_resumes(tmp_path):
    out = tmp_path / "t.safetensors"
    half = tmp_path / "half"
    command = ["record", "Good morning", "-o", str(out), "--placement", "stream"]
    result = CliRunner().invoke(app, [*command, "--resume", str(half)])
    assert result.exit_code == 0
    assert mv.Trace.load(out).provenance.placement == "stream"
    assert not half.exists()


def test_doctor():
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0
    assert "torch" in result.output


# ---- What is refused -------------------------------------------------------------------------

RECORD, GENERATE = ["record", "-o", TRACE], ["generate", "-n", "2", "-o", TRACE]
WEIGHTS = str(embedded_folder() / "model.safetensors")

REFUSED = [
    # texts
    (RECORD, "Give texts to record"),
    ([*RECORD, ""], "empty"),
    ([*GENERATE, ""], "empty"),
    ([*RECORD, "text", "--curated"], "one of the two"),
    ([*RECORD, "one", "two", "-l", "a"], "one label"),
    ([*RECORD, "@big.txt"], "10,000,000 characters"),
    ([*RECORD, "@long.txt"], "context of 2,048"),
    ([*GENERATE, "@long.txt"], "2,048"),
    ([*RECORD, "@latin.txt"], "latin.txt: cannot be read as a UTF-8 text"),
    ([*RECORD, "@none.txt"], "none.txt"),
    ([*RECORD, "@."], "Is a directory"),
    ([*RECORD, "@" + "x" * 5000], "too long"),
    ([*RECORD, "\udcff"], "lone surrogate"),
    ([*RECORD, "text", "-l", "\udcff"], "lone surrogate"),
    # models and machines
    *(([*RECORD, "text", "-m", m], "Expected") for m in ("nowhere", "x" * 5000, "~nobody-at-all")),
    ([*GENERATE, "text", "-m", "org/name"], "no such folder"),
    ([*GENERATE, "text", "-m", TRACE], "a single file, and not a .gguf"),
    ([*GENERATE, "text", "-m", "."], "is not a checkpoint folder"),
    ([*GENERATE, "text", "--dtype", "float8"], "bfloat16"),
    ([*GENERATE, "text", "--device", "mars"], "mars"),
    ([*GENERATE, "text", "--device", "meta"], "meta"),
    # settings
    ([*GENERATE, "text", "-n", "0"], "max_new_tokens"),
    ([*GENERATE, "text", "-n", "-5"], "max_new_tokens"),
    *(([*GENERATE, "text", "--temperature", t], "temperature") for t in ("-1", "nan", "-inf")),
    *(([*GENERATE, "text", "--top-p", p], "top_p") for p in ("0", "-1", "1.1", "nan", "inf")),
    *(
        ([*GENERATE, "text", *silly], "must")
        for silly in (
            ["--temperature", "1e-320"],
            ["--temperature", "1", "--top-p", "1e-320"],
            ["--temperature", "1", "--seed", "9" * 30],
        )
    ),
    # paths to write to
    (["record", "text", "-o", "."], "cannot be written"),
    (["record", "text", "-o", f"{TRACE}/x"], "cannot be written"),
    (["explore", TRACE, "-o", "."], "cannot be written"),
    # traces
    (["explore", "none.safetensors"], "none.safetensors: cannot be read"),
    (["explore", "."], "Is a directory"),
    (["explore", "text.txt"], "text.txt"),
    (["explore", "nul.txt"], "nul.txt"),
    (["explore", "empty.safetensors"], "empty.safetensors"),
    (["explore", "cut.safetensors"], "cut.safetensors"),
    (["explore", WEIGHTS], "not a trace of moe_viz"),
    (["explore", TRACE, "-o", TRACE], "is the trace itself"),
    (["explore", TRACE, "-o", f"../{{folder}}/{TRACE}"], "is the trace itself"),
    # ledgers
    (["ledger", "gpt"], "mixtral-8x22b"),
    (["ledger", "none.json"], "none.json"),
    (["ledger", "deep.json"], "deep.json"),
]


@pytest.mark.parametrize(("arguments", "word"), REFUSED, ids=lambda value: str(value)[-48:])
def test_a_refusal_is_one_message_and_touches_nothing(run, here, arguments, word):
    before = files()
    status, out, err = run(*(a.format(folder=here.name) for a in arguments))
    assert status == 1
    assert out == ""
    assert err.startswith("moe-viz: ")
    assert err.count("\n") == 1
    assert word in err
    assert "Traceback" not in err
    assert files() == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["record", "text", "--no-such-option"],
        ["explore"],
        ["generate"],
        [*GENERATE, "text", "-n", "many"],
        [*GENERATE, "text", "-n", "1e9"],
        [*GENERATE, "text", "--seed", "0.5"],
    ],
    ids=" ".join,
)
def test_misuse_shows_how_it_is_used(run, arguments):
    before = files()
    status, _, err = run(*arguments)
    assert status == 2
    assert "Usage:" in err
    assert "Error" in err
    assert "Traceback" not in err
    assert files() == before


@pytest.mark.parametrize("failing", ["safetensors.numpy.save_file", "os.replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("arguments", [[*RECORD, "text"], [*GENERATE, "text"]], ids="-".join)
def test_a_trace_outlives_what_fails_to_replace_it(run, monkeypatch, failing, error, arguments):
    def fail(*_):
        raise error

    before = files()
    with monkeypatch.context() as patch:
        patch.setattr(failing, fail)
        status, _, err = run(*arguments)
    assert status != 0
    assert "Traceback" not in err
    assert isinstance(error, KeyboardInterrupt) or "No space left on device" in err
    assert files() == before


# ---- As a program of its own -----------------------------------------------------------------


def program(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )


@pytest.mark.parametrize("start", [[PROGRAM], [sys.executable, "-m", "moe_viz.cli"]])
def test_the_program_refuses_too(here, start):
    result = program(*map(str, start), "explore", "cut.safetensors")
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("moe-viz: cut.safetensors: ")
    assert "Traceback" not in result.stderr


def test_an_output_of_another_encoding_is_no_reason_to_stop(here):
    """Windows gives pipes code page 1252; box drawing is not in it."""
    result = program(sys.executable, "-m", "moe_viz.cli", "ledger", PYTHONIOENCODING="ascii")
    assert result.returncode == 0, result.stderr
    assert "46,702,792,704" in result.stdout


def test_without_torch_traces_open_and_recording_says_what_is_missing(here):
    blocked = "import sys; sys.modules.update(torch=None, sentencepiece=None); "
    start = [sys.executable, "-c", blocked + "from moe_viz.cli import main; main()"]
    result = program(*start, "record", "text")
    assert result.returncode == 1
    assert "pip install 'moe-viz[model]'" in result.stderr
    assert "Traceback" not in result.stderr
    result = program(*start, "explore", TRACE, "--no-browser", "-o", "kept.html")
    assert result.returncode == 0, result.stderr
    assert Path("kept.html").is_file()


@pytest.mark.parametrize("out", ["/proc/no/t.safetensors", "."])
@pytest.mark.parametrize("command", ["record", "generate"])
def test_an_unwritable_output_is_noticed_before_any_work(run, monkeypatch, command, out):
    def work(*_, **__):
        pytest.fail("a model was loaded first")

    monkeypatch.setattr("moe_viz.placement.load", work)
    status, printed, error = run(command, "text", "-o", out)
    assert status == 1
    assert "cannot be written" in printed + error


@pytest.mark.parametrize("name", ["routing.safetensors", "routing.html", "live.html"])
def test_the_demo_too_looks_first_where_it_will_write(run, here, monkeypatch, name):
    (here / "out" / name).mkdir(parents=True)
    monkeypatch.setattr("moe_viz.placement.load", lambda *_: pytest.fail("a model was loaded"))
    status, _, error = run("demo")
    assert status == 1
    assert f"{name}: cannot be written (it is a folder)" in error
