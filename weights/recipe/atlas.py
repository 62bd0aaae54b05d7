# SPDX-License-Identifier: Apache-2.0
"""The atlas of 8x7m: made from the recipe's held-out text, shown with curated texts alone.

In: the corpus that `make weights` keeps in WORK. Out: docs/static/atlas.html. The held-out text is
other people's: it is counted, and no word of it is shown; what is shown is from the curated texts.

    python weights/recipe/atlas.py --work DIR [--out docs/static/atlas.html]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from sources import DOMAINS

import moe_viz as mv
from moe_viz.trace import TraceDataset

ROOT = Path(__file__).parents[2]


def rows(work: Path) -> list[dict[str, str]]:
    """The held-out documents of every domain, labelled by it."""
    found = []
    for domain in DOMAINS:
        with (work / "corpus" / domain / "held_out.jsonl").open(encoding="utf-8") as file:
            for line in file:
                said = json.loads(line)
                found.append({"text": said["text"], "label": domain, "id": said["file"]})
    return found


def main() -> None:
    """Record, count, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=ROOT / "docs/static/atlas.html")
    asked = parser.parse_args()
    documents, model = rows(asked.work), mv.load("8x7m")
    twin = mv.untrained_twin(model)
    recorded: list[TraceDataset] = []
    for name, one in (("atlas", model), ("atlas-twin", twin)):
        recorded.append(mv.record_corpus(one, documents, asked.work / name, keep="choices"))
    shown = mv.record(model, mv.prompts.curated())
    effects = mv.effects(model, mv.prompts.curated())
    found = mv.atlas(recorded[0], recorded[1], effects, contexts=shown)
    print(found, found.save(asked.out))


if __name__ == "__main__":
    main()
