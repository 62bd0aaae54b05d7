# SPDX-License-Identifier: Apache-2.0
"""What is known about the trained model: how well it predicts, and whether routing means anything.

In: DIR/corpus and a folder of weights.  Out: evaluation.json beside the weights, the same as tables
on the standard output and in the model card.  Beside every claim stands what it must exceed:
compressors and an n-gram; the untrained twin (the same architecture at step 0 of the same run),
permutations and halves of the same documents.

    python weights/recipe/evaluate.py --work DIR --weights weights/8x7m
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aligned
import card
import numpy as np
import torch
from baselines import baselines
from languages import on_shared_tokens, parallel
from probe import accuracy
from routing_tests import Sample, divergence, halves, information, permutation_null, shares
from sentencepiece import SentencePieceProcessor
from sources import DOMAINS, LANGUAGES
from trainer import Settings, first_step, twin_of
from windows import balanced, bits_per_byte, interval, nats, texts

import moe_viz as mv
from moe_viz.model import Mixtral
from moe_viz.model.moe import Router

PERMUTATIONS, PERMUTED_DOCUMENTS = 5, 10  # of the routers' rows; documents of each domain


def prediction(model: Mixtral, work: Path, domain: str) -> dict[str, Any]:
    """Bits per byte of all held-out text of a domain, beside the baselines."""
    assert model.tokenizer is not None
    documents = texts(work, domain, "held_out")
    ids = [model.tokenizer.encode(text, bos=False).ids for text in documents]
    cost = nats(model, ids)
    sizes = np.array([len(text.encode()) for text in documents])
    return {
        "model": bits_per_byte(cost, sizes),
        "interval": interval(cost, sizes),
        **baselines(work, domain),
        "documents": len(documents),
        "bytes": int(sizes.sum()),
        "tokens": sum(map(len, ids)),
    }


def separation(sample: Sample, choices: int) -> dict[str, Any]:
    """Divergence between domains, and what it would be without any difference between them."""
    counts, labels, rng = sample.counts(choices), sample.labels, np.random.default_rng(0)
    within, between = halves(counts, labels, rng)
    return {
        "divergence": divergence(counts, labels),
        "split-half": within,
        "corrected": between - within,
        "null 95": permutation_null(counts, labels, rng),
    }


def compare(trained: Sample, untrained: Sample, narrow: Sample) -> dict[str, Any]:
    """The divergences of all three models, by first choice and by both choices, and their ratio."""
    result: dict[str, Any] = {
        "documents": len(trained.labels),
        "tokens": len(trained.token_ids),
    }
    for choices, name in ((1, "first choice"), (2, "both choices")):
        own, twin = separation(trained, choices), separation(untrained, choices)
        ratios = {
            f"ratio{'' if what == 'divergence' else ', corrected'}": own[what] / twin[what]
            for what in ("divergence", "corrected")
        }
        other = separation(narrow, choices)["divergence"]
        result[name] = {"trained": own, "untrained": twin, "untrained, 0.02": other, **ratios}
    return result


def domain_probe(sample: Sample) -> dict[str, Any]:
    """How often the domain is read from the shares of first choices."""
    features = shares(sample.counts(1)).reshape(len(sample.labels), -1)
    right, bounds = accuracy(features, sample.labels)
    return {"accuracy": right, "interval": bounds}


def context(sample: Sample) -> dict[str, Any]:
    """I(first choice; domain | token), and the 95th percentiles of its two shuffles."""
    found, *shuffles = information(sample, np.random.default_rng(0))
    documents, occurrences = (np.percentile(values, 95, axis=0) for values in shuffles)
    return {"bits": found, "documents shuffled": documents, "occurrences shuffled": occurrences}


@contextmanager
def permuted_routers(model: Mixtral, generator: torch.Generator) -> Iterator[None]:
    """Every router's rows in a random order, for the length of a `with` block."""
    routers = [module.weight for module in model.modules() if isinstance(module, Router)]
    before = [weight.detach().clone() for weight in routers]
    with torch.no_grad():
        for weight in routers:
            weight.copy_(weight[torch.randperm(len(weight), generator=generator)])
        try:
            yield
        finally:
            for weight, rows in zip(routers, before, strict=True):
                weight.copy_(rows)


def permuted_loss(model: Mixtral, ids: list[list[int]]) -> dict[str, Any]:
    """Nats per token as the model is, and with tokens sent to the wrong experts."""
    documents = [row[1:] for row in ids]  # nats() puts BOS in front itself
    tokens = sum(map(len, documents))
    as_it_is = nats(model, documents).sum() / tokens
    losses = []
    for seed in range(PERMUTATIONS):
        with permuted_routers(model, torch.Generator().manual_seed(seed)):
            losses.append(nats(model, documents).sum() / tokens)
    return {
        "loss": as_it_is,
        "permuted": np.mean(losses),
        "sd": np.std(losses, ddof=1),
        "permutations": PERMUTATIONS,
        "documents": len(documents),
        "tokens": tokens,
    }


def load(sample: Sample) -> dict[str, float]:
    """The extreme load shares of any expert in any layer, both choices counted."""
    share = shares(sample.counts(2).sum(0))
    return {"largest": share.max(), "smallest": share.min()}


def evaluate(weights: Path, work: Path) -> dict[str, Any]:
    model: Any = mv.load(weights)
    assert model.tokenizer is not None
    twin = twin_of(weights)
    # As transformers and GPT-2 would begin: what a claim about training must exceed as well.
    narrow = first_step(model.config, Settings(embedding=0.02, matrices="gpt2"))
    models = [model, twin, narrow.requires_grad_(False)]
    for untrained in models[1:]:
        untrained.tokenizer = model.tokenizer
    result: dict[str, Any] = {"bits_per_byte": {}, "divergence": {}}
    for domain in DOMAINS:
        result["bits_per_byte"][domain] = prediction(model, work, domain)
        print(domain, rounded(result["bits_per_byte"][domain]), flush=True)
    ids, labels = balanced(work, model.tokenizer)
    held_out = [Sample.of(mv.record(m, ids, labels=labels)) for m in models]
    curated = [Sample.of(mv.record(m, mv.prompts.curated())) for m in models]
    result["divergence"] = {"held out": compare(*held_out), "curated": compare(*curated)}
    names, chance = ("trained", "untrained"), np.bincount(held_out[0].labels).max() / len(labels)
    result["probe"] = {n: domain_probe(s) for n, s in zip(names, held_out, strict=False)}
    result["probe"] |= {"chance": chance, "documents": len(labels)}
    result["information"] = {n: context(s) for n, s in zip(names, held_out, strict=False)}
    few = [i for d in DOMAINS for i in np.flatnonzero(np.array(labels) == d)[:PERMUTED_DOCUMENTS]]
    result["permuted_routers"] = permuted_loss(model, [ids[i] for i in few])
    result["load"] = load(held_out[0])
    for key, parallels in parallel_passages(work).items():
        rng = np.random.default_rng(0)
        both = zip(names, models, strict=False)
        result[key] = {n: parallel(m, parallels, rng) for n, m in both}
    spelling = SentencePieceProcessor(model_file=str(weights / "tokenizer.model"))
    pieces = [spelling.id_to_piece(i) for i in range(spelling.vocab_size())]
    among = {"five languages": DOMAINS[:5], "nine domains": DOMAINS}
    order = list(dict.fromkeys(labels))
    result["shared_tokens"] = {
        what: {
            n: on_shared_tokens(s, pieces, [order.index(d) for d in domains])
            for n, s in zip(names, held_out, strict=False)
        }
        for what, domains in among.items()
    }
    return result


def parallel_passages(work: Path) -> dict[str, dict[str, list[str]]]:
    """Texts that say the same in five languages: this project's own, and held-out translations."""
    own, others = mv.prompts.passages(), [passage for _, passage in aligned.passages(work)]
    return {
        "languages": {x: own.select(label=x).texts for x in LANGUAGES},
        "aligned": {x: [passage[x] for passage in others] for x in LANGUAGES},
    }


def rounded(value: Any) -> Any:
    """Arrays as lists, numbers to four digits behind the point."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list):
        return [rounded(item) for item in value]
    return round(float(value), 4) if isinstance(value, float | np.floating) else value


def main() -> None:
    parser = argparse.ArgumentParser(description="Evaluate the trained model.")
    parser.add_argument("--work", type=Path, required=True, help="the folder corpus.py filled")
    parser.add_argument("--weights", type=Path, required=True, help="the folder train.py wrote")
    args = parser.parse_args()
    command = f"python weights/recipe/evaluate.py --work DIR --weights {args.weights.name}"
    result = {"command": command, **rounded(evaluate(args.weights, args.work))}
    path = args.weights / "evaluation.json"
    if path.exists():  # twins.py's curves are of runs of their own
        result |= {k: v for k, v in json.loads(path.read_text()).items() if k == "twins"}
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(card.tables(result))
    card.write(args.weights / "README.md", result)


if __name__ == "__main__":
    main()
