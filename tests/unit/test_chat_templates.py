# SPDX-License-Identifier: Apache-2.0
"""Chat templates are programs from the internet: they render, refuse, or are stopped."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import transformers

from moe_viz.checkpoint.vocabulary import FolderVocabulary
from moe_viz.errors import InputError
from moe_viz.files import embedded_folder
from moe_viz.tokenization import rendering, sandbox
from moe_viz.tokenization.rendering import Renderer, render
from moe_viz.tokenization.sandbox import LONGEST

HI = [{"role": "user", "content": "Hi"}]
HOSTILE = {
    "a long range": "{% for i in range(10**12) %}{% endfor %}",
    "nested ranges": "{% for i in range(99999) %}" * 2 + "{% endfor %}" * 2,
    "a long text": "{{ 'a' * 10**10 }}",
    "a longer text": "{{ 'a' * 10**6 * 10**6 }}",
    "a large power": "{{ 10 ** 10 ** 10 }}",
    "a long list": "{{ [[0] * 10**6] * 10**6 }}",
    "a wide field": "{{ 'a'.center(10**11) }}",
    "a wide number": "{{ '%099999999999d' % 1 }}",
    "doubling": (
        "{% set n = namespace(x='aaaaaaaa') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}"
        "{% endfor %}{{ n.x }}"
    ),
    "doubling lists": (
        "{% set n = namespace(x=[0]) %}{% for i in range(99) %}{% set n.x = n.x + n.x %}"
        "{% endfor %}{{ n.x }}"
    ),
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "much output": "{% for i in range(99999) %}{{ 'abcdefgh' * 100 }}{% endfor %}",
    "reaching Python": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "reaching a function": "{{ raise_exception.__globals__['sys'].exit() }}",
    "changing a list": "{{ messages.append(1) }}",
    "no template": "{% for %}",
}


@pytest.fixture(scope="module")
def renderer():
    made = Renderer()
    yield made
    made.close()


@pytest.mark.parametrize("pieces", [49_000, 51_000])
def test_a_text_has_a_length_at_most(pieces, renderer):
    template = "{% for i in range(" + str(pieces) + ") %}{{ 'a' * 100 }}{% endfor %}"
    if 100 * pieces < LONGEST:
        assert len(renderer.render(template, {})) == 100 * pieces
    else:
        with pytest.raises(InputError, match="takes too much memory"):
            renderer.render(template, {})


@pytest.mark.parametrize("template", HOSTILE.values(), ids=HOSTILE)
def test_a_template_without_end_is_stopped_and_the_next_one_renders(
    template, renderer, monkeypatch
):
    renderer.render("a", {})
    begun = time.monotonic()
    with monkeypatch.context() as hurry:
        hurry.setattr(rendering, "SECONDS", 0.8)
        with pytest.raises(InputError, match=r"model\.gguf does not take"):
            renderer.render(template, {"messages": HI}, "model.gguf")
    assert time.monotonic() - begun < 20
    assert renderer.render("{{ messages[0].content }}", {"messages": HI}) == "Hi"


def test_what_templates_use_is_there():
    template = (
        "{%- for m in messages %}{% generation %}{{ m | tojson }}{% endgeneration %}"
        "{% if loop.last %}{% break %}{% endif %}{% endfor %}{{ strftime_now('%%') }}"
    )
    assert render(template, {"messages": [{"a": "é<>"}]}) == '{"a": "é<>"}%'


def test_a_template_says_what_it_does_not_take():
    with pytest.raises(InputError, match="roles must alternate"):
        render("{{ raise_exception('roles must alternate') }}", {"messages": HI})


def folder_with(folder, settings, **files):
    shutil.copy(embedded_folder() / "tokenizer.model", folder)
    (folder / "config.json").write_text('{"model_type": "mixtral"}')
    named = {"bos_token": "<s>", "eos_token": "</s>", "tokenizer_class": "LlamaTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(named | settings))
    for name, text in files.items():
        (folder / f"{name}.jinja").write_text(text)
    return FolderVocabulary(folder, 8192).tokenizer()


SAY = "{{ bos_token }}{{ messages[0].content }} %s"
NAMED = [{"name": "tool_use", "template": SAY % "b"}, {"name": "default", "template": SAY % "a"}]


@pytest.mark.parametrize(
    ("settings", "files", "said"),
    [
        ({"chat_template": SAY % "a"}, {}, "Hi a"),
        ({"chat_template": NAMED}, {}, "Hi a"),
        ({"chat_template": NAMED[:1]}, {}, "Hi b"),
        ({"chat_template": SAY % "a"}, {"chat_template": SAY % "c"}, "Hi c"),
        ({}, {"chat_template": SAY % "c"}, "Hi c"),
        ({}, {}, "[INST] Hi [/INST]"),
    ],
)
def test_the_template_is_found_where_it_lies(settings, files, said, tmp_path):
    tokenizer = folder_with(tmp_path, settings, **files)
    ids = tokenizer.chat(HI)
    assert tokenizer.describe(ids)[0] == said
    assert ids.count(1) == 1  # BOS, by the template alone


def test_several_templates_without_a_default_are_named(tmp_path):
    several = [{"name": name, "template": SAY % name} for name in ("rag", "tool_use")]
    with pytest.raises(InputError, match="rag, tool_use"):
        folder_with(tmp_path, {"chat_template": several}).chat(HI)


def test_a_template_that_looks_into_messages_sees_what_they_say(tmp_path):
    template = "{{ messages[0].content.split('</s>')[1] }}{{ eos_token }}"
    tokenizer = folder_with(tmp_path, {"chat_template": template})
    ids = tokenizer.chat([{"role": "user", "content": "a </s> b <s> c"}])
    assert tokenizer.describe(ids)[0] == " b <s> c"
    assert ids[-1] == 2
    assert 1 not in ids
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    plain = [{"role": "user", "content": "a </s> b d c"}]
    assert tokenizer.chat(plain) == theirs.apply_chat_template(plain)["input_ids"]


MARKS = [chr(n) for n in range(0xFDD0, 0xFDF0)]


@pytest.mark.parametrize("free", [0, 1, 2, 32])
def test_two_noncharacters_are_needed_to_mark_names(tmp_path, free):
    tokenizer = folder_with(tmp_path, {"chat_template": SAY % "a"})
    messages = [{"role": "user", "content": "".join(MARKS[free:]) + "<s>"}]
    if free < 2:
        with pytest.raises(InputError, match=r"nearly all of Unicode's noncharacters"):
            tokenizer.chat(messages)
    else:
        assert tokenizer.describe(tokenizer.chat(messages))[0].endswith("<s> a")


@pytest.mark.parametrize("half", ["\\ud800", "\\udfff"])
def test_half_a_surrogate_pair_is_no_text(tmp_path, half):
    tokenizer = folder_with(tmp_path, {"chat_template": "{{ '" + half + "' }}"})
    with pytest.raises(InputError, match="half of a surrogate pair"):
        tokenizer.chat(HI)
    with pytest.raises(InputError):
        tokenizer.chat([{"role": "user", "content": half.encode().decode("unicode_escape")}])


ORPHAN = """
import threading, time
from moe_viz.tokenization import rendering, sandbox
rendering.SECONDS = 1000.0
work = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
threading.Thread(target=rendering.render, args=(work, {}), daemon=True).start()
while rendering._shared._process is None:
    time.sleep(0.05)
time.sleep(1)
print(rendering._shared._process.pid, flush=True)
time.sleep(1000)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads Linux's list of processes")
def test_a_template_ends_without_its_parent_too(monkeypatch):
    """Nobody ends it when the parent was killed: it has a limit of its own, of processor time."""
    resource = pytest.importorskip("resource")
    program = [sys.executable, "-c", ORPHAN]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    limits = Path(f"/proc/{child}/limits").read_text()
    (soft,) = re.findall(r"Max cpu time +(\d+)", limits)
    assert int(soft) <= sandbox.SECONDS + 5
    resource.prlimit(child, resource.RLIMIT_CPU, (1, int(soft)))  # the same limit, sooner
    deadline = time.monotonic() + 60
    while Path(f"/proc/{child}/stat").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{child}/stat").exists()


def test_many_templates_may_take_more_than_one_may(monkeypatch):
    """The limit counts from the beginning of each."""
    resource = pytest.importorskip("resource")
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda which, value: seen.append((which, value[0])))
    monkeypatch.setattr(sandbox.time, "process_time", lambda: 1000.0)
    asked = iter(['{"template": "a", "variables": {}}', ""])
    sandbox.main(lambda: next(asked))
    assert seen == [
        (resource.RLIMIT_AS, sandbox.MEMORY), (resource.RLIMIT_CPU, 1000 + sandbox.SECONDS),
    ]  # fmt: skip
