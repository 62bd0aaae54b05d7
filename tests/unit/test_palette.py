# SPDX-License-Identifier: Apache-2.0
"""The colours: legible on every gate, and told apart with every kind of colour vision.

The oracles are published ones: WCAG 2.2 for contrast, Ottosson's OKLab for distance, and two
models of colour-vision deficiency, Machado, Oliveira and Fernandes 2009 and Viénot, Brettel and
Mollon 1999.
"""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from moe_viz.view import palette
from moe_viz.view.palette import DARK, EXPERTS, LIGHT, WHITE_DIGITS

THEMES = {"light": LIGHT, "dark": DARK}

# Linear RGB → what is seen, severity 1. Machado 2009, table 1; Viénot 1999, for sRGB primaries.
VISIONS = {
    "normal": np.eye(3),
    "protanopia (Machado)": [
        [0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia (Machado)": [
        [0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia (Machado)": [
        [1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
    "protanopia (Viénot)": [
        [0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1],
    ],
    "deuteranopia (Viénot)": [
        [0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1],
    ],
}  # fmt: skip


def linear(colour: str) -> np.ndarray:
    """Linear RGB of `#rrggbb`, as sRGB defines it (IEC 61966-2-1)."""
    encoded = np.array([int(colour[n : n + 2], 16) for n in (1, 3, 5)]) / 255
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def contrast(a: str, b: str) -> float:
    """WCAG's contrast ratio, 1 … 21."""
    darker, lighter = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (a, b))
    return (lighter + 0.05) / (darker + 0.05)


def oklab(rgb: np.ndarray) -> np.ndarray:
    """Ottosson's OKLab of linear RGB (the matrices of bottosson.github.io/posts/oklab)."""
    lms = [
        [0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]  # fmt: skip
    lab = [
        [0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]  # fmt: skip
    return np.array(lab) @ np.cbrt(np.array(lms) @ rgb)


def test_the_oracles_know_what_is_known():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # WCAG's example
    assert oklab(linear("#ffffff")) == pytest.approx([1, 0, 0], abs=1e-6)
    assert oklab(linear("#ff0000")) == pytest.approx([0.62796, 0.22486, 0.12585], abs=1e-4)
    for matrix in VISIONS.values():
        assert np.array(matrix) @ [1, 1, 1] == pytest.approx([1, 1, 1], abs=1e-3)  # grey stays grey


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("expert", EXPERTS)
def test_ink_is_legible_on_every_expert_at_every_gate(expert, k, theme):
    for gate in np.linspace(1 / k, 1, 60):
        ground = palette.mix(expert, theme.ground, palette.token_share(gate, k, theme))
        assert contrast(theme.ink, ground) >= 4.5, f"gate {gate:.2f}: {ground}"


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_a_larger_gate_is_a_stronger_colour_within_the_stated_shares(theme):
    shares = [palette.token_share(gate, 2, theme) for gate in np.linspace(0.5, 1, 20)]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == pytest.approx((theme.faintest, theme.strongest))
    for gate in (-1.0, 0.2, 1.5, float("inf"), float("nan")):  # intervened, overflown
        assert theme.faintest <= palette.token_share(gate, 2, theme) <= theme.strongest


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_plain_and_muted_text_are_legible(theme):
    assert contrast(theme.ink, theme.ground) >= 7
    assert contrast(theme.muted, theme.ground) >= 4.5


@pytest.mark.parametrize("expert", range(len(EXPERTS)))
def test_digits_are_legible_on_the_full_colour(expert):
    digit = "#ffffff" if expert in WHITE_DIGITS else "#000000"
    assert contrast(digit, EXPERTS[expert]) >= 4.5


@pytest.mark.parametrize("vision", VISIONS)
def test_experts_are_told_apart(vision):
    seen = [oklab(np.clip(np.array(VISIONS[vision]) @ linear(c), 0, 1)) for c in EXPERTS]
    distances = {
        (a, b): 100 * np.linalg.norm(seen[a] - seen[b]) for a, b in combinations(range(8), 2)
    }
    closest = min(distances, key=distances.__getitem__)
    assert distances[closest] >= 14, f"experts {closest}"


@pytest.mark.parametrize("kind", ["js", "css"])
def test_colours_are_written_down_once(kind):
    """Scripts are handed the palette; of their own they have black, white, the hatch's black."""
    view = Path(str(files("moe_viz.view")))
    parts = {
        "js": [*view.rglob("*.js")],
        "css": [view / "explorer" / "explorer.css"],
    }[kind]
    source = "".join(part.read_text(encoding="utf-8") for part in parts)
    assert set(re.findall(r"#[0-9a-fA-F]{3,8}\b", source)) <= {"#fff", "#000", "#0005"}


def test_the_explorer_is_handed_these_colours():
    handed = palette.for_script()
    assert tuple(handed["experts"]) == EXPERTS
    assert tuple(handed["white"]) == WHITE_DIGITS
    for name, theme in THEMES.items():
        assert handed[name] == vars(theme)


@pytest.mark.parametrize(("colour", "ground", "share"), [("#102030", "#ffffff", 0.3)])
def test_mixing_is_a_weighted_mean(colour, ground, share):
    mixed = [int(palette.mix(colour, ground, share)[n : n + 2], 16) for n in (1, 3, 5)]
    assert mixed == pytest.approx([0.3 * v + 0.7 * 255 for v in (16, 32, 48)], abs=0.5)
