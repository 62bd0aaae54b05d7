# SPDX-License-Identifier: Apache-2.0
"""The widgets of the prompt box: a text, what can be done with it, and how far that has come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...errors import MissingDependencyError
from .switchboard import Switchboard

#: What stands below the picture, which a saved notebook keeps and the box it does not.
IN_A_PAGE = (
    "The same without Python, in any browser: <code>moe-viz live -o lab.html</code>. In slides and "
    "pages of this notebook the model runs too if this cell is tagged <code>live</code>."
)


class Box:
    """A text to run or to continue, earlier ones, switches, progress and a line of status."""

    def __init__(
        self, layers: Sequence[int], experts: int, k: int, changed: Callable[[], object]
    ) -> None:
        try:
            import ipywidgets as widgets
            from IPython.display import HTML, display
        except ModuleNotFoundError as error:
            raise MissingDependencyError(
                f"The live prompt box needs the package {error.name}: pip install "
                "'moe-viz[lab]'. A recording is shown without it: explore(record(model, text))."
            ) from error
        self._display, self._wrap = display, HTML
        self.text: Any = widgets.Textarea(
            placeholder="Type a text, and run it through the model", rows=3,
            layout=widgets.Layout(width="100%"),
        )  # fmt: skip
        self.run_button: Any = widgets.Button(
            description="Run", button_style="primary", icon="play"
        )
        self.continue_button: Any = widgets.Button(
            description="Continue", icon="forward", tooltip="Let the model write on from this text"
        )
        self.length: Any = widgets.BoundedIntText(
            value=40, min=1, max=2000, description="tokens", layout=widgets.Layout(width="9em"),
            style={"description_width": "4em"},
        )  # fmt: skip
        self.cancel_button: Any = widgets.Button(description="Cancel", icon="stop", disabled=True)
        self.past: Any = widgets.Dropdown(
            options=["earlier prompts"], layout=widgets.Layout(width="18em")
        )
        self.progress: Any = widgets.IntProgress(layout={"visibility": "hidden"})
        self.switches = Switchboard(layers, experts, k, changed)
        self.status: Any = widgets.Label()
        row = [self.run_button, self.continue_button, self.length, self.cancel_button, self.past]
        self.box: Any = widgets.VBox(
            [self.text, widgets.HBox([*row, self.progress]), self.switches.box, self.status]
        )

    def enable(self, running: bool) -> None:
        """What can be pressed while a text runs, and while none does."""
        self.run_button.disabled = self.continue_button.disabled = running
        self.cancel_button.disabled = not running
        self.switches.enable(running)
