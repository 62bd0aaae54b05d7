# SPDX-License-Identifier: Apache-2.0
"""One cell of a notebook made ready for the template: text as HTML, outputs of one kind each.

In: a cell as it was saved. Out: the same cell, changed in place, and a line for all that it lacks.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .cleaned import cleaned
from .markdown import rendered
from .outputs import STATE, mentioned, presented


def present(cell: Any, folder: Path, widgets: dict[str, Any]) -> list[str]:
    """Make a cell ready, and say what is missing in it; a raw cell counts as the text it holds."""
    if cell.cell_type == "code":
        state = widgets.get(STATE, {}).get("state", {})
        outputs = [] if cell.metadata.code == "alone" else cell.get("outputs", [])
        cell.outputs = presented(outputs, folder, state)
        missing = [line for output in cell.outputs for line in output.metadata.get("missing", [])]
        for output in cell.outputs:
            output.metadata["missing"] = [*map(mentioned, output.metadata.get("missing", []))]
        return missing
    html = rendered(cell.source) if cell.cell_type == "markdown" else cell.source
    html, missing = cleaned(html, folder, cell.get("attachments"), written=True)
    if "notes" in cell.metadata.before:
        # Folded in a notebook, where students read too; open for the speaker.
        html = re.sub(r"</?details[^>]*>\s*|<summary[^>]*>.*?</summary>\s*", "", html, flags=re.S)
    cell.source, cell.cell_type = html, "markdown"
    cell.metadata.missing = [*map(mentioned, missing)]
    return missing
