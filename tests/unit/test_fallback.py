# SPDX-License-Identifier: Apache-2.0
"""The picture without scripts: its PNG, its tokens' grounds and its words are the trace's."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

import moe_viz as mv
from moe_viz.trace import Trace, TracePrompt
from moe_viz.trace.provenance import Provenance
from moe_viz.trace.rule import Rule
from moe_viz.view.explorer.fallback import fallback
from moe_viz.view.palette import EXPERTS
from tests.browser.hostile import HOSTILE

WHITE, MUTED = (255, 255, 255), "#5b6570"


def made(lengths=(12, 9), E=8, k=2, layers=(2, 5, 9), seed=0) -> Trace:
    """Token 0 of each prompt is special; token 4 has an unused slot, token 5 no expert at all."""
    rng, L, T = np.random.default_rng(seed), len(layers), sum(lengths)
    experts = np.stack([rng.permutation(E)[:k] for _ in range(L * T)]).reshape(L, T, k)
    gates = -np.sort(-rng.dirichlet(np.ones(k), (L, T)), axis=2)
    experts[:, 4, 1:], experts[:, 5] = -1, -1
    ends = np.cumsum([0, *lengths]).tolist()
    prompts = tuple(TracePrompt("text", "", a, b) for a, b in pairwise(ends))
    return Trace(
        router_logits=rng.normal(size=(L, T, E)).astype(np.float32),
        experts=experts.astype(np.int16), gates=gates.astype(np.float32),
        token_ids=np.arange(T, dtype=np.int32), tokens=[f"␣w{t}" for t in range(T)],
        spans=np.zeros((T, 2), np.int32), special=np.isin(np.arange(T), ends),
        generated=np.zeros(T, bool), prompts=prompts, layers=layers,
        provenance=Provenance("made-up", dtype="float16", quantisation="Q8_0"),
    )  # fmt: skip


class Parts(HTMLParser):
    """Spans, pictures and paragraphs of a fragment, as (style, text) and attributes."""

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.spans, self.images, self.tags, self.open = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        if tag == "span":
            self.spans.append([dict(attrs)["style"], ""])
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag == "span":
            self.open.pop()

    def handle_data(self, data):
        if self.open:
            self.spans[-1][1] += data


def words(html: str) -> str:
    found: list[str] = []

    class Words(HTMLParser):
        def handle_data(self, data: str) -> None:
            found.append(data)

    Words(convert_charrefs=True).feed(html)
    return "".join(found)


def pixels(html: str) -> np.ndarray:
    (image,) = Parts(html).images
    kind, data = image["src"].split(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(BytesIO(base64.b64decode(data))).convert("RGB"))


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[n : n + 2], 16) for n in (1, 3, 5))


def mixed(colour: str, share: float) -> tuple[float, ...]:
    """A share of the colour, the rest white."""
    return tuple(share * v + (1 - share) * 255 for v in rgb(colour))


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize(
    ("E", "k", "layers"), [(8, 2, (2, 5, 9)), (12, 3, (0, 4)), (8, 1, tuple(range(32)))], ids=str
)
def test_each_cell_of_the_map_has_the_colour_of_its_first_expert(E, k, layers, number):
    trace = made(E=E, k=k, layers=layers)
    prompt = trace.prompts[number]
    found, n = pixels(fallback(trace, number, 0)), prompt.stop - prompt.start
    tall = 24 if len(layers) <= 8 else 7
    assert found.shape == (tall * len(layers), 1600 // n * n, 3)
    wide = found.shape[1] // n
    for row in range(len(layers)):
        for t in range(n):
            e = int(trace.experts[row, prompt.start + t, 0])
            cell = found[tall * row : tall * (row + 1), wide * t : wide * (t + 1)]
            expected = WHITE if e < 0 else rgb(EXPERTS[e % 8])
            assert (cell == expected).all(), (row, t, e)


def test_a_map_of_very_many_tokens_ends_where_viewers_give_up():
    trace = made(lengths=(5000,))
    found = pixels(fallback(trace, 0, 0))
    assert found.shape == (72, 4096, 3)
    for row in range(3):
        expected = [rgb(EXPERTS[e]) if e >= 0 else WHITE for e in trace.experts[row, :4096, 0]]
        assert (found[24 * row + 12] == np.array(expected)).all()


@pytest.mark.parametrize("row", [0, 2])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_each_token_lies_on_its_first_experts_colour_by_its_gate(row, k):
    trace = made(k=k)
    prompt = trace.prompts[1]
    for number, prompt in enumerate(trace.prompts):
        shown = [
            s for s in Parts(fallback(trace, number, row)).spans if s[1].strip().startswith("w")
        ]
        assert len(shown) == prompt.stop - prompt.start
        for t, (style, text) in enumerate(shown, prompt.start):
            assert text == f" w{t}"
            e, gate = int(trace.experts[row, t, 0]), float(trace.gates[row, t, 0])
            if trace.special[t] or e < 0:
                assert style == f"color:{MUTED}"
                continue
            way = (gate - 1 / k) / (1 - 1 / k) if k > 1 else 1
            share = 0.18 + (0.50 - 0.18) * min(max(way, 0), 1)
            found = re.fullmatch("background:(#[0-9a-f]{6})", style)
            assert found, style
            assert rgb(found.group(1)) == pytest.approx(mixed(EXPERTS[e], share), abs=0.51)


def test_a_token_s_ground_goes_by_its_share_of_gates_that_do_not_add_up_to_one():
    trace = made()
    gates = trace.gates * np.float32(0.3)
    parts = fallback(replace(trace, rule=Rule("sigmoid", normalised=False), gates=gates), 0, 1)
    shown = [s for s in Parts(parts).spans if s[1].startswith(" w")]
    for t in (1, 2, 3, 6, 7, 8):  # two gates each
        first, second = trace.gates[1, t].tolist()
        share = 0.18 + (0.50 - 0.18) * (first / (first + second) - 0.5) / 0.5
        ground = shown[t][0].removeprefix("background:")
        assert rgb(ground) == pytest.approx(mixed(EXPERTS[trace.experts[1, t, 0]], share), abs=0.51)


def test_the_legend_names_each_expert_on_half_its_colour():
    for E in (8, 12):
        spans = Parts(fallback(made(E=E), 0, 1)).spans[:E]
        assert [text for _, text in spans] == [str(e) for e in range(E)]
        for e, (style, _) in enumerate(spans):
            (ground,) = re.findall("background:(#[0-9a-f]{6})", style)
            assert rgb(ground) == pytest.approx(mixed(EXPERTS[e % 8], 0.5), abs=0.51)


def test_what_is_said_names_model_layer_and_that_numbers_are_of_one_layer():
    said = words(fallback(made(), 1, 1))
    assert said.startswith("made-up · float16 · Q8_0 · layer 5 · first choice among experts 0 1 2")
    assert "tokens from left to right, layer 2 on top" in said
    assert "The same number in another layer is another network. made-up, not Mixtral 8x7B." in said
    assert "Scripts are off here." in said
    (image,) = Parts(fallback(made(), 1, 1)).images
    assert image["alt"].startswith("Map of 9 tokens by 3 layers of made-up;")
    assert "height:72px" in image["style"]
    real = replace(made(), provenance=Provenance("mixtral-8x7b-instruct"))
    assert "mixtral-8x7b-instruct." in words(fallback(real, 0, 0))
    assert "not Mixtral" not in words(fallback(real, 0, 0))


def test_of_a_long_prompt_the_first_four_hundred_tokens_stand_there_and_the_rest_is_counted():
    for n, left in ((400, ""), (401, " … and 1 more tokens"), (2400, " … and 2,000 more tokens")):
        html = fallback(made(lengths=(n,)), 0, 0)
        shown = [text for _, text in Parts(html).spans if text.startswith(" w")]
        assert shown == [f" w{t}" for t in range(min(n, 400))]
        assert f" w{min(n, 400) - 1}{left}Map:" in words(html)


def test_line_ends_keep_their_sign_and_end_the_line_and_markup_is_text():
    trace = made()
    pieces = [*trace.tokens]
    pieces[1:4] = ["a⏎", "<b>&", HOSTILE]
    hostile = replace(trace, tokens=pieces, provenance=replace(trace.provenance, model=HOSTILE))
    html = fallback(hostile, 0, 0)
    shown = [text for _, text in Parts(html).spans][8:]
    assert shown[1:3] == ["a⏎\n", "<b>&"]
    assert shown[3] == HOSTILE.replace("␣", " ").replace("⏎", "⏎\n")
    assert Parts(html).tags == Parts(fallback(trace, 0, 0)).tags


def test_the_explorer_carries_the_fallback_of_the_prompt_and_layer_it_opens_at():
    trace = made()
    html = mv.explore(trace, prompt=1, layer=9).to_html()
    assert fallback(trace, 1, 2) in html


def test_of_many_experts_the_busiest_seven_are_coloured_and_the_rest_is_grey():
    trace = made(lengths=(60, 9), E=20, k=3)
    html = fallback(trace, 0, 1)
    grey = tuple(int("#d9dce2"[n : n + 2], 16) for n in (1, 3, 5))
    parts = Parts(html)
    (image,) = parts.images
    file = BytesIO(base64.b64decode(image["src"].partition(",")[2]))
    pixels = np.asarray(Image.open(file).convert("RGB"))
    height, width = pixels.shape[0] // 3, pixels.shape[1] // 60
    for row in range(3):
        counts = np.zeros(20, int)
        for experts in trace.experts[row][~trace.special]:  # of all prompts
            for e in experts[experts >= 0]:
                counts[e] += 1
        order = sorted(range(20), key=lambda e, c=counts: (-c[e], e))[:7]
        for t in range(60):
            e = int(trace.experts[row, t, 0])
            wanted = WHITE if e < 0 else grey
            if e in order:
                wanted = tuple(int(EXPERTS[order.index(e)][n : n + 2], 16) for n in (1, 3, 5))
            found = tuple(pixels[row * height + height // 2, t * width + width // 2].tolist())
            assert found == wanted, (row, t, e)
        if row == 1:
            legend = [text for _, text in parts.spans if text.isdigit()]
            assert legend == [str(e) for e in order]
    assert "and 13 others, in grey" in words(html)
    assert "Colour = one of the layer's 7 busiest experts; grey: any other." in words(html)
    assert "else grey" in image["alt"]
