# SPDX-License-Identifier: Apache-2.0
"""The figures of evaluation.json as Markdown, and their place in the model card.

In: the dictionary that evaluate.py wrote.  Out: the text between `<!-- evaluation -->` and
`<!-- /evaluation -->` in the card, so that no figure there is typed by hand.

    python weights/recipe/card.py weights/8x7m
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import card_texts as texts
from markdown_tables import number, numbers, table

BEGIN, END = "<!-- evaluation -->", "<!-- /evaluation -->"
SHUFFLES = ("documents shuffled", "occurrences shuffled")
BASELINES = ("6-gram", "primed xz", "xz", "gzip")


def bits_per_byte(result: dict[str, Any]) -> str:
    domains = result["bits_per_byte"]
    columns = list(domains.values())
    beaten = {
        name: sum(column["interval"][1] < column[name] for column in columns) for name in BASELINES
    }
    rows = [numbers("8x7m", (c["model"] for c in columns), 2)]
    rows.append(
        ["95 % interval", *("–".join(number(b, 2) for b in c["interval"]) for c in columns)]
    )
    rows += [numbers(name, (c[name] for c in columns), 2) for name in BASELINES]
    rows.append(["held-out kB", *(round(c["bytes"] / 1e3) for c in columns)])
    rows.append(["documents", *(c["documents"] for c in columns)])
    rows.append(["n-gram's training MB", *(round(c["training bytes"] / 1e6) for c in columns)])
    text = "; ".join(f"{name} {n}" for name, n in beaten.items())
    return (
        "**Held-out bits per byte**: all held-out text, windows of 1024 tokens, stride 512; the "
        "interval is a bootstrap over documents. The 6-gram (bytes, modified Kneser-Ney) read all "
        "training text of the domain, the primed xz 3 MB of it. Domains, of "
        f"{len(columns)}, in which the model's whole interval lies below the baseline: {text}.\n\n"
        + table(["", *domains], rows)
    )


def divergence(result: dict[str, Any], text: str, choice: str) -> str:
    found = result["divergence"][text]
    part = found[choice]
    trained, untrained = part["trained"], part["untrained"]
    L = len(part["ratio"])
    rows = [
        numbers("trained", trained["divergence"]),
        numbers("… its permutation null, 95th percentile", trained["null 95"]),
        numbers("… halves of one domain", trained["split-half"]),
        numbers("untrained twin", untrained["divergence"]),
        numbers("… its permutation null, 95th percentile", untrained["null 95"]),
        numbers("… halves of one domain", untrained["split-half"]),
        numbers("untrained, deviation 0.02 throughout", part["untrained, 0.02"]),
        numbers("trained / untrained twin", part["ratio"], 1),
        numbers("same, less the halves'", part["ratio, corrected"], 1),
    ]
    thrice = sum(ratio >= 3 for ratio in part["ratio"])
    return (
        f"**Divergence between domains, {text}, {choice}** (mean Jensen-Shannon divergence over "
        f"pairs of domains, bits; {found['documents']} documents, {found['tokens']:,} tokens): "
        f"at least three times the untrained twin's in {thrice} of {L} layers.\n\n"
        + table(["layer", *range(L)], rows)
    )


def probe(result: dict[str, Any]) -> str:
    found = result["probe"]
    words = []
    for name in ("trained", "untrained"):
        low, high = (100 * bound for bound in found[name]["interval"])
        words.append(f"{name} {100 * found[name]['accuracy']:.1f} % ({low:.1f}–{high:.1f})")
    return (
        "**Domain probe**: the domain predicted from the counts of first choices alone, logistic "
        f"regression, cross-validated over {found['documents']} documents: {', '.join(words)}, "
        f"chance {100 * found['chance']:.1f} %."
    )


def information(result: dict[str, Any]) -> str:
    rows = []
    for name in ("trained", "untrained"):
        found = result["information"][name]
        rows.append(numbers(name, found["bits"]))
        rows += [numbers(f"… {how}", found[how]) for how in SHUFFLES]
    L = len(result["information"]["trained"]["bits"])
    return (
        "**Beyond the token's identity**: I(first choice; domain | token), bits, beside the 95th "
        "percentile with domains shuffled among documents (too high, since it also spreads tokens "
        "over domains) and among the occurrences of a token (too low, since these are not "
        "independent).\n\n" + table(["layer", *range(L)], rows)
    )


def routers(result: dict[str, Any]) -> str:
    found, load = result["permuted_routers"], result["load"]
    return (
        f"**Routers with permuted rows**: {found['permuted']:.2f} ± {found['sd']:.2f} nats per "
        f"token ({found['permutations']} permutations) instead of {found['loss']:.2f} "
        f"({found['tokens']:,} tokens). **Load** on the balanced mix, both choices: no expert of "
        f"any layer takes more than {100 * load['largest']:.1f} % or less than "
        f"{100 * load['smallest']:.1f} % (even: 12.5 %)."
    )


def languages(result: dict[str, Any]) -> str:
    tables = []
    for key, of in (("languages", "curated"), ("aligned", "held-out")):
        rows = []
        for name, found in result[key].items():
            rows.append(numbers(f"{name}, mean", found["mean"]))
            bounds = zip(found["low"], found["high"], strict=True)
            rows.append(["… 95 % interval", *("–".join(map(number, b)) for b in bounds)])
            rows += [numbers(f"… {x}", found[x]) for x in ("fr", "de", "es", "it")]
        found = result[key]["trained"]
        head = ["layer", *range(len(found["mean"]))]
        tables.append(f"{found['passages']} {of} passages:\n\n{table(head, rows)}")
    return (
        "**Languages on parallel passages**, in five languages: divergence of each language's mean "
        "router probabilities from English's, as a share of the possible maximum (arXiv "
        "2510.04694); interval over passages. The curated ones are this project's own; the "
        "held-out ones come from message catalogues and handbooks (`aligned.py`), most from one "
        "game.\n\n" + "\n\n".join(tables)
    )


def shared_tokens(result: dict[str, Any]) -> str:
    rows, tokens, L = [], [], 0
    for among, models in result["shared_tokens"].items():
        for name, found in models.items():
            for what in ("all tokens", "shared tokens", "equal mix"):
                rows.append(numbers(f"{among}, {name}: {what}", found[what]))
                L = len(found[what])
        sizes = models["trained"]
        tokens.append(f"{sizes['tokens']:,} tokens of {among}, {sizes['pieces']} pieces")
    return (
        "**On tokens that all labels share** (digits, punctuation and symbols; first choices, held "
        "out): the divergence on all tokens, on these alone, and with those that are frequent "
        f"enough under every label weighted alike under each ({'; '.join(tokens)}).\n\n"
        + table(["layer", *range(L)], rows)
    )


def twins(result: dict[str, Any]) -> list[str]:
    """The pairs of `twins.py`, where they have been trained."""
    if "trainings" not in result.get("twins", {}):
        return []
    curves = {(c["steps"], c["seed"], c["model"]): c for c in result["twins"]["trainings"]}
    pairs = {(steps, seed) for steps, seed, _ in curves}
    rows = []
    for steps, seed in sorted(pairs):
        ends = [curves[steps, seed, m]["bits_per_byte"][-1] for m in ("mixture", "dense twin")]
        tokens = curves[steps, seed, "mixture"]["tokens"][-1] / 1e6
        rows.append([f"{steps:,}", f"{tokens:.1f}", str(seed)] + [f"{x:.3f}" for x in ends])
        rows[-1].append(f"{ends[1] - ends[0]:.3f}")
    sizes = "; ".join(
        f"{name}: {size['total']:,} parameters, {size['active']:,} active"
        for name, size in result["twins"]["parameters"].items()
    )
    return [
        "**What use is a mixture?** Held-out bits per byte (12 windows of 512 tokens a domain, "
        "averaged over domains) of the mixture and of a dense twin with as many active parameters, "
        "at the end of trainings that are alike in seed, batches, schedule and tokens, all of them "
        f"shorter than the weights' own ({sizes}).\n\n"
        + table(
            ["steps", "million tokens", "seed", "mixture", "dense twin", "dense less mixture"], rows
        )
    ]


def tables(result: dict[str, Any]) -> str:
    parts = [
        bits_per_byte(result),
        *(divergence(result, "held out", c) for c in ("first choice", "both choices")),
        *(divergence(result, "curated", c) for c in ("first choice", "both choices")),
        probe(result),
        information(result),
        routers(result),
        languages(result),
        shared_tokens(result),
        *texts.tables(result.get("shown")),
        *twins(result),
        f"Made by `{result['command']}`; all figures are in `evaluation.json`.",
    ]
    return "\n\n".join(parts)


def write(path: Path, result: dict[str, Any]) -> None:
    """Put the tables between the card's two comments, or at its end where there are none.

    Weights fresh from training have no card yet; theirs is begun.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else "# 8x7m\n"
    block = f"{BEGIN}\n{tables(result)}\n{END}"
    if BEGIN not in text:
        text = f"{text.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    path.write_text(before + block + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    write(folder / "README.md", json.loads((folder / "evaluation.json").read_text()))
