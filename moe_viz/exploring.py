# SPDX-License-Identifier: Apache-2.0
"""Seeing what a model does: `explore` of a trace, or of a model with a box to type into.

In: a trace. Out: its picture. Or in: a model, in a notebook with a kernel. Out: a box of
ipywidgets, which lives as long as the kernel, beside a picture, which is plain HTML and stays when
the notebook is saved and the kernel is gone. What was run is kept, so that it can be compared.
While a text is continued, the picture follows token by token.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

from .errors import InputError, MoeVizError
from .files import EMBEDDED
from .progress import quiet
from .trace import Trace
from .trace.kept import Kept
from .view.explorer.explorer import Explorer, check_scale, opened
from .view.explorer.standing import Standing
from .view.live.box import IN_A_PAGE, Box

if TYPE_CHECKING:  # torch is for those who run a model
    from .guests.guest import Recordable
    from .recording.given import Given, Text
    from .routing import Routing

#: How many prompts are kept for comparison.
KEPT = 12


class Cancelled(Exception):
    """The user has cancelled the run."""


class LivePrompt(Box):
    """A prompt box and a picture; the last line of a notebook cell is enough to show them.

    `history` are the texts that were run, oldest first; `picture` shows all of them, or, if
    something is switched, the last one beside its intact run. `first` is run when it is shown.
    """

    def __init__(self, model: Recordable, scale: float = 1.0, first: Text | None = None) -> None:
        check_scale(scale)
        if model.tokenizer is None:
            raise InputError("This model has no tokenizer, so nothing typed here could be read.")
        config = model.config
        super().__init__(config.mixtures, config.experts, config.experts_per_token, self._switched)
        self.model: Recordable = model
        self.scale: float = scale
        self.history: list[str] = []
        self._first: Text | None = first
        self._kept = Kept(KEPT)
        self.picture: Explorer | None = None
        self._standing: Standing | None = None  # once it is shown
        self._so_far: Trace | None = None  # what was written until it was cancelled
        self._cancel = threading.Event()
        self._thread: threading.Thread | None = None
        self.progress.max = config.layers
        self.status.value = f"{model.provenance.title}: nothing has been run yet."
        self.run_button.on_click(lambda _: self.run(self.text.value))
        self.continue_button.on_click(lambda _: self.write_on(self.text.value))
        self.cancel_button.on_click(lambda _: self.cancel())
        self.past.observe(self._recall, names="value")

    def _ipython_display_(self) -> None:
        self._display(self.box)
        line = IN_A_PAGE if self.model.config.name == EMBEDDED else ""
        self._standing = Standing(self._display, self._wrap, line)
        self._standing.say("The picture appears here when a text has been run.")
        if self._first is not None:
            self.run(self._first)

    def __repr__(self) -> str:
        return f"<Live prompt of {self.model.provenance.title}, {len(self.history)} prompts run>"

    def run(self, text: Text) -> threading.Thread | None:
        """Start running a prompt, and return its thread; None while another is running.

        In any form that `record` takes.
        """
        return self._start(self._record, text, self.model.config.layers)

    def write_on(self, text: Text, tokens: int | None = None) -> threading.Thread | None:
        """Start continuing a prompt, by as many tokens as the field says; else as `run`.

        The picture follows token by token; a cancelled text stays as far as it came.
        """
        wanted = tokens or int(self.length.value)
        return self._start(lambda given: self._generate(given, wanted), text, wanted)

    def cancel(self) -> None:
        """Stop the current run before its next layer."""
        self._cancel.set()

    def _switched(self) -> None:
        """Something was switched: the last text once more, if there is one."""
        try:
            with self._changed():
                pass
        except InputError as error:
            return self.switches.refused(str(error))
        if self.history:
            self._start(self._record, self.history[-1], self.model.config.layers)

    # ---- What `generate(watch=)` calls, in this box or elsewhere

    def due(self) -> bool:
        """Whether it is time for another trace."""
        return self._standing is None or self._standing.due()

    def follow(self, trace: Trace) -> None:
        """Show a trace that is still growing, at its last token."""
        self.progress.value = int(trace.generated.sum())
        if self._standing is not None:
            self._standing.follow(Explorer(trace, scale=self.scale).grown(trace))

    def done(self, trace: Trace) -> None:
        """Keep a trace that is whole, and show it beside the earlier ones."""
        from .recording.given import Given

        self._keep(Given(trace.prompts[-1].text), trace)

    # ---- In a thread of its own

    def _start(
        self, work: Callable[[Given], Trace], text: Text, steps: int
    ) -> threading.Thread | None:
        if self._thread is not None and self._thread.is_alive():
            return None
        self._cancel.clear()
        self.enable(running=True)
        self.progress.max, self.progress.value = steps, 0
        self.progress.layout.visibility = "visible"
        self.status.value = "Running …"
        self._thread = threading.Thread(target=self._run, args=(work, text), name="moe_viz box")
        self._thread.start()
        return self._thread

    def _run(self, work: Callable[[Given], Trace], text: Text) -> None:
        from .recording.given import one_prompt

        try:
            given = replace(one_prompt(text, "The prompt box"), label="")
            with quiet(), self.model.router_hooks(self._watch):
                trace = work(given)
            said = self._compare(given, trace) if self.switches.asked else self._keep(given, trace)
            tokens = trace.prompts[-1].stop - trace.prompts[-1].start
            end = " Cancelled: the text is kept as far as it came." if self._cancel.is_set() else ""
            self.status.value = f"{self.model.provenance.title}: {tokens} tokens.{end}{said}"
        except Cancelled:
            self.status.value = "Cancelled. The picture shows the earlier prompts."
            self._show()
        except MoeVizError as error:
            self.status.value = str(error)
        except BaseException as error:  # whatever it is: a thread's error is seen by nobody else
            self.status.value = f"This run failed ({type(error).__name__}: {error})."
        finally:
            self.enable(running=False)
            self.progress.layout.visibility = "hidden"

    def _record(self, given: Given) -> Trace:
        from .recording import record

        with self.model.router_hooks(self._advance), self._changed():
            return record(self.model, [given.content])

    def _generate(self, given: Given, tokens: int) -> Trace:
        from .recording import generate

        self._so_far = None
        try:
            with self._changed():
                return generate(self.model, given.content, tokens, watch=_Followed(self)).trace
        except Cancelled:
            if self._so_far is None:  # not even the prompt was read
                raise
            return self._so_far

    def _changed(self) -> AbstractContextManager[Any]:
        """What is switched, for a run: a thread inherits no block from outside."""
        from .intervention.block import intervene

        return intervene(self.model, **asked) if (asked := self.switches.asked) else nullcontext()

    def _watch(self, routing: Routing) -> None:
        if self._cancel.is_set():
            raise Cancelled

    def _advance(self, routing: Routing) -> None:
        self.progress.value = routing.layer + 1

    # ---- What has been run

    def _keep(self, given: Given, trace: Trace) -> str:
        """Put a recording with the earlier ones and show them all; what else is to be said."""
        said = self._remember(given, trace)
        token = len(trace) - 1 if trace.generated.any() else None  # where it was followed to
        last = len(self.history) - 1
        self.picture = Explorer(self._kept.joined(), prompt=last, token=token, scale=self.scale)
        self._show()
        return said

    def _remember(self, given: Given, trace: Trace) -> str:
        said = self._kept.add(given, trace)
        self.history = self._kept.texts
        self.past.options = ["earlier prompts", *reversed(self.history)]
        return said

    def _compare(self, given: Given, trace: Trace) -> str:
        """Show a changed run beside the intact one of the same tokens."""
        from .recording import record

        intact = record(self.model, [trace.token_ids.tolist()])
        said = self._remember(given, intact)
        self.picture = Explorer(trace, other=intact, view="experts", scale=self.scale)
        self._show()
        return f" Beside it: the intact run.{said}"

    def _show(self) -> None:
        if self._standing is not None and self.picture is not None:
            self._standing.show(self.picture)

    def _recall(self, change: dict[str, Any]) -> None:
        if change["new"] in self.history:
            self.text.value = change["new"]


class _Followed:
    """A text that the box itself continues: what it gives back is kept where `run` keeps it."""

    def __init__(self, box: LivePrompt) -> None:
        self.box, self.due, self.follow = box, box.due, box.follow

    def done(self, trace: Trace) -> None:
        """All that was written: where it was cancelled, nothing else returns it."""
        self.box._so_far = trace
        self.box.progress.value = int(trace.generated.sum())


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
    prompt or label to compare this one with. `view` is the map: of `tokens` and layers, of
    `experts` and layers by their load, or of those `touched` by the tokens so far.

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
