# SPDX-License-Identifier: Apache-2.0
"""What a page with a model in it shows, and the same worked out by Python and torch."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch

import moe_viz as mv
from moe_viz.trace import Trace
from tests.browser.conftest import until

TEXT = "C# & F#: 100 % of “cats”,\nand 🐈 + a=b"
FRENCH = "Le chat ne répond à aucun nom, mais il connaît le bruit du réfrigérateur."
#: The expert, as (layer, expert), that French misses most.
OFF = (5, 6)
#: What the picture says that it shows when it next draws.
SHOWN = """() => new Promise((end) => {
  const host = document.querySelector('.moe-viz');
  const told = ({ detail: { state, trace } }) => end({
    shape: [trace.L, trace.T, trace.K], experts: [...trace.experts], gates: [...trace.gates],
    text: trace.prompts[state.prompt].text, layer: state.layer, token: state.token,
    isolated: state.isolate });
  host.addEventListener('drawn', told, { once: true });
  host.moeViz.set({});
})"""


def shown(page) -> dict[str, Any]:
    """What the picture shows now: choices, (L, T, k), the text, and the place."""
    found = page.evaluate(SHOWN)
    found["experts"] = np.reshape(found["experts"], found["shape"])
    return found


def shows(page, trace: Trace) -> None:
    """Wait until the picture shows these choices, all of them."""

    def alike() -> bool:
        found = shown(page)["experts"]
        k = found.shape[2]
        return found.shape[:2] == trace.experts.shape[:2] and bool(
            (found == trace.experts[:, :, :k]).all() and (trace.experts[:, :, k:] == -1).all()
        )

    until(alike)


def outlook(model: Any, trace: Trace) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest next token at each token, and the loss of each that came; torch's own."""
    ids = torch.from_numpy(trace.token_ids.astype(np.int64))
    with torch.inference_mode():
        logits = model(ids)
    loss = torch.nn.functional.cross_entropy(logits[:-1], ids[1:], reduction="none")
    return logits.argmax(-1).numpy(), loss.numpy()


def signed(words: str) -> float:
    """A number as the page writes it."""
    return float(words.replace("−", "-").replace("+", ""))


def href(page) -> str:
    """The page's address as it is now."""
    return page.evaluate("location.href")


def title(page) -> str:
    return page.locator("header .muted").inner_text()


def type_in(page, text: str, tokens: int) -> None:
    page.get_by_label("Your text").fill(text)
    page.get_by_text(re.compile(rf"^{tokens} tokens\.")).wait_for()


def share(page) -> None:
    page.locator("summary", has_text="Share").click()
    page.get_by_label("What is shown, as a code").wait_for()


def mode(page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def pressed(page) -> str:
    """The mode that the page is in."""
    return page.locator(".tray .modes [aria-pressed=true]").inner_text()


def select(page, layer: int, expert: int, shape: tuple[int, int] = (6, 8)) -> None:
    """A click on a cell of the second map."""
    stack = page.locator(".grid .stack")
    stack.wait_for()  # what is not seen yet has no box
    box = stack.bounding_box()
    rows, columns = shape
    at = ((expert + 0.3) * box["width"] / columns, (layer + 0.3) * box["height"] / rows)
    page.locator(".grid .stack").click(position={"x": at[0], "y": at[1]})
    page.get_by_text(f"Selected: expert {expert} of layer {layer}").wait_for()


def switch_off(page, layer: int, expert: int) -> None:
    mode(page, "Change")
    select(page, layer, expert)
    page.get_by_role("button", name="Switch off").click()
    page.get_by_text(f"Changed: off: {layer}/{expert} (layer/expert).").wait_for()


def ablated(model: Any, text: str, *experts: tuple[int, int]) -> Trace:
    with mv.intervene(model, ablate=experts):
        return mv.record(model, text)
