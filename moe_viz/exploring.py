# SPDX-License-Identifier: Apache-2.0
"""Seeing what a model does: `explore` of a trace, or of a model with a box to type into.

In: a trace. Out: its picture. Or in: a model, in a notebook with a kernel. Out: a box of
ipywidgets, which lives as long as the kernel, beside a picture, which is plain HTML; the box
replaces the picture through its display id, and the picture stays when the notebook is saved and
the kernel is gone. The prompts that were run are kept, so that they can be compared.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

from .errors import InputError, MissingDependencyError, MoeVizError
from .progress import quiet
from .trace import Trace
from .view.explorer.explorer import Explorer, check_scale, opened

if TYPE_CHECKING:  # torch is for those who run a model
    from .guests.guest import Recordable
    from .recording.given import Given, Text
    from .routing import Routing

#: How many prompts are kept for comparison.
KEPT = 12


class Cancelled(Exception):
    """The user has cancelled the run."""


class LivePrompt:
    """A prompt box and a picture; the last line of a notebook cell is enough to show them.

    `history` are the texts that were run, oldest first; `picture` shows all of them. `first` is
    run as soon as the box is shown.
    """

    def __init__(self, model: Recordable, scale: float = 1.0, first: Text | None = None) -> None:
        check_scale(scale)
        if model.tokenizer is None:
            raise InputError("This model has no tokenizer, so nothing typed here could be read.")
        try:
            import ipywidgets as widgets
            from IPython.display import HTML, display
        except ModuleNotFoundError as error:
            raise MissingDependencyError(
                f"The live prompt box needs the package {error.name}: pip install "
                "'moe-viz[lab]'. A recording is shown without it: explore(record(model, text))."
            ) from error
        self.model: Recordable = model
        self.scale: float = scale
        self.history: list[str] = []
        self._first: Text | None = first
        self._given: list[Given] = []  # what the texts were given as
        self.picture: Explorer | None = None
        self._display, self._html = display, HTML
        self._cancel = threading.Event()
        self._thread: threading.Thread | None = None
        self._handle: Any = None
        wide = widgets.Layout(width="100%")
        self.text: Any = widgets.Textarea(
            placeholder="Type a text, and run it through the model", rows=3, layout=wide
        )
        self.run_button: Any = widgets.Button(
            description="Run", button_style="primary", icon="play"
        )
        self.cancel_button: Any = widgets.Button(description="Cancel", icon="stop", disabled=True)
        self.past: Any = widgets.Dropdown(
            options=["earlier prompts"], layout=widgets.Layout(width="18em")
        )
        self.progress: Any = widgets.IntProgress(
            max=model.config.layers, layout={"visibility": "hidden"}
        )
        self.status: Any = widgets.Label(f"{model.provenance.title}: nothing has been run yet.")
        self.box: Any = widgets.VBox(
            [
                self.text,
                widgets.HBox([self.run_button, self.cancel_button, self.past, self.progress]),
                self.status,
            ]
        )
        self.run_button.on_click(lambda _: self.run(self.text.value))
        self.cancel_button.on_click(lambda _: self.cancel())
        self.past.observe(self._recall, names="value")

    def _ipython_display_(self) -> None:
        self._display(self.box)
        self._handle = self._display(
            self._html("<p>The picture appears here when a text has been run.</p>"),
            display_id=True,
        )
        if self._first is not None:
            self.run(self._first)

    def __repr__(self) -> str:
        return f"<Live prompt of {self.model.provenance.title}, {len(self.history)} prompts run>"

    def run(self, text: Text) -> threading.Thread | None:
        """Start running a prompt, and return its thread; None while another is running.

        In any form that `record` takes.
        """
        if self._thread is not None and self._thread.is_alive():
            return None
        self._cancel.clear()
        self.run_button.disabled, self.cancel_button.disabled = True, False
        self.progress.value, self.progress.layout.visibility = 0, "visible"
        self.status.value = "Running …"
        self._thread = threading.Thread(target=self._run, args=(text,), name="moe_viz live prompt")
        self._thread.start()
        return self._thread

    def cancel(self) -> None:
        """Stop the current run before its next layer."""
        self._cancel.set()

    def _run(self, text: Text) -> None:
        from .recording import record
        from .recording.given import one_prompt

        try:
            new = replace(one_prompt(text, "The prompt box"), label="")
            given = [*(one for one in self._given if one != new), new][-KEPT:]
            labels = [str(n + 1) for n in range(len(given))]
            with quiet(), self.model.router_hooks(self._watch):
                trace = record(self.model, [one.content for one in given], labels=labels)
            self._given, self.history = given, [prompt.text for prompt in trace.prompts]
            self.picture = Explorer(trace, prompt=len(given) - 1, scale=self.scale)
            self._show(self.picture)
            self.past.options = ["earlier prompts", *reversed(self.history)]
            tokens = trace.prompts[-1].stop - trace.prompts[-1].start
            self.status.value = f"{self.model.provenance.title}: {tokens} tokens."
        except Cancelled:
            self.status.value = "Cancelled. The picture shows the earlier prompts."
        except MoeVizError as error:
            self.status.value = str(error)
        except BaseException as error:  # whatever it is: a thread's error is seen by nobody else
            self.status.value = f"This run failed ({type(error).__name__}: {error})."
        finally:
            self.run_button.disabled, self.cancel_button.disabled = False, True
            self.progress.layout.visibility = "hidden"

    def _watch(self, routing: Routing) -> None:
        if self._cancel.is_set():
            raise Cancelled
        self.progress.value = routing.layer + 1

    def _show(self, picture: Explorer) -> None:
        if self._handle is not None:
            self._handle.update(self._html(picture.to_html()))

    def _recall(self, change: dict[str, Any]) -> None:
        if change["new"] in self.history:
            self.text.value = change["new"]


@overload
def explore(
    trace: Trace | Sequence[Trace],
    prompt: int = 0,
    layer: int | None = None,
    token: int | None = None,
    mode: str | None = None,
    scale: float = 1.0,
    beside: int | str | None = None,
    view: str = "tokens",
) -> Explorer: ...


@overload
def explore(trace: Recordable, prompt: Text | None = None, *, scale: float = 1.0) -> LivePrompt: ...


def explore(
    trace: Trace | Sequence[Trace] | Recordable,
    prompt: int | Text | None = 0,
    layer: int | None = None,
    token: int | None = None,
    mode: str | None = None,
    scale: float = 1.0,
    beside: int | str | None = None,
    view: str = "tokens",
) -> Explorer | LivePrompt:
    """An interactive picture of a trace, opened at a prompt, layer and token.

    `prompt` and `token` count from 0, the token within its prompt (0 is BOS); `layer` is the
    model's number (default: the first recorded). `mode` is what the map shows: the `first` choice;
    how many experts a token has `shared` with the selected one, which is what a model of 16 experts
    or more opens on; the first choice's `gate`, the `margin`, the `entropy`, the probability of one
    `expert`; or, for two traces of the same tokens, their `agreement`. Where the second of two
    traces is of an untrained twin, an expert's pieces stand beside what the twin does with them.
    `scale` multiplies all type, from 0.5 to 3: 1.5 or 2 for a lecture room. `beside` is another
    prompt, or another label, to compare this one with; it can be changed in the picture. `view` is
    the map: of `tokens` and layers, of `experts` and layers by their load, or of those `touched` by
    the tokens so far.

    With a model instead of a trace: a prompt box, in a notebook, beside the picture of what is
    typed there. `prompt` is then what is run first, in any form that `record` takes; apart from
    `scale` there is no other argument.

    Raises `InputError` for what the trace does not have, and for two traces of different tokens.
    """
    opening = {"layer": layer, "token": token, "mode": mode, "beside": beside, "view": view}
    if hasattr(trace, "router_hooks"):
        said = [name for name, value in opening.items() if value not in (None, "tokens")]
        if said:
            raise InputError(
                f"explore(model) takes no {said[0]}: nothing has been run yet. Record first: "
                f"explore(record(model, text), {said[0]}=…)."
            )
        first = None if isinstance(prompt, int) else prompt
        return LivePrompt(trace, scale, first)  # type: ignore[arg-type]
    return opened(trace, prompt=prompt, scale=scale, **opening)  # type: ignore[arg-type]
