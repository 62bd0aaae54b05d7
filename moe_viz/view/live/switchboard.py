# SPDX-License-Identifier: Apache-2.0
"""The page's switches as widgets of a notebook: the same words in the same order.

In: a model's shape. Out: a box of ipywidgets, and what it asks of `moe_viz.intervene`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Expert = tuple[int, int]


class Switchboard:
    """Experts off or forced, another k, other gates; with undo. `changed` is called after each.

    `layers` are the model's numbers of those that have experts.
    """

    def __init__(
        self, layers: Sequence[int], experts: int, k: int, changed: Callable[[], object]
    ) -> None:
        import ipywidgets as widgets  # for those who run a notebook

        self._shape = (experts, k)
        self._changed = changed
        self._earlier: list[dict[str, Any]] = []
        self._asked: dict[str, Any] = {}
        narrow = widgets.Layout(width="9em")
        side = {"description_width": "4em"}
        self.layer: Any = widgets.Dropdown(
            options=list(layers), description="layer", layout=narrow, style=side
        )
        self.expert: Any = widgets.Dropdown(
            options=list(range(experts)), description="expert", layout=narrow, style=side
        )
        self.toggle: Any = widgets.Button(description="Switch off")
        self.force: Any = widgets.Button(
            description="Send every token to it", layout=widgets.Layout(width="16em")
        )
        self.undo: Any = widgets.Button(description="undo", disabled=True)
        self.k: Any = widgets.Dropdown(
            options=list(range(1, experts + 1)), value=k, description="experts a token",
            layout=widgets.Layout(width="13em"), style={"description_width": "8em"},
        )  # fmt: skip
        self.uniform: Any = widgets.Checkbox(
            description="the chosen count equally, whatever their gates", indent=False
        )
        self.temperature: Any = widgets.BoundedFloatText(
            value=1, min=0.1, max=10, step=0.1,
            description="temperature: higher, and gates are more alike",
            style={"description_width": "initial"},
        )  # fmt: skip
        self.empty: Any = widgets.Checkbox(
            description="an expert that is off leaves its slot empty", indent=False
        )
        self.words: Any = widgets.Label("Nothing is changed.")
        more = widgets.Accordion(
            [widgets.VBox([self.force, self.uniform, self.temperature, self.empty])],
            selected_index=None,
        )
        more.set_title(0, "more")
        row = [self.layer, self.expert, self.toggle, self.k, self.undo, self.words]
        self.box: Any = widgets.VBox([widgets.HBox(row), more])
        self.toggle.on_click(lambda _: self._flip("ablate", "force"))
        self.force.on_click(lambda _: self._flip("force", "ablate"))
        self.undo.on_click(lambda _: self._back())
        for place in (self.layer, self.expert):
            place.observe(lambda _: self._draw(), names="value")
        for name, field, usual in self._fields():
            field.observe(self._setter(name, usual), names="value")

    @property
    def asked(self) -> dict[str, Any]:
        """What is changed, as arguments of `intervene`; empty where nothing is."""
        return dict(self._asked)

    @property
    def selected(self) -> Expert:
        """Layer and expert that the buttons are about."""
        return self.layer.value, self.expert.value

    def refused(self, why: str) -> None:
        """Take the last change back, and say why it cannot be."""
        self._asked = self._earlier.pop()
        self._draw()
        self.words.value = why

    def enable(self, running: bool) -> None:
        """Nothing is switched while a text runs: the run would not be what the words say."""
        said = [field for _, field, _ in self._fields()]
        for field in (self.layer, self.expert, self.toggle, self.force, *said):
            field.disabled = running
        self.undo.disabled = running or not self._earlier

    def _fields(self) -> list[tuple[str, Any, Any]]:
        """Arguments, the widgets that say them, and what says nothing."""
        return [
            ("top_k", self.k, self._shape[1]),
            ("uniform_gates", self.uniform, False),
            ("temperature", self.temperature, 1.0),
            ("instead", self.empty, False),
        ]

    def _setter(self, name: str, usual: Any) -> Callable[[Any], None]:
        def take(change: Any) -> None:
            value = change["new"]
            said = "nothing" if name == "instead" else value
            now = {key: x for key, x in self._asked.items() if key != name}
            self._ask(now if value == usual else now | {name: said})

        return take

    def _flip(self, name: str, other: str) -> None:
        """The selected expert into a list or out of it, and out of the other one."""
        now = {n: [e for e in self._asked.get(n, []) if e != self.selected] for n in (name, other)}
        if self.selected not in self._asked.get(name, []):
            now[name] = sorted([*now[name], self.selected])
        rest = {key: x for key, x in self._asked.items() if key not in now}
        self._ask(rest | {key: x for key, x in now.items() if x})

    def _back(self) -> None:
        self._asked = self._earlier.pop()
        self._draw()
        self._changed()

    def _ask(self, asked: dict[str, Any]) -> None:
        if asked == self._asked:  # a field that was set to what is asked already
            return
        self._earlier.append(self._asked)
        self._asked = asked
        self._draw()
        self._changed()

    def _draw(self) -> None:
        off, forced = (self.selected in self._asked.get(n, []) for n in ("ablate", "force"))
        self.toggle.description = "Switch on" if off else "Switch off"
        self.force.description = (
            "Send it only its own tokens" if forced else "Send every token to it"
        )
        self.undo.disabled = not self._earlier
        for name, field, usual in self._fields():
            value = self._asked.get(name, usual)
            field.value = value == "nothing" if name == "instead" else value
        said = self._said()
        self.words.value = f"Changed: {said}." if said else "Nothing is changed."

    def _said(self) -> str:
        asked = self._asked
        off, forced = (
            ", ".join(f"{layer}/{e}" for layer, e in asked.get(n, [])) for n in ("ablate", "force")
        )
        empty = " (slots stay empty)" if "instead" in asked else ""
        parts = [
            f"off: {off}{empty}" if off else "",
            f"every token to {forced}" if forced else "",
            f"top-{asked['top_k']}" if "top_k" in asked else "",
            f"router temperature {asked['temperature']:g}" if "temperature" in asked else "",
            "uniform gates" if "uniform_gates" in asked else "",
        ]
        return ", ".join(part for part in parts if part)
