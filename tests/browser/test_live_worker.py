# SPDX-License-Identifier: Apache-2.0
"""A page's worker: unpacks a model, answers, and gives up what is no longer asked."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import moe_viz as mv
from moe_viz.view.document import POLICY, document
from moe_viz.view.live.carried import WORKER, carried
from moe_viz.view.script import inert, script
from tests.browser.conftest import listen
from tests.live.test_page_model import NOTHING, agrees

pytestmark = pytest.mark.browser
TEXT = "Our cat answers to no name, but she knows the sound of the fridge."
#: What a page with a model in it needs beside the policy of all pages.
NEEDED = {"script-src": "'unsafe-inline' 'wasm-unsafe-eval'", "worker-src": "blob:"}
#: A page as ours, without anything to see: it keeps what the worker says.
PAGE = """<script type="application/json" id="carried">{carried}</script>
<script>{script}
const code = moeVizModel.toString() + "\\nmoeVizModel();";
const worker = new Worker(URL.createObjectURL(new Blob([code], {{ type: "text/javascript" }})));
const said = [];
worker.onmessage = ({{ data }}) => said.push(data);
worker.onerror = (event) => said.push({{ failed: event.message }});
const carried = JSON.parse(document.getElementById("carried").textContent);
const begin = (plain) => worker.postMessage({{ carried, tokens: 256, plain }});
const heard = async (what) => {{
  for (;;) {{
    const found = said.find(what);
    if (found) return JSON.parse(JSON.stringify(found, (key, value) =>
      ArrayBuffer.isView(value) ? [...value] : value));
    await new Promise((go) => setTimeout(go, 5));
  }}
}};
</script>"""


@pytest.fixture(scope="module")
def model():
    return mv.load("8x7m")


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


def ask(page, number: int, text: str, **changes) -> None:
    asked = {"number": number, "text": text, "changes": NOTHING | changes, "guesses": 5}
    page.evaluate("asked => worker.postMessage(asked)", asked)


def answer(page, number: int, part: str) -> dict:
    found = page.evaluate(f"heard((m) => m.number === {number} && (m.{part} || m.failed))")
    assert "failed" not in found, found
    return found[part]


@pytest.mark.parametrize("plain", [False, True], ids=["kernel", "plain"])
def test_it_runs_a_text_offline_under_the_policy(page, model, plain, request):
    page.evaluate(f"begin({json.dumps(plain)})")
    ready = page.evaluate("heard((m) => m.ready || m.failed)")
    assert ready == {"ready": "JavaScript" if plain else "WebAssembly"}
    ask(page, 1, TEXT)
    run, outlook = answer(page, 1, "run"), answer(page, 1, "outlook")
    trace = mv.record(model, TEXT)
    assert run["encoding"]["ids"] == trace.token_ids.tolist()
    T = len(trace)
    found = {
        "logits": np.array(run["recorded"]["logits"]).reshape(6, T, 8),
        "experts": np.array(run["recorded"]["experts"]).reshape(6, T, 2),
        "gates": np.array(run["recorded"]["gates"]).reshape(6, T, 2),
    }
    if "int8" in request.node.callspec.id:
        assert (found["experts"] == trace.experts).all(axis=2).mean() > 0.97
        return
    agrees(found, trace)
    with torch.inference_mode():
        logits = model(trace_ids := torch.from_numpy(trace.token_ids.astype(np.int64)))
    shares, ids = logits.softmax(-1).topk(5)
    for t in range(T):
        guesses = outlook["guesses"][t]
        assert [g["id"] for g in guesses] == ids[t].tolist()
        np.testing.assert_allclose([g["share"] for g in guesses], shares[t], rtol=1e-4)
    losses = torch.nn.functional.cross_entropy(logits[:-1], trace_ids[1:], reduction="none")
    np.testing.assert_allclose(outlook["losses"][:-1], losses, atol=1e-4)
    assert outlook["losses"][-1] is None  # not a number: nothing came after it


def test_a_newer_question_ends_an_older_one_and_errors_are_said(page):
    page.evaluate("begin(true)")
    page.evaluate("heard((m) => m.ready)")
    ask(page, 1, TEXT * 4)
    ask(page, 2, "Good morning.")
    assert answer(page, 2, "run")["given"] == len(answer(page, 2, "run")["encoding"]["ids"])
    answer(page, 2, "outlook")
    numbers = page.evaluate("said.filter((m) => m.outlook).map((m) => m.number)")
    assert numbers == [2]
    ask(page, 3, "word " * 400)
    found = page.evaluate("heard((m) => m.number === 3)")
    assert found["failed"] == "RangeError: 402 tokens; there is room for 256."


def test_the_policy_of_other_pages_lets_no_model_run():
    assert "worker-src" not in POLICY
    assert "wasm-unsafe-eval" not in POLICY["script-src"]
