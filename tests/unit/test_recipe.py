# SPDX-License-Identifier: Apache-2.0
"""The recipe's measures: small cases worked by hand. The recipe is no package, hence the path."""

from __future__ import annotations

import json
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import moe_viz as mv

sys.path.insert(0, str(Path(__file__).parents[2] / "weights" / "recipe"))

import aligned
import card
import languages
import probe
import windows
from ngram import KneserNey, discounts, ngrams
from routing_tests import (
    Sample,
    conditional_information,
    divergence,
    halves,
    information,
    jensen_shannon,
    permutation_null,
    within_tokens,
)

TEXT = Path(__file__).read_bytes()


def following(model: KneserNey, context: bytes) -> np.ndarray:
    """The probabilities of all 256 bytes behind a context."""
    head = int.from_bytes(context, "big") << 8
    return model.probabilities(np.arange(head, head + 256, dtype=np.uint64))


@pytest.mark.parametrize("order", [1, 2, 3, 6])
@pytest.mark.parametrize("text", [[b"abracadabra", b"cab"], [TEXT[:1000], b"", b"a"]])
def test_the_probabilities_of_the_next_byte_add_up_to_one(order, text):
    model = KneserNey(text, order)
    seen = {int(gram) >> 8 for gram in ngrams(text, order)}
    contexts = [head.to_bytes(order - 1, "big") for head in seen]
    contexts += [b"zzzzz"[: order - 1], b"abrac"[: order - 1], bytes(order - 1)]
    for context in contexts:
        p = following(model, context)
        assert p.sum() == pytest.approx(1, abs=1e-12)
        assert p.min() > 0


def test_a_bigram_worked_by_hand():
    """Text "abab": bigrams ^a and ba once, ab twice; too few for the formula: D = 1/2 and 1.

    Different bytes in front of a: ^ and b; of b: only a, though b occurs twice as well. Hence
    c_1(a) = 2, c_1(b) = 1, γ = (1 + 1/2)/3, and p_1 is (2 - 1)/3 + γ/256, (1 - 1/2)/3 + γ/256.
    """
    model = KneserNey([b"abab"], order=2)
    p1 = {"a": 1 / 3 + 0.5 / 256, "b": 0.5 / 3 + 0.5 / 256}
    behind_a, behind_b = following(model, b"a"), following(model, b"b")
    assert behind_a[ord("b")] == pytest.approx((2 - 1) / 2 + 0.5 * p1["b"])
    assert behind_a[ord("a")] == pytest.approx(0.5 * p1["a"])
    assert behind_a[ord("c")] == pytest.approx(0.5 * 0.5 / 256)
    assert behind_b[ord("a")] == pytest.approx((1 - 0.5) / 1 + 0.5 * p1["a"])
    assert following(model, b"x")[ord("a")] == pytest.approx(p1["a"])
    first = following(model, b"\0")[ord("a")]  # behind the padding, as behind b, stands one a
    assert first == pytest.approx(behind_b[ord("a")])
    text = [first, behind_a[ord("b")], behind_b[ord("a")], behind_a[ord("b")]]
    assert model.bits_per_byte([b"abab"]) == pytest.approx(-np.log2(text).mean())


def test_discounts_by_the_formula():
    """n = 8, 4, 2, 1 n-grams seen once … four times: y = 1/2, D = 1/2, 2 - 3/4, 3 - 1."""
    counts = np.repeat([1, 2, 3, 4], [8, 4, 2, 1])
    assert discounts(counts).tolist() == [0, 0.5, 1.25, 2]
    many_threes = np.repeat([1, 2, 3, 4], [8, 1, 8, 1])  # the formula would give D(2) = -17.2
    assert discounts(many_threes).tolist() == [0, 0.5, 1, 1.5]


def test_context_helps_and_documents_do_not_see_each_other():
    half = len(TEXT) // 2
    first, second = TEXT[:half], TEXT[half:]
    unigram, six = KneserNey([first], 1), KneserNey([first])
    assert six.bits_per_byte([second]) < 0.8 * unigram.bits_per_byte([second])
    alone = [six.probabilities(ngrams([part])) for part in (first, second)]
    together = six.probabilities(ngrams([first, second]))
    assert np.array_equal(np.concatenate(alone), together)


@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 8, 9, 1023, 1024, 1025, 4096])
@pytest.mark.parametrize(("window", "stride"), [(4, 2), (4, 4), (5, 3), (1024, 512)])
def test_each_token_is_predicted_once_with_its_context(length, window, stride):
    predicted = []
    for start, begin, stop in windows.windows(length, window, stride):
        assert stop - start <= window
        assert begin - start >= min(begin, window - stride)
        predicted += range(begin, stop)
    assert predicted == list(range(length))


def test_loss_of_windows_is_that_of_the_whole_document(monkeypatch):
    """One window: the sum of the trace's losses. Two: every token counted, each behind BOS."""
    import moe_viz as mv

    model = mv.load("8x7m")
    assert model.tokenizer is not None
    assert model.tokenizer.bos is not None
    ids = model.tokenizer.encode("The water is boiling; open the valve.", bos=False).ids
    loss = mv.record(model, [[model.tokenizer.bos, *ids]], loss=True).loss
    assert loss is not None
    found = windows.nats(model, [ids, ids[:3]])
    assert found == pytest.approx([np.nansum(loss), loss[1:4].sum()], rel=1e-5)
    monkeypatch.setattr(windows.windows, "__defaults__", (6, 3))
    parts = 0.0
    for start, begin, stop in windows.windows(len(ids)):
        row = [model.tokenizer.bos, *ids[start:stop]]
        part = mv.record(model, [row], loss=True).loss
        assert part is not None
        parts += part[1 + begin - start :].sum()
    assert windows.nats(model, [ids]) == pytest.approx([parts], rel=1e-5)
    assert parts != pytest.approx(np.nansum(loss), rel=1e-3)


def test_bits_per_byte_weighs_documents_by_their_bytes():
    nats, sizes = np.log(2) * np.array([10.0, 20.0]), np.array([10, 5])
    assert windows.bits_per_byte(nats, sizes) == pytest.approx(2)
    assert windows.interval(nats, sizes) == pytest.approx([1, 4])


def test_jensen_shannon_worked_by_hand():
    assert jensen_shannon(np.array([1.0, 0]), np.array([0, 1.0])) == pytest.approx(1)
    assert jensen_shannon(np.array([0.5, 0.5]), np.array([0.5, 0.5])) == 0
    # H(3/4, 1/4) - (H(1/2, 1/2) + H(1, 0)) / 2 = 0.8112781 - 1/2
    assert jensen_shannon(np.array([0.5, 0.5]), np.array([1.0, 0])) == pytest.approx(0.3112781)


def sample(first: list[list[int]], labels: list[int], token_ids=None) -> Sample:
    """Documents of one layer and two experts; `first` holds each document's first choices."""
    flat = np.concatenate([np.array(row) for row in first])
    document = np.repeat(np.arange(len(first)), [len(row) for row in first])
    experts = np.stack([flat, 1 - flat], axis=-1)[None]
    ids = np.zeros(len(flat), int) if token_ids is None else np.array(token_ids)
    return Sample(experts, ids, document, np.array(labels), 2)


def test_counts_and_divergence_of_documents():
    found = sample([[0, 0, 1], [1], [1, 1]], [0, 0, 1])
    assert found.counts(1)[:, 0].tolist() == [[2, 1], [0, 1], [0, 2]]
    assert found.counts(2)[:, 0].tolist() == [[3, 3], [1, 1], [2, 2]]
    assert divergence(found.counts(1), found.labels).tolist() == pytest.approx([0.3112781])
    assert divergence(found.counts(2), found.labels).tolist() == [0]


def test_documents_that_differ_within_a_label_are_noise():
    """Each document has its own expert, whatever its label: the null must not be exceeded."""
    rng = np.random.default_rng(0)
    labels = [n % 2 for n in range(40)]
    noise = sample([[int(e)] * 50 for e in rng.integers(0, 2, 40)], labels)
    clear = sample([[label] * 50 for label in labels], labels)
    for found, is_clear in ((noise, False), (clear, True)):
        counts = found.counts(1)
        null = permutation_null(counts, found.labels, rng, repeats=100)
        within, between = halves(counts, found.labels, rng)
        assert (divergence(counts, found.labels) > null).all() == is_clear
        assert (between - within > 0.1).all() == is_clear
        assert (probe.accuracy(counts[:, 0] / 50.0, found.labels)[0] > 0.9) == is_clear


def test_halves_share_no_document():
    """Two documents of each label, one expert each: every half has one, unlike the other."""
    found = sample([[0], [1], [0], [1]], [0, 0, 1, 1])
    within, _ = halves(found.counts(1), found.labels, np.random.default_rng(0))
    assert within.tolist() == [1]


def test_the_probe_is_asked_about_documents_it_has_not_seen():
    """Random features suffice to learn random labels by heart, and tell nothing of others."""
    rng = np.random.default_rng(0)
    right, (low, high) = probe.accuracy(rng.normal(size=(60, 200)), np.arange(60) % 2)
    assert right < 0.75
    assert low < right < high


def test_conditional_information_worked_by_hand():
    """Token 0 is routed by label, one bit; token 1 is not, none: half a bit on average."""
    token, label = np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([0, 0, 1, 1] * 2)
    by_label, independent = [5, 5, 7, 7], [5, 7, 5, 7]
    assert conditional_information(np.array(by_label * 2), label, token) == pytest.approx(1)
    assert conditional_information(np.array(by_label + independent), label, token) == 0.5
    assert conditional_information(np.array(independent * 2), label, token) == pytest.approx(0)
    # Routing that follows the token, and tokens that follow the label, tell nothing more.
    assert conditional_information(token, token, token) == pytest.approx(0)


def test_a_shuffle_of_documents_keeps_them_whole():
    """Two documents: a shuffle can only swap them, which changes nothing."""
    found, documents, _ = information(sample([[0] * 8, [1] * 8], [0, 1]), np.random.default_rng(0))
    assert found.tolist() == pytest.approx([1])
    assert documents.ravel().tolist() == pytest.approx([1] * len(documents))


def test_a_shuffle_of_occurrences_keeps_every_count():
    """Token 0 occurs under both labels, token 1 under one: only token 0's labels can move."""
    rng = np.random.default_rng(0)
    token, label = np.array([0, 1, 0, 1, 0, 0]), np.array([3, 5, 3, 5, 5, 5])
    moved = [within_tokens(label, token, rng) for _ in range(20)]
    assert all(m[token == 1].tolist() == [5, 5] for m in moved)
    assert all(sorted(m[token == 0]) == [3, 3, 5, 5] for m in moved)
    assert len({tuple(m) for m in moved}) > 1
    long = sample([[0] * 500, [1] * 500], [0, 1])
    _, documents, occurrences = information(long, rng)
    assert documents.min() > 0.99
    assert occurrences.max() < 0.05


def test_every_document_is_in_one_fold_and_labels_are_spread():
    labels = np.repeat([0, 1], [10, 15])
    fold = probe.folds(labels, np.random.default_rng(0))
    assert np.bincount(fold[labels == 0]).tolist() == [2] * 5
    assert np.bincount(fold[labels == 1]).tolist() == [3] * 5
    assert probe.wilson(50, 100) == pytest.approx([0.4038, 0.5962], abs=1e-3)


def test_permuted_routers_come_back():
    """Within the block the rows are another order of the same rows; after it, the same."""
    import torch
    from evaluate import permuted_routers

    from tests.conftest import random_model, small_config

    model: Any = random_model(small_config())
    before = [layer.moe.router.weight.detach().clone() for layer in model.layers]
    with permuted_routers(model, torch.Generator().manual_seed(1)):
        for layer, rows in zip(model.layers, before, strict=True):
            now = layer.moe.router.weight
            assert torch.equal(now.sort(0).values, rows.sort(0).values)
        assert any(
            not torch.equal(layer.moe.router.weight, rows)
            for layer, rows in zip(model.layers, before, strict=True)
        )
    for layer, rows in zip(model.layers, before, strict=True):
        assert torch.equal(layer.moe.router.weight, rows)


def test_the_card_keeps_what_stands_around_the_figures(tmp_path, monkeypatch):
    path = tmp_path / "README.md"
    monkeypatch.setattr(card, "tables", lambda result: result["text"])
    path.write_text("# A card\n")
    card.write(path, {"text": "first"})
    path.write_text(path.read_text() + "\nMore.\n")
    card.write(path, {"text": "second"})
    expected = f"# A card\n\n{card.BEGIN}\nsecond\n{card.END}\n\nMore.\n"
    assert path.read_text() == expected
    assert card.number(0.1234) == ".123"
    assert card.number(-0.5, 1) == "-.5"
    assert card.number(1.25, 2) == "1.25"


# ---- Languages -------------------------------------------------------------------------------


def test_language_divergence_worked_by_hand():
    # Two of four experts each, evenly: H = 1 bit, log E = 2 bits, so 1 bit would be possible.
    english = np.array([[[0.5, 0.5, 0, 0]], [[0.5, 0.5, 0, 0]], [[0.5, 0.5, 0, 0]]])
    other = np.array([[[0, 0, 0.5, 0.5]], [[0.5, 0.5, 0, 0]], [[0.5, 0, 0.5, 0]]])
    found = languages.language_divergence(english, other)
    np.testing.assert_allclose(found[:, 0], [1.0, 0.0, 0.5])


def test_mean_probabilities_leave_special_tokens_out():
    trace = mv.record(mv.load("8x7m"), ["Good morning", "Guten Morgen"])
    found = languages.mean_probabilities(trace)
    logits = torch.from_numpy(trace.router_logits[:, 1 : trace.prompts[0].stop])
    np.testing.assert_allclose(found[0], logits.double().softmax(-1).mean(1).numpy(), rtol=1e-6)


def sample_of_shared_tokens(experts_of) -> tuple[Sample, list[str]]:
    """Two labels with other words and other shares of the same two signs."""
    pieces = [".", "12", "the", "der"]
    rng = np.random.default_rng(0)
    tokens = np.concatenate(
        [rng.choice(4, 3000, p=[0.3, 0.1, 0.6, 0]), rng.choice(4, 3000, p=[0.1, 0.3, 0, 0.6])]
    )
    label = np.repeat([0, 1], 3000)
    first = experts_of(tokens, label)
    experts = np.stack([first, (first + 1) % 8], axis=-1)[None]
    return Sample(experts, tokens, np.repeat([0, 1], 3000), np.array([0, 1]), 8), pieces


def test_what_follows_from_the_token_alone_is_no_divergence_at_equal_mix():
    sample, pieces = sample_of_shared_tokens(lambda token, label: token)
    found = languages.on_shared_tokens(sample, pieces, [0, 1])
    assert found["all tokens"][0] > 0.5  # other words
    assert found["shared tokens"][0] > 0.05  # other shares of the signs
    assert found["equal mix"][0] == pytest.approx(0, abs=1e-12)
    assert found["pieces"] == 2


def test_what_follows_from_the_context_remains_at_equal_mix():
    sample, pieces = sample_of_shared_tokens(lambda token, label: 4 * label)
    found = languages.on_shared_tokens(sample, pieces, [0, 1])
    for what in ("all tokens", "shared tokens", "equal mix"):
        assert found[what][0] == pytest.approx(1)


def compiled(strings: dict[str, str]) -> bytes:
    """A message catalogue as gettext's manual describes the file: two tables, then the strings."""
    head = "Content-Type: text/plain; charset=UTF-8\n"
    pairs = [(k.encode(), v.encode()) for k, v in sorted({"": head, **strings}.items())]
    tables, data, at = ([], []), b"", 28 + 16 * len(pairs)
    for pair in pairs:
        for table, string in zip(tables, pair, strict=True):
            table.append((len(string), at + len(data)))
            data += string + b"\0"
    n = len(pairs)
    header = struct.pack("<7I", 0x950412DE, 0, n, 28, 28 + 8 * n, 0, 0)
    return header + b"".join(struct.pack("<2I", *row) for t in tables for row in t) + data


def test_strings_of_catalogues_are_aligned_by_their_originals():
    one, two = "The first sentence has more than forty characters.", "No: this one is not there."
    short, same = "Too short", "This sentence stays in all languages as it was, on purpose."
    long = "A <b>second</b> sentence, and it has an &accelerator as well."
    tables = [{one: f"{x} {one}", long: f"{x} zwei {long}", short: x, same: same} for x in "abcd"]
    tables[2][two] = "c " + two
    found = aligned.strings([compiled(table) for table in tables])
    plain = "A second sentence, and it has an accelerator as well."
    assert sorted(found) == sorted(
        [(one, *(f"{x} {one}" for x in "abcd")), (plain, *(f"{x} zwei {plain}" for x in "abcd"))]
    )


def test_neighbours_make_a_passage_and_what_is_left_over_makes_none():
    pieces = [(f"{n}" * 150, "fr", "de", "es", "it") for n in range(7)]
    found = aligned.joined(pieces)
    assert [p["en"] for p in found] == [
        "\n\n".join(f"{n}" * 150 for n in three) for three in ((0, 1, 2), (3, 4, 5))
    ]
    assert found[0]["de"] == "de\n\nde\n\nde"


def test_only_files_held_out_in_all_languages_are_aligned(tmp_path):
    """A page of two paragraphs that all have, one that Italian trains on, and a catalogue."""
    text = {x: f"{x} one {'word ' * 50}\n\n{x} two {'word ' * 50}" for x in aligned.LANGUAGES}
    sentence = "A sentence of a program that says quite a lot, more than forty characters; " * 6
    for x in aligned.LANGUAGES:
        held = ["page.html", *(["other.html"] if x != "it" else [])]
        rows = [{"file": f"help/{x}/{name}", "text": "cut"} for name in held]
        source = x if x != "en" else "de"  # English stands in the German catalogue
        rows.append({"file": f"game/{source}/LC_MESSAGES/game.mo", "text": "cut"})
        clean = [{"file": f"help/{x}/{n}.html", "text": text[x]} for n in ("page", "other")]
        for path, documents in (("corpus/{}/held_out", rows), ("clean/{}/help", clean)):
            file = tmp_path / (path.format(x) + ".jsonl")
            file.parent.mkdir(parents=True)
            file.write_text("".join(json.dumps(row) + "\n" for row in documents))
    (tmp_path / "extract").mkdir()
    with zipfile.ZipFile(tmp_path / "extract" / "deb.game.zip", "w") as files:
        for x in aligned.LANGUAGES[1:]:
            files.writestr(f"{x}/LC_MESSAGES/game.mo", compiled({sentence: f"{x} {sentence}"}))
    found = dict(aligned.passages(tmp_path))
    assert set(found) == {"help/*/page.html", "game/*/LC_MESSAGES/game.mo"}
    assert found["help/*/page.html"] == text
    game = found["game/*/LC_MESSAGES/game.mo"]
    assert game["en"] == sentence.strip()
    assert game["it"] == f"it {sentence}".strip()
