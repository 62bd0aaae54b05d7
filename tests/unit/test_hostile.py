# SPDX-License-Identifier: Apache-2.0
"""Hostile texts stay text from the tokenizer to the page, and hostile trace files are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import moe_viz as mv
from moe_viz.errors import InputError, MoeVizError, TraceError
from moe_viz.trace import TracePrompt
from moe_viz.trace.provenance import Provenance
from tests.conftest import random_model

HOSTILE = {
    "script": "</script><script>window.hacked=1</script>",
    "script in capitals": "</SCRIPT ><svg/onload=alert(1)>",
    "comment": "<!-- <script> -->",
    "half a comment": "--><!--",
    "image": "<img src=x onerror='alert(1)'>",
    "attribute": '" onerror="alert(1)" x=\'',
    "entity": "&lt;b&gt; &amp;amp; &#x3C;",
    "cdata": "]]><![CDATA[<x>",
    "template": "${alert(1)} {{7*7}} `",
    "backslashes": "\\u003cb> \\\\ \\",
    "line separators": "a\u2028b\u2029c\x85d\r\n\te",
    "NUL and controls": "a\0b\x07\x1b[31m\x7f",
    "right to left": "\u202eabc\u202c שלום مرحبا \u2067x\u2069",
    "combining": "Z̸̢̛͓a̵͕̿l̷̰̈g̶̨͝o ö ö",
    "emoji": "👩\u200d👩\u200d👧\u200d👦 🏳️\u200d🌈 👍🏽 🇩🇪",
    "zero width": "a\u200bb\u200c\u2060c\ufeffd",
    "beyond the plane": "𝔘𝔫𝔦 \U0010ffff \ufffe",
    "sentencepiece's own": "▁a ▁▁ <s> </s> <unk> <0x0A>",
}
SURROGATES = ["\ud800", "a\udfffb", "\udc80\udc81", "\ud83d \ude00"]
EVERY = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
LONE = pytest.mark.parametrize("text", SURROGATES, ids=ascii)


@pytest.fixture(scope="module")
def model():
    return mv.load("8x7m")


class Page(HTMLParser):
    """What a parser that is not ours finds in a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[tuple[str, str]] = set()
        self.comments: list[str] = []
        self.scripts: list[str] = []
        self.fallback = self.title = ""
        self._inside: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {(tag, name) for name, _ in attrs}
        if tag not in ("meta", "link", "img"):
            self._inside.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        assert self._inside.pop() == tag  # nothing closes what it did not open

    def handle_comment(self, data):
        self.comments.append(data)

    def handle_data(self, data):
        if "script" in self._inside:
            self.scripts[-1] += data
        elif "title" in self._inside:
            self.title += data
        elif "p" in self._inside:
            self.fallback += data


def page_of(trace, tmp_path, **options) -> tuple[str, Page]:
    html = mv.save_page(trace, tmp_path / "page.html", **options).read_bytes().decode("utf-8")
    return html, Page(html)


@EVERY
def test_a_hostile_text_is_text_everywhere(model, tmp_path, text):
    made = mv.record(model, ["plain", text], labels=["plain", text])
    trace = mv.Trace.load(made.save(tmp_path / "t.safetensors"))
    assert (trace.prompts[1].text, trace.prompts[1].label) == (text, text)
    assert list(trace.tokens) == list(made.tokens)
    trace = replace(trace, provenance=replace(trace.provenance, model=text))

    html, page = page_of(trace, tmp_path, prompt=1, title=text)
    _, plain = page_of(trace, tmp_path, prompt=0, title="plain")
    assert set(page.tags) == set(plain.tags)
    assert page.attributes == plain.attributes
    assert page.tags.count("script") == 2
    assert page.tags.count("img") == 1
    assert page.comments == []
    if "<" in text:
        assert text not in html

    data = page.scripts[0]
    assert "<" not in data
    assert json.loads(data)["prompts"][1][:2] == [text, text]
    assert page.title == text
    shown = "".join(trace.tokens[trace.prompts[1].start :]).replace("␣", " ")
    assert shown.replace("⏎", "⏎\n") in page.fallback.replace("\r", "")


@settings(max_examples=25, deadline=None)
@given(text=st.text(min_size=1, max_size=12))
def test_any_text_comes_through_or_is_refused(model, tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("any")
    try:
        trace = mv.record(model, text, labels=[text])
    except InputError:
        assert any("\ud800" <= c <= "\udfff" for c in text)
        return
    trace = mv.Trace.load(trace.save(folder / "t.safetensors"))
    assert trace.prompts[0].text == trace.prompts[0].label == text
    _, page = page_of(trace, folder, title=text)
    assert page.tags.count("script") == 2
    assert json.loads(page.scripts[0])["prompts"][0][:2] == [text, text]


@LONE
def test_lone_surrogates_are_refused(model, text):
    for refuse in (
        lambda: mv.record(model, ["plain", text]),
        lambda: mv.generate(model, text, max_new_tokens=1),
        lambda: model.tokenizer.encode(text),
        lambda: model.tokenizer.chat("plain", text),
        lambda: mv.record(model, "plain", labels=[text]),
    ):
        with pytest.raises(MoeVizError, match="lone surrogate"):
            refuse()


@LONE
def test_lone_surrogates_in_titles_and_names_are_replaced(tmp_path, text):
    trace = mv.record(random_model(), [1, 2, 3])
    trace = replace(trace, provenance=Provenance(model=text))  # a folder's name may be anything
    _, page = page_of(trace, tmp_path, title=text)
    assert "?" in page.title


@pytest.mark.parametrize("gate", [float("nan"), float("inf"), -1.0, 7.0])
def test_gates_beyond_all_bounds_are_drawn(tmp_path, gate):
    trace = mv.record(random_model(), [1, 2, 3])
    trace = replace(trace, gates=np.full_like(trace.gates, gate))
    _, page = page_of(trace, tmp_path)
    assert page.tags.count("script") == 2


# ---- Trace files that somebody tampered with -------------------------------------------------


@pytest.fixture(scope="module")
def parts():
    """A trace file's header, moe_viz's own header in it, and its arrays."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        data = mv.record(random_model(), [[1, 2], [3]]).save(Path(folder) / "t").read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    return header, json.loads(header["__metadata__"]["moe_viz_trace"]), data[start:]


def refused(tmp_path, header: dict | str, arrays: bytes) -> None:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    path = tmp_path / "tampered.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + arrays)
    with pytest.raises(TraceError, match=r"tampered\.safetensors"):
        mv.Trace.load(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", 99),
        ("format", "1"),
        ("pieces", []),
        ("pieces", ["\ud800"] * 9),
        ("labels", ["\ud800", ""]),
        ("labels", ["one"]),
        ("labels", None),
        ("layers", []),
        ("layers", [1e400] * 3),
        ("layers", ["first"] * 3),
        ("provenance", None),
        ("provenance", []),
        ("provenance", "me"),
        ("provenance", {"interventions": 5}),
    ],
)
def test_a_tampered_header_is_refused(tmp_path, parts, field, value):
    header, own, arrays = parts
    metadata = {"moe_viz_trace": json.dumps({**own, field: value})}
    refused(tmp_path, {**header, "__metadata__": metadata}, arrays)


@pytest.mark.parametrize(
    "metadata",
    [None, 5, "moe_viz_trace", ["moe_viz_trace"], {}, {"moe_viz_trace": 5},
     {"moe_viz_trace": "[" * 100_000}],
    ids=lambda metadata: str(metadata)[:24],
)  # fmt: skip
def test_tampered_metadata_is_refused(tmp_path, parts, metadata):
    header, _, arrays = parts
    refused(tmp_path, {**header, "__metadata__": metadata}, arrays)


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, "\ufeff{}", "null", '{"a": 1}'])
def test_a_header_that_is_none_is_refused(tmp_path, parts, text):
    refused(tmp_path, text, parts[2])


@pytest.mark.parametrize("name", ["router_logits", "pieces", "texts", "prompt_stops"])
@pytest.mark.parametrize(
    "change",
    [
        {"shape": [10**18, 10**18, 8]},
        {"shape": [-1]},
        {"shape": "all"},
        {"dtype": "F64"},
        {"data_offsets": [0, 10**18]},
        {"data_offsets": [-4, 0]},
        {"data_offsets": [0.5, 4.5]},
        {"data_offsets": []},
        {"shape": [0], "data_offsets": [0, 0]},
    ],
    ids=str,
)
def test_a_tampered_array_is_refused(tmp_path, parts, name, change):
    header, _, arrays = parts
    refused(tmp_path, {**header, name: {**header[name], **change}}, arrays)


@pytest.mark.parametrize("layers", [0, 3])
def test_a_trace_of_nothing_is_refused(layers):
    trace = mv.record(random_model(), [1])
    empty = np.zeros((layers, 0, 8), np.float32), np.zeros((layers, 0, 2), np.float32)
    with pytest.raises(TraceError, match="needs a layer, a token"):
        replace(
            trace, router_logits=empty[0], experts=empty[1].astype(np.int16), gates=empty[1],
            token_ids=trace.token_ids[:0], tokens=[], spans=trace.spans[:0],
            special=trace.special[:0], generated=trace.generated[:0], prompts=(),
            layers=tuple(range(layers)),
        )  # fmt: skip


def test_a_prompt_built_by_hand_is_checked_too():
    trace = mv.record(random_model(), [1])
    with pytest.raises(TraceError, match="texts are not valid Unicode"):
        replace(trace, prompts=(TracePrompt("\ud800", "", 0, 1),))
