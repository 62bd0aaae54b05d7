# SPDX-License-Identifier: Apache-2.0
"""Cells whose model runs in the exported page itself: those tagged `live`.

In: the exported cells, and a way to get what a page holds of a model. Out: the same, with the model
once in the file, behind the pictures of those cells. A picture stays as it was recorded where no
model can be had, and the page says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from ...errors import MoeVizError
from ..live.page import WORKERS, begun, in_page, style_of_page

#: The tag, and what stands around the outputs of a cell that has it.
TAG = "live"
BEFORE, AFTER = '<div class="moe-viz-live">', "<!-- live --></div>"
#: Gives what a page holds of the model of that name; see `moe_viz.living`.
Held = Callable[[str], Mapping[str, Any]]
_CELL = re.compile(f"{re.escape(BEFORE)}(.*?){re.escape(AFTER)}", re.S)
_HOST = re.compile(r'<div [^>]*?\bid="(moe-viz-[0-9a-f]{12})"[^>]*>')
_MODEL = re.compile(r'"model":"([^"\\]*)"')


def alive(
    body: str,
    held: Held | None,
    said: Callable[[str], object] | None,
    carry: Callable[[Mapping[str, Any]], str] = in_page,
) -> tuple[str, dict[str, str]]:
    """The body of a page, with a model behind its live cells; as it is where there are none.

    And what that page may do besides. `said` is told why a cell's picture stays as it was recorded.
    `carry` gives the elements that hold the model, in the page itself if nothing else is said.
    """
    known: dict[str, Mapping[str, Any]] = {}
    hosts: list[str] = []

    def cell(found: re.Match[str]) -> str:
        html = found[1]
        host, model = _HOST.search(html), _MODEL.search(html)
        try:
            if held is None:
                raise MoeVizError("this export was given no model to put into the page")
            if host is None or model is None:
                raise MoeVizError("it shows no picture of a trace: explore(record(model, text))")
            if known.keys() - {model[1]}:
                raise MoeVizError(f"this page holds {next(iter(known))}, and can hold no other")
            known.setdefault(model[1], held(model[1]))
        except MoeVizError as error:
            why = f"a cell tagged live is as it was recorded: {error}"
            if said is not None:
                said(why)
            return f"{html}<p class=note>{escape(why)}</p>"
        hosts.append(host[1])
        return f"{BEFORE}{html}{AFTER}"

    body = _CELL.sub(cell, body)
    if not hosts:
        return body, {}
    [model] = known.values()
    scripts = "".join(map(begun, hosts))
    return f"<style>{style_of_page()}</style>\n{body}\n{carry(model)}{scripts}", WORKERS
