# SPDX-License-Identifier: Apache-2.0
"""The families of mixtures that can be guests, as a table for the documentation.

In: what `moe_viz/guests/families.py` says, and the tests' lists of what cannot be recorded. Out:
docs/families.md, which a test holds equal to this. Every row is a family that
tests/guests/test_families.py runs.

    python -m tools.families > docs/families.md
"""

from __future__ import annotations

from collections.abc import Iterator

from moe_viz.guests.families import FAMILIES, Family
from tests.guests import mixtures

HEAD = """# Other families of mixtures

Mixtral is run by moe_viz's own code. Every other mixture is a *guest*, run by transformers (5.24
or later) and recorded through one hook: `mv.load("org/name")`, `mv.load(folder)`, or
`mv.guest(model, tokenizer)` for a model that you have made yourself. Each family below is run by
the tests on a tiny model with random weights: what is stored is what was executed, ragged batches
give what each prompt gives alone, a change that changes nothing is equal bit for bit. **Real
weights of these families were out of reach where this was built**: their shapes are tested, their
numbers are not.

*Score*: what is made of a logit. *Choice*: what the k best are chosen by. *Gates*: how the chosen
are weighted; "shared out" means that they are divided by their sum. A word in `code font` is the
setting of the checkpoint's config.json that decides it.

| model_type | score | choice | gates | to know |
|---|---|---|---|---|
"""
TAIL = """
What a family's routers do not allow is refused, with the reason: where gates do not follow from
the logits, an ablation with the next best instead, `force`, `top_k`, `temperature` and `random`
(phimoe, inkling_text); where the choice goes by no scores (the hashed layers of deepseek_v4) or
one of what is scored is no expert (zaya), all of these but `temperature`. `ablate` with
`instead="nothing"`, `swap` and `uniform_gates` work everywhere.

## Not recorded

| model_type | why |
|---|---|
"""


def rows() -> Iterator[str]:
    """One for each family."""
    for name, family in sorted(FAMILIES.items()):
        cells = (f"`{name}`", _score(family), _choice(family), _gates(family), _remarks(family))
        yield f"| {' | '.join(cells)} |"


def _score(family: Family) -> str:
    if family.score in ("softmax", "sigmoid"):
        return family.score
    return f"softmax or sigmoid, `{family.score}`" if "selection" in family.score else (
        f"√softplus, sigmoid or softmax, `{family.score}`"
    )  # fmt: skip


def _choice(family: Family) -> str:
    if family.bias == "logits":
        return "logit + bias"
    said = "score + bias" if family.bias else "score"
    if family.groups:
        said += ", within the best groups"
    return said


def _gates(family: Family) -> str:
    if not family.gates:
        return "do not follow from logits"
    shared = "shared out" if family.normalised is True else "scores"
    if isinstance(family.normalised, str):
        shared = f"shared out if `{family.normalised}`"
    scale = f", × `{family.scale[0]}`" if family.scale else ""
    return shared + scale + (", × a number of each expert" if family.per_expert else "")


def _remarks(family: Family) -> str:
    again = "" if family.cached else (
        "Writing runs the whole text again for each token: transformers' cached step gives other "
        "numbers."
    )  # fmt: skip
    return " ".join(filter(None, (family.note, again)))


def page() -> str:
    """The whole page."""
    not_recorded = {**mixtures.NOT_BUILT, **mixtures.IMPOSSIBLE}
    refused = (f"| `{name}` | {why} |" for name, why in sorted(not_recorded.items()))
    return HEAD + "\n".join(rows()) + "\n" + TAIL + "\n".join(refused) + "\n"


if __name__ == "__main__":
    print(page(), end="")
