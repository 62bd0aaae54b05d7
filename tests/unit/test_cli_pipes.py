# SPDX-License-Identifier: Apache-2.0
"""What a script gets and gives: texts through pipes, files on standard output, JSON."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import moe_viz as mv
from moe_viz.cli import main
from moe_viz.errors import InputError

Run = Callable[..., tuple[int, bytes, str]]


@pytest.fixture
def run(tmp_path, monkeypatch, capfdbinary) -> Run:
    """Runs the program: its exit status, the bytes of its output, its messages."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, stdin: bytes = b"") -> tuple[int, bytes, str]:
        monkeypatch.setattr(sys, "argv", ["moe-viz", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="ascii"))
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfdbinary.readouterr()
        return int(end.value.code or 0), out, err.decode()

    return run


@pytest.fixture
def trace(tmp_path) -> Path:
    return mv.record(mv.load("8x7m"), "Good morning.").save(tmp_path / "t.safetensors")


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("text", ["Grüße", "a\nb\n", "路由 🙂"])
def test_a_piped_text_becomes_a_trace_on_standard_output(run, text, bom, tmp_path):
    status, out, err = run("record", "@-", "-o", "-", stdin=bom + text.encode())
    assert status == 0, err
    (tmp_path / "t").write_bytes(out)  # the trace, and not a byte more
    found = mv.Trace.load(tmp_path / "t")
    assert [p.text for p in found.prompts] == [text]
    assert "1 prompts" in err


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_a_file_s_first_and_last_bytes_are_no_tokens_of_their_own(run, tmp_path, line_end):
    (tmp_path / "t.txt").write_bytes(b"\xef\xbb\xbfone" + line_end + b"two")
    assert run("record", "@t.txt", "-o", "t.safetensors")[0] == 0
    assert mv.Trace.load(tmp_path / "t.safetensors").prompts[0].text == "one\ntwo"


def test_what_is_piped_and_is_no_text_is_refused_by_name(run):
    status, out, err = run("record", "@-", stdin="Grüße".encode("latin-1"))
    assert (status, out) == (1, b"")
    assert err.startswith("moe-viz: standard input: cannot be read as a UTF-8 text")


def test_a_page_on_standard_output_is_the_page(run, trace):
    assert run("explore", trace.name, "--no-browser", "-o", "page.html")[0] == 0
    status, out, _ = run("explore", trace.name, "-o", "-")
    assert status == 0
    assert len(out) == len(Path("page.html").read_bytes())
    assert out.startswith(b"<!doctype html>")
    assert out.rstrip().endswith(b"</html>")


def test_a_continuation_is_written_as_it_is(run, monkeypatch):
    """Not wrapped, no emoji for `:smile:`, no markup, no colours."""
    given = "[bold]:smile: \x1b[31mred C:\\new " + "word " * 60
    expected = given + mv.generate(mv.load("8x7m"), given, 20).text
    status, out, _ = run("generate", given, "-n", "20")
    assert (status, out.decode()) == (0, expected + "\n")
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True)
    shown = run("generate", given, "-n", "20")[1].decode()
    assert "\x1b" not in shown
    assert shown.startswith("[bold]:smile: ␛[31mred C:\\new word")


def test_json_is_one_object_with_what_the_library_gives(run, trace, tmp_path):
    status, out, _ = run("generate", "Good morning", "-n", "5", "--json", "-o", "g.safetensors")
    found, expected = json.loads(out), mv.generate(mv.load("8x7m"), "Good morning", 5)
    assert status == 0
    assert (found["prompt"], found["text"]) == ("Good morning", expected.text)
    new = expected.trace.token_ids[expected.trace.generated]
    assert found["token_ids"] == new.tolist()
    assert mv.Trace.load(found["trace"]).token_ids.tolist() == expected.trace.token_ids.tolist()

    found = json.loads(run("record", "one", "two", "--json", "-o", "r.safetensors")[1])
    assert (found["prompts"], found["layers"], found["experts"]) == (2, [0, 1, 2, 3, 4, 5], 8)
    assert found["tokens"] == len(mv.Trace.load("r.safetensors"))

    found = json.loads(run("ledger", "mixtral-8x7b", "--json")[1])
    assert (found["total"], found["active"]) == (46_702_792_704, 12_879_925_248)
    assert sum(part["stored"] for part in found["parts"]) == found["total"]

    found = json.loads(run("inspect", "8x7m", "--json")[1])
    assert "24,263,936" in json.dumps(found)

    found = json.loads(run("compare", trace.name, trace.name, "--json")[1])
    assert [layer["same"] for layer in found["layers"]] == [1] * 6
    # A margin of no changed token is not a number, which JSON does not have.
    assert [layer["changed"] for layer in found["layers"]] == [None] * 6

    found = json.loads(run("doctor", "8x7m", "--json")[1])
    assert {"resident", "stream"} <= {one["placement"] for one in found["placements"]}
    assert set(json.loads(run("doctor", "--json")[1])) == {"machine"}


def test_one_output_is_not_asked_for_two_things(run, trace, monkeypatch):
    for command in (["record", "a"], ["generate", "a", "-n", "1"]):
        status, out, err = run(*command, "-o", "-", "--json")
        assert (status, out) == (1, b"")
        assert "both ask for standard output" in err
    assert "must be a file" in run("slides", "x.ipynb", "-o", "-", "--pdf", "x.pdf")[2]
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True)
    for command in (["record", "a"], ["explore", trace.name], ["html", "x.ipynb"]):
        status, out, err = run(*command, "-o", "-")
        assert (status, out) == (1, b""), command
        assert "send it to a file or a program" in err


def test_a_path_that_is_taken_for_a_text_is_said(run, tmp_path):
    (tmp_path / "my-finetune").mkdir()
    status, _, err = run("record", "my-finetune", "plain", "-o", "t.safetensors")
    assert status == 0
    assert err == (
        "my-finetune is recorded as a text. A model is named with -m, a file's text by "
        "@my-finetune.\n"
    )


def test_an_adapter_is_handed_to_the_loader(run, monkeypatch):
    asked = []

    def load(*arguments: object, **named: object) -> None:
        asked.append((arguments, named))
        raise InputError("enough")

    monkeypatch.setattr("moe_viz.guests.loading.load", load)
    run("record", "a", "--adapter", "mine")
    run("generate", "a", "--adapter", "mine")
    assert [("mine" in a) or n.get("adapter") == "mine" for a, n in asked] == [True, True]
