# SPDX-License-Identifier: Apache-2.0
"""How many of the public names have a whole type: what pyright finds, and the share that must hold.

In: the installed package, as pyright --verifytypes sees it. Out: the names that lack a type, and
exit status 1 where fewer than the share have one. The curated programs are texts, and do not count.

    python tools/typed.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

ENOUGH = 0.98
TEXTS = "moe_viz.prompts.texts."


def report() -> dict[str, Any]:
    """What pyright says of the package in a folder without settings, as its users have."""
    options = ("--verifytypes", "moe_viz", "--ignoreexternal", "--outputjson")
    command = [sys.executable, "-m", "pyright", *options]
    # It asks the `python` on the path what is installed, whatever --pythonpath says.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return json.loads(done.stdout)


def incomplete(found: dict[str, Any]) -> tuple[dict[str, str], int]:
    """The public names without a whole type, with the reason; and how many names there are.

    >>> names = [{"name": "a.f", "isExported": True, "isTypeKnown": False, "diagnostics": []}]
    >>> incomplete({"typeCompleteness": {"symbols": names}})
    ({'a.f': ''}, 1)
    """
    public = [
        symbol
        for symbol in found["typeCompleteness"]["symbols"]
        if symbol["isExported"] and not symbol["name"].startswith(TEXTS)
    ]
    lacking = {
        symbol["name"]: "; ".join(" ".join(d["message"].split()) for d in symbol["diagnostics"])
        for symbol in public
        if not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"]
    }
    return lacking, len(public)


def main() -> None:
    """Print what lacks a type; fail where it is too much."""
    lacking, total = incomplete(report())
    for name, why in lacking.items():
        print(f"{name}: {why}")
    share = 1 - len(lacking) / total
    print(f"{share:.1%} of {total} public names have a whole type; at least {ENOUGH:.0%} must.")
    sys.exit(share < ENOUGH)


if __name__ == "__main__":
    main()
