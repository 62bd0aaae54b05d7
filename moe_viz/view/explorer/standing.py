# SPDX-License-Identifier: Apache-2.0
"""A picture that stands in a notebook's output, and is given other traces while they grow.

A second, hidden display carries each packed trace to the standing picture's script, so that nothing
is drawn from the beginning. At the end the picture's own display is written once: a saved notebook
holds the last state, and nothing else. Where each output is a document of its own, as in Colab, no
script reaches another output, and the whole picture is written anew, less often.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from typing import Any, Protocol

#: Seconds between two traces that are put into a picture, and between two whole pictures.
PACE, WHOLE = 0.15, 2.0


class Drawable(Protocol):
    """What a picture can be drawn from: an `Explorer`."""

    def to_html(self, page: bool = False, name: str = "") -> str:
        """The whole picture, its element called `name`."""
        ...

    def elements(self, name: str) -> str:
        """The packed trace alone, in elements called `name`-data and so on."""
        ...

    def opening(self) -> dict[str, Any]:
        """The state that it opens in."""
        ...


class Standing:
    """The place of one picture in a notebook.

    `display` is IPython's, or what takes its place in a test; `line` stands below the picture.
    """

    def __init__(self, display: Any = None, wrap: Any = None, line: str = "") -> None:
        if display is None or wrap is None:
            from IPython.display import HTML
            from IPython.display import display as shown

            display, wrap = shown, HTML
        self._display, self._wrap = display, wrap
        self._line = f"<p>{line}</p>" if line else ""
        self._name = f"moe-viz-{uuid.uuid4().hex[:12]}"
        self._handle: Any = None
        self._beside: Any = None
        self._stands = False
        self._last = float("-inf")

    @property
    def alone(self) -> bool:
        """Whether each output is a document of its own."""
        return "google.colab" in sys.modules

    def due(self) -> bool:
        """Whether it is time for another trace: more would only pile up."""
        return time.monotonic() - self._last >= (WHOLE if self.alone else PACE)

    def say(self, words: str) -> None:
        """Words in the place of the picture."""
        self._put(f"<p>{words}</p>")

    def show(self, picture: Drawable) -> None:
        """The whole picture, to stay: what a saved notebook holds.

        Who looks at the one that it replaces goes on with the same layer, map and colours.
        """
        following = self._stands and not self.alone
        if following:
            self._beside.update(self._wrap(self._script("leave()")))
        self._put(picture.to_html(name=self._name) + self._line)
        self._stands = True
        if following:
            self._beside.update(self._wrap(""))

    def follow(self, picture: Drawable) -> None:
        """Another trace, into the picture that stands here."""
        self._last = time.monotonic()
        if self.alone or not self._stands:
            self._put(picture.to_html(name=self._name) + self._line)
            self._stands = True
            return
        name, change = f"{self._name}-next", json.dumps(picture.opening())
        script = self._script(f"take({json.dumps(name)}, {change})")
        self._beside.update(self._wrap(picture.elements(name) + script))

    def _script(self, call: str) -> str:
        """Has the picture that stands here do something."""
        host = f"document.getElementById({json.dumps(self._name)})"
        return f"<script>{host}?.moeViz?.{call};</script>"

    def _put(self, html: str) -> None:
        if self._handle is None:
            self._handle = self._begun(html)
            if not self.alone:  # now, in the cell that runs: a thread's outputs belong to no cell
                self._beside = self._begun("")
        else:
            self._handle.update(self._wrap(html))

    def _begun(self, html: str) -> Any:
        return self._display(self._wrap(html), display_id=True)
