# SPDX-License-Identifier: Apache-2.0
"""A page's worker: unpacks a model, answers, and gives up what is no longer asked."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

import moe_viz as mv
from moe_viz.view.document import POLICY, document
from moe_viz.view.explorer.pack import pack
from moe_viz.view.live.carried import WORKER, carried
from moe_viz.view.script import inert, script
from tests.browser.conftest import listen
from tests.live.node import unpacked
from tests.live.test_page_model import NOTHING

pytestmark = pytest.mark.browser
TEXT = "Our cat answers to no name, but she knows the sound of the fridge."
#: What a page with a model in it needs beside the policy of all pages.
NEEDED = {"script-src": "'unsafe-inline' 'wasm-unsafe-eval'", "worker-src": "blob:"}
#: A page as ours, without anything to see: it keeps what the worker says.
PAGE = """<script type="application/json" id="carried">{carried}</script>
<script>{script}
const code = `(${{moeVizModel}})(self);`;
const worker = new Worker(URL.createObjectURL(new Blob([code], {{ type: "text/javascript" }})));
const said = [];
worker.onmessage = ({{ data }}) => said.push(data);
worker.onerror = (event) => said.push({{ failed: event.message }});
const carried = JSON.parse(document.getElementById("carried").textContent);
const heard = async (what) => {{
  for (;;) {{
    const found = said.find(what);
    if (found) return JSON.parse(JSON.stringify(found, (key, value) =>
      ArrayBuffer.isView(value) ? [...value] : value));
    await new Promise((go) => setTimeout(go, 5));
  }}
}};
</script>"""


@pytest.fixture(params=["exact", "int8"])
def page(request, browser, model, tmp_path):
    body = PAGE.format(
        carried=inert(carried(model, exact=request.param == "exact")), script=script(*WORKER)
    )
    path = tmp_path / "page.html"
    path.write_text(document("A worker", "", body, NEEDED), encoding="utf-8")
    context = browser.new_context(offline=True)
    noise = listen(context)
    page = context.new_page()
    page.goto(path.as_uri())
    yield page
    assert noise.errors == []
    context.close()


def begin(page, like: dict, plain: bool) -> dict:
    return page.evaluate(
        """([like, plain]) => {
          worker.postMessage({ carried, tokens: 256, plain, like });
          return heard((m) => m.ready || m.failed);
        }""",
        [like, plain],
    )


def ask(page, number: int, text: str = "", asked: dict | None = None, **changes) -> None:
    asked = {"number": number, "text": text, "changes": NOTHING | changes, "title": f"{number}",
             "guesses": 5} | (asked or {})  # fmt: skip
    page.evaluate("asked => worker.postMessage(asked)", asked)


def answer(page, number: int, part: str) -> dict:
    found = page.evaluate(f"heard((m) => m.number === {number} && (m.{part} || m.failed))")
    assert "failed" not in found, found
    return found[part]


def packed(trace, other=None) -> dict:
    state = {"prompt": 0, "layer": 0, "token": None, "mode": "first", "beside": None,
             "view": "tokens", "page": True, "scale": 1.0}  # fmt: skip
    return json.loads(pack(trace, state, other=other))


def same_trace(found: dict, expected: dict, exact: bool) -> None:
    """What the page packed is what Python packs: but for the last bit of scores and gates."""
    for name, value in expected.items():
        if name not in ("arrays", "title", "date", "other", "prompts"):
            assert found[name] == value, name
    assert found["prompts"] == [["", TEXT, 0, len(unpacked(found["arrays"]["flags"], "u1")), ""]]
    assert found["arrays"].keys() == expected["arrays"].keys()
    for name, text in expected["arrays"].items():
        kind = {"gates": "<u2", "logits": "<u2"}.get(name, "u1")
        own, theirs = (unpacked(t, kind).astype(int) for t in (found["arrays"][name], text))
        if name in ("piece", "spans", "flags") or (exact and kind == "u1"):
            assert (own == theirs).all(), name
        elif exact:
            apart = np.abs(own - theirs)
            assert (apart == 0).mean() > 0.99, name
            if name == "logits":  # a bit of one near zero is finer than a sum of float32
                values = (unpacked(t, "<f2") for t in (found["arrays"][name], text))
                apart[np.abs(np.subtract(*values)) <= 1e-5] = 0
            assert apart.max() <= 1, name
        else:  # a byte a weight
            assert (np.abs(own - theirs) <= 60).mean() > 0.9, name


CHANGED: dict[str, Any] = {"off": [[], [], [3, 5], [], [], [1]]}


@pytest.mark.parametrize("plain", [False, True], ids=["kernel", "plain"])
def test_it_runs_a_text_offline_under_the_policy(page, model, plain, request):
    exact = "exact" in request.node.callspec.id
    trace = mv.record(model, TEXT)
    ready = begin(page, packed(mv.record(model, "Something else.")), plain)
    assert ready == {"ready": "JavaScript" if plain else "WebAssembly"}
    ask(page, 1, TEXT)
    same_trace(answer(page, 1, "trace"), packed(trace), exact)
    assert answer(page, 1, "trace")["title"] == "1"
    outlook = answer(page, 1, "outlook")
    assert outlook["intact"] is None
    ask(page, 2, TEXT, **CHANGED)
    with mv.intervene(model, ablate=[(2, 3), (2, 5), (5, 1)]):
        changed = mv.record(model, TEXT)
    same_trace(answer(page, 2, "trace"), packed(changed, trace), exact)
    both = answer(page, 2, "outlook")
    assert both["intact"] == outlook["own"]
    if exact:
        looks_ahead(outlook["own"], model, trace)
        with mv.intervene(model, ablate=[(2, 3), (2, 5), (5, 1)]):
            looks_ahead(both["own"], model, trace)


def looks_ahead(found: dict, model, trace) -> None:
    """The likeliest next tokens at each token, and the loss of what came."""
    with torch.inference_mode():
        logits = model(ids := torch.from_numpy(trace.token_ids.astype(np.int64)))
    shares, best = logits.softmax(-1).topk(5)
    for t in range(len(trace)):
        assert [g["id"] for g in found["guesses"][t]] == best[t].tolist()
        np.testing.assert_allclose([g["share"] for g in found["guesses"][t]], shares[t], rtol=1e-4)
    losses = torch.nn.functional.cross_entropy(logits[:-1], ids[1:], reduction="none")
    np.testing.assert_allclose(found["losses"][:-1], losses, atol=1e-4)
    assert found["losses"][-1] is None  # not a number: nothing came after it


def test_a_newer_question_ends_an_older_one_and_errors_are_said(page, model):
    begin(page, packed(mv.record(model, "Something else.")), True)
    ask(page, 1, TEXT * 4)
    ask(page, 2, "Good morning.")
    answer(page, 2, "outlook")
    assert page.evaluate("said.filter((m) => m.outlook).map((m) => m.number)") == [2]
    ask(page, 3, "word " * 400)
    found = page.evaluate("heard((m) => m.number === 3)")
    assert found["failed"] == "RangeError: 402 tokens; there is room for 256."
    ask(page, 4, "Good night.")
    assert answer(page, 4, "trace")["prompts"][0][1] == "Good night."


@pytest.mark.parametrize("page", ["exact"], indirect=True)
def test_a_text_is_continued_as_generate_does(page, model):
    begin(page, packed(mv.record(model, "Something else.")), False)
    greedy = {"writing": {"count": 24, "temperature": 0, "seed": 0}}
    for number, changes in ((1, {}), (2, CHANGED)):
        ask(page, number, "The first file", greedy, **changes)
        found = page.evaluate(f"heard((m) => m.number === {number} && m.written)")["trace"]
        removed = [(2, 3), (2, 5), (5, 1)] if changes else []
        with mv.intervene(model, ablate=removed):
            expected = mv.generate(model, "The first file", max_new_tokens=24).trace
        array = unpacked(found["arrays"]["experts"], np.int8).reshape(6, -1, 2)
        assert (array == expected.experts).all()
        assert found["prompts"][0][1] == expected.prompts[0].text
        generated = unpacked(found["arrays"]["flags"], "u1") & 2
        assert (generated > 0).tolist() == expected.generated.tolist()
        outlook = answer(page, number, "outlook")["own"]
        assert len(outlook["guesses"]) == len(expected)
        # Each token that was written was the likeliest.
        first = [g[0]["id"] for g in outlook["guesses"]]
        given = len(expected) - 24
        assert first[given - 1 : -1] == expected.token_ids[given:].tolist()


@pytest.mark.parametrize("page", ["int8"], indirect=True)
def test_chance_has_a_seed_and_texts_grow_until_they_are_told_to_stop(page, model):
    begin(page, packed(mv.record(model, "Something else.")), False)
    texts = []
    for number, seed in enumerate((3, 3, 4)):
        how = {"writing": {"count": 30, "temperature": 0.8, "seed": seed}}
        ask(page, number, "The first file", how)
        found = page.evaluate(f"heard((m) => m.number === {number} && m.written)")
        texts.append(found["trace"]["prompts"][0][1])
    assert texts[0] == texts[1] != texts[2]
    ask(page, 8, "The first file", {"writing": {"count": 250, "temperature": 0.8, "seed": 0}})
    page.evaluate("heard((m) => m.number === 8 && m.written === false)")
    ask(page, 9, "Stop.")
    answer(page, 9, "outlook")
    assert page.evaluate("said.some((m) => m.number === 8 && m.written)") is False
    # No more is written than there is room for.
    ask(page, 10, "word " * 250, {"writing": {"count": 99, "temperature": 0, "seed": 0}})
    found = page.evaluate("heard((m) => m.number === 10 && m.written)")
    assert found["trace"]["shape"][1] == 256


@pytest.mark.parametrize("page", ["exact"], indirect=True)
def test_the_change_of_loss_of_several_texts(page, model):
    begin(page, packed(mv.record(model, "Something else.")), False)
    passages = mv.prompts.passages().parallel("cat")
    ask(page, 1, asked={"compared": list(passages.texts)}, **CHANGED)
    found = answer(page, 1, "losses")
    expected = []
    for removed in ([], [(2, 3), (2, 5), (5, 1)]):
        with mv.intervene(model, ablate=removed), torch.inference_mode():
            for text in passages.texts:
                ids = torch.tensor(model.tokenizer.encode(text).ids)
                loss = torch.nn.functional.cross_entropy(model(ids)[:-1], ids[1:])
                expected.append(float(loss))
    assert len(found) == len(passages.texts) == 5
    told = [x["intact"] for x in found] + [x["own"] for x in found]
    np.testing.assert_allclose(told, expected, atol=1e-4)


def test_the_policy_of_other_pages_lets_no_model_run():
    assert "worker-src" not in POLICY
    assert "wasm-unsafe-eval" not in POLICY["script-src"]
