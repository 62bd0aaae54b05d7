# SPDX-License-Identifier: Apache-2.0
"""All that a page carries of a model, and the script that runs it there.

In: a Mixtral in memory. Out: what `js/machine.js` unpacks, in a worker of the page's own: weights,
vocabulary, and the kernel that multiplies. Nothing of it needs a network.
"""

from __future__ import annotations

import base64
from typing import Any

from ...files import package_bytes
from .vocabulary import vocabulary_of
from .weights import weights_of

#: The worker's entry module, its function, and that function's name in the joined script.
WORKER = "view/live/js/worker.js", "serve", "moeVizModel"


def carried(model: Any, exact: bool = False) -> dict[str, Any]:
    """What a page carries of a model: int8 by default, or as `exact` bfloat16; see `weights`.

    Raises `InputError` for a model that no page can run.
    """
    vocabulary, weights = vocabulary_of(model.tokenizer), weights_of(model, exact)
    return {
        "manifest": weights.manifest,
        "vocabulary": vocabulary,
        "kernel": _text(package_bytes("view/live/kernel.wasm")),
        "weights": _text(weights.packed()),
    }


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
