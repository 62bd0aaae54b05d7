# SPDX-License-Identifier: Apache-2.0
"""Text, gate bars, sentence, decision, path, loads and titles of the page are the trace's."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.browser.seen import (
    GROUNDS,
    TOOLS,
    colours,
    full,
    looking,
    mixed,
    near,
    rgb,
    softmax,
    synthetic,
    token_ground,
)

pytestmark = pytest.mark.browser
#: All that stands beside the map, after these selects were set.
SEEN = f"""async (selects) => {{ {TOOLS}
  for (const [name, value] of selects) await choose(name, value);
  await settled();
  const token = (t) => [t.innerText, t.className, style(t).backgroundColor,
    style(t).backgroundImage, style(t).backgroundSize];
  const all = (query, of) => [...root.querySelectorAll(query)].map(of), style = getComputedStyle;
  const bars = (n) => [...all('.bars', (e) => e)[n].querySelectorAll('.n')].map((number) => {{
    const track = number.nextElementSibling, value = track.nextElementSibling;
    const [fill, uniform, there] = track.children;
    return {{ n: number.innerText, ground: style(number).backgroundColor,
      ink: style(number).color, fill: style(fill).backgroundImage, other: fill.matches('.other'),
      wide: parseFloat(fill.style.width), drawn: fill.offsetWidth / track.offsetWidth,
      even: parseFloat(uniform?.style.left),
      there: there?.hidden ? null : parseFloat(there?.style.left),
      value: value.innerText, shade: style(value).backgroundColor }};
  }});
  return {{
    tokens: all('.body .text', (e) => [...e.querySelectorAll('.tok')].map(token))[0],
    sentence: root.querySelector('.sentence').textContent,
    titles: all('section h2', (e) => e.textContent), notes: all('.note', (e) => e.textContent),
    path: all('.path button', (b) => [b.title, b.ariaCurrent, [...b.children].map((c) =>
      [c.innerText, style(c).backgroundImage, style(c).color])]),
    swatches: all('.swatch', (b) => [b.innerText, style(b).backgroundImage, style(b).color]),
    decision: bars(0), loads: bars(1),
  }};
}}"""


@pytest.fixture(scope="module")
def look(browser, tmp_path_factory):
    with looking(browser, tmp_path_factory.mktemp("seen")) as look:
        yield look


def made(E: int, k: int, layers: tuple[int, ...]):
    """Three tokens of the first prompt are bytes of one character."""
    trace = synthetic(E, k, layers)
    trace.spans[7:10] = (24, 25)
    return trace


@pytest.fixture(
    scope="module",
    params=[(8, 2, (2, 5, 9), "light", 0), (12, 3, (0, 4), "dark", 1), (8, 1, (7,), "light", 0)],
    ids=["8 experts, 2 chosen", "12 experts, 3 chosen", "8 experts, 1 chosen"],
)
def scene(request, look):
    """A trace, its theme, a row of it, and what its page shows of that row's layer."""
    E, k, layers, theme, row = request.param
    trace = made(E, k, layers)
    page = look(trace, theme, layer=layers[row], token=2)
    return trace, theme, row, page, page.evaluate(SEEN, [])


def percent(x: float, digits: int = 0) -> str:
    """As JavaScript rounds: halves up."""
    scaled = math.floor(100 * x * 10**digits + 0.5) / 10**digits
    return f"{scaled:.{digits}f}\u00a0%"


def carried(trace, row: int, t: int) -> np.ndarray:
    """Logits as a page carries them: what each is below the largest, as float16."""
    logits = trace.router_logits[row, t]
    return (logits - logits.max()).astype(np.float16).astype(float)


def chosen(trace, row: int, t: int) -> list[tuple[int, float]]:
    pairs = zip(trace.experts[row, t].tolist(), trace.gates[row, t], strict=True)
    return [(e, float(np.float16(g))) for e, g in pairs if e >= 0]


def sentence(trace, row: int, t: int) -> str:
    """The decision in words, from the trace."""
    pairs = chosen(trace, row, t)
    shares = [math.floor(100 * g) for _, g in pairs]  # those cut off most are rounded up
    if abs(sum(g for _, g in pairs) - 1) < 0.005:
        lost = sorted(range(len(pairs)), key=lambda n: shares[n] - 100 * pairs[n][1])
        for n in lost[: 100 - sum(shares)]:
            shares[n] += 1
    else:
        shares = [math.floor(100 * g + 0.5) for _, g in pairs]
    said = [f"{e} ({share}\u00a0%)" for (e, _), share in zip(pairs, shares, strict=True)]
    goes = "goes to expert " + (" and " if len(said) < 3 else ", ").join(said)
    logits, taken = carried(trace, row, t), [e for e, _ in pairs]
    close = ""
    if pairs:
        rest = [e for e in range(len(logits)) if e not in taken]
        best = max(rest, key=lambda e: (logits[e], -e))
        last = min(taken, key=lambda e: logits[e])
        gap = logits[last] - logits[best]
        # As many digits as float16 tells.
        doubt = sum(float(abs(np.spacing(np.float16(logits[e])))) / 2 for e in (last, best))
        digits = next(d for d in (2, 1, 0) if doubt <= 0.5 * 10**-d)
        by = (
            f"{gap:.{digits}f}"
            if gap >= 0.5 * 10**-digits
            else f"less than {10**-digits:.{digits}f}"
        )
        close = f"; {best} missed by {by} logits"
        if gap < 0:
            close = f"; by logits, {best} would have come first"
    goes = goes if pairs else "goes to no expert"
    return f"In layer {trace.layers[row]}, ‘{trace.tokens[t]}’ {goes}{close}."


def stops(css: str) -> list[float]:
    """Where the colours of a gradient end, in per cent."""
    return [float(part.split("%")[0].split(" ")[-1]) for part in css.split(", rgb") if "%" in part]


def test_each_token_lies_on_its_first_experts_colour_by_its_gate(scene):
    trace, theme, row, _, seen = scene
    tokens = seen["tokens"]
    assert len(tokens) == 10  # of twelve: three are bytes of one character
    for t, (_, kind, ground, image, _) in zip([*range(8), 10, 11], tokens, strict=True):
        if t in (0, 5):  # special, and gone to no expert
            assert (colours(ground), image) == ([], "none")
            assert ("special" in kind) == (t == 0)
        elif t == 7:  # a stripe for each byte
            stripes = image.split(", linear-gradient(90deg, ")[1]
            assert stops(stripes) == pytest.approx([100 / 3, 200 / 3, 100], abs=0.01)
            expected = [token_ground(trace, row, b, theme) for b in (7, 8, 9)]
            near(np.array(list(dict.fromkeys(colours(stripes)))), np.array(expected))
            assert "bytes" in kind
        else:
            near(np.array(colours(ground)), token_ground(trace, row, t, theme)[None])


def test_the_bar_below_a_token_is_divided_as_its_gates_are(scene):
    trace, _, row, _, seen = scene
    for t, (_, _, _, image, size) in zip([*range(8), 10, 11], seen["tokens"], strict=True):
        if t in (0, 5):
            continue
        bar = image.split(", linear-gradient(90deg, rgb")[0] if t == 7 else image
        pairs = chosen(trace, row, t)
        assert stops(bar) == pytest.approx(100 * np.cumsum([g for _, g in pairs]), abs=0.01)
        assert colours(bar)[1::2] == [tuple(full(e).astype(int)) for e, _ in pairs]
        assert size.startswith("100% 4px")


def test_the_sentence_and_the_bars_say_the_decision(scene):
    trace, theme, row, page, _ = scene
    page.locator(".mv").focus()
    page.keyboard.press("Escape")
    ground, E = GROUNDS[theme], trace.router_logits.shape[2]
    for t in range(12):
        page.evaluate(f"location.hash = '#prompt=0&layer={trace.layers[row]}&token={t}'")
        page.wait_for_function(
            "t => document.querySelector('.moe-viz').shadowRoot.querySelector('.sentence')"
            ".textContent.includes(t)",
            arg=f"‘{trace.tokens[t]}’",
        )
        seen = page.evaluate(SEEN, [])
        assert seen["sentence"] == sentence(trace, row, t)
        assert seen["titles"][0] == (
            f"Router, layer {trace.layers[row]}: softmax over all {E} experts"
        )
        p, taken = softmax(carried(trace, row, t)), dict(chosen(trace, row, t))
        assert all(percent(g) in seen["notes"][0] for g in taken.values())
        assert bool(seen["notes"][0]) == bool(taken)
        for e, bar in enumerate(seen["decision"]):
            assert (bar["n"], bar["value"]) == (str(e), percent(p[e], 1))
            assert bar["wide"] == pytest.approx(100 * p[e] / p.max(), abs=0.01)
            assert bar["drawn"] == pytest.approx(p[e] / p.max(), abs=0.02)
            assert bar["other"] == (e not in taken)
            pale = mixed("#{:02x}{:02x}{:02x}".format(*full(e).astype(int)), ground,
                         0.3 if theme == "light" else 0.45)  # fmt: skip
            near(np.array(colours(bar["fill"]))[:1], (full(e) if e in taken else pale)[None])
            assert ("repeating" in bar["fill"]) == (e >= 8)  # a hatch for the second eight
            near(np.array(colours(bar["ground"])), full(e)[None])
        for other, (title, current, parts) in enumerate(seen["path"]):
            assert (title, current) == (sentence(trace, other, t), str(other == row).lower())
            expected = [e for e, _ in chosen(trace, other, t)][:2]
            *cells, (layer, *_) = parts
            assert [text for text, *_ in cells] == list(map(str, expected))
            assert layer == str(trace.layers[other])
            for e, (_, image, ink) in zip(expected, cells, strict=True):
                near(np.array(colours(image))[:1], full(e)[None])
                assert ink == f"rgb({', '.join(['255' if e % 8 in (0, 3) else '0'] * 3)})"


def test_the_legend_has_each_experts_number_on_its_colour(scene):
    trace, _, _, _, seen = scene
    assert len(seen["swatches"]) == trace.router_logits.shape[2]
    for e, (text, image, _) in enumerate(seen["swatches"]):
        assert text == str(e)
        near(np.array(colours(image))[:1], full(e)[None])


def counted(trace, row: int, numbers: list[int]) -> np.ndarray:
    """Shares of a layer's assignments in some prompts, counted one by one; special left out."""
    found, total = [0] * trace.router_logits.shape[2], 0
    for number in numbers:
        prompt = trace.prompts[number]
        for t in range(prompt.start, prompt.stop):
            for e in trace.experts[row, t].tolist() if not trace.special[t] else []:
                if e >= 0:
                    found[e] += 1
                    total += 1
    return np.array(found) / total


@pytest.mark.parametrize(
    ("scope", "prompts"), [("prompt", [0]), ("label", [0, 2]), ("all", [0, 1, 2])]
)
def test_loads_are_those_counted_by_hand(scene, scope, prompts):
    trace, _, row, page, _ = scene
    seen = page.evaluate(SEEN, [["Load of", scope]])
    own, E = counted(trace, row, prompts), trace.router_logits.shape[2]
    scale = max(*own, 2 / E)
    assert seen["titles"][2] == f"Load of layer {trace.layers[row]} (even: {percent(1 / E, 1)})"
    for e, bar in enumerate(seen["loads"]):
        assert (bar["n"], bar["value"]) == (str(e), percent(own[e], 1))
        assert bar["wide"] == pytest.approx(100 * own[e] / scale, abs=0.01)
        assert bar["even"] == pytest.approx(100 / E / scale, abs=0.01)
        assert bar["there"] is None
        near(np.array(colours(bar["fill"]))[:1], full(e)[None])


@pytest.mark.parametrize(("beside", "prompts"), [("label 1", [1]), ("prompt 2", [2])])
def test_a_comparison_shows_the_difference_of_the_two_loads(scene, beside, prompts):
    trace, _, row, page, _ = scene
    seen = page.evaluate(SEEN, [["Load of", "prompt"], ["Compare with", beside]])
    page.evaluate(SEEN, [["Compare with", ""]])
    own, theirs = counted(trace, row, [0]), counted(trace, row, prompts)
    scale = max(*own, *theirs, 2 / len(own))
    steps = [rgb(c) for c in ("#b35806", "#f7f7f7", "#542788")]
    for e, bar in enumerate(seen["loads"]):
        points = 100 * (own[e] - theirs[e])
        assert float(bar["value"].replace("−", "-")) == pytest.approx(points, abs=0.051)
        assert bar["wide"] == pytest.approx(100 * own[e] / scale, abs=0.01)
        assert bar["there"] == pytest.approx(100 * theirs[e] / scale, abs=0.01)
        at = [min(max(points / 25, -1), 1)]  # the scale ends at 25 points, either way
        shade = [np.interp(at, [-1, 0, 1], [step[n] for step in steps])[0] for n in range(3)]
        near(np.array(colours(bar["shade"])), np.array(shade)[None], 2)


def test_a_page_says_whose_numbers_these_are(scene, look):
    trace, _, _, page, _ = scene
    assert page.locator("header").inner_text().split("\n")[1] == "made-up · bfloat16 · Q4_K, Q6_K"
    assert page.locator(".mv").get_attribute("aria-label").endswith(trace.provenance.title)
    assert page.title() == "How made-up routes each token"
    assert page.locator(".banner").count() == 0
    if trace.experts.shape[2] != 2:
        return
    random = replace(trace.provenance, weights="random weights, seed 5", interventions=("top-1",))
    page = look(replace(trace, provenance=random), title="My own title")
    said = "made-up · bfloat16 · Q4_K, Q6_K · random weights, seed 5 · top-1"
    assert page.locator("header").inner_text().split("\n")[1] == said
    assert page.title() == "My own title"
    assert page.locator(".banner").inner_text().startswith("random weights, seed 5: nothing here")
