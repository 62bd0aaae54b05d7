# SPDX-License-Identifier: Apache-2.0
"""Writing text, token by token, with the routing of every token kept.

In: a model and a prompt. Out: the text and a `Trace` of prompt and generated tokens. The last
token is run too, so that generating gives the same trace as recording the same ids.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError, PlacementError
from ..guests.guest import Recordable
from ..model import Mixtral
from ..model.attached import Attached
from ..model.threads import one_thread
from ..placement.stream import StreamedMixtral
from ..routing import TokenIndex
from ..tokenization import without_special
from ..trace import Trace, TracePrompt
from .given import Given, Text, one_prompt
from .inputs import encode_prompt
from .recorder import Recorder
from .recording import assemble

#: Bytes of a matrix below which a second thread slows down its product with one token.
SMALL_MATRIX = 8 * 2**20


@dataclass(frozen=True)
class Generation:
    """What a model wrote."""

    text: str  # the new text alone
    token_ids: list[int]  # of the new tokens, including EOS if it came
    trace: Trace  # of prompt and new tokens


@runtime_checkable
class Watcher(Protocol):
    """What follows a trace while it grows: a picture in a notebook."""

    def due(self) -> bool:
        """Whether it is time for another trace."""
        ...

    def follow(self, trace: Trace) -> None:
        """The trace so far."""
        ...

    def done(self, trace: Trace) -> None:
        """The whole trace; where the writing was interrupted, as far as it came."""
        ...


def generate(
    model: Recordable,
    text: Text,
    max_new_tokens: int = 64,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    ignore_eos: bool = False,
    watch: Callable[[Trace], object] | Watcher | None = None,
) -> Generation:
    """Continue a text, a chat, or token ids until it ends, `max_new_tokens`, or the context's end.

    `text` is one prompt in any form that `record` takes; a chat is opened for its answer.

    Temperature 0 takes the likeliest token each time; above 0, tokens are sampled, from the
    smallest set of likeliest ones that holds `top_p` of the probability, the same ones for the
    same `seed`.

    `watch` is told of the trace so far, after the prompt and after each token: a function, or in a
    notebook what `explore` has made, whose picture then follows token by token. What it raises ends
    the writing.

    Raises `InputError` for an empty or too long text and for settings out of range.

    >>> import moe_viz as mv
    >>> out = mv.generate(mv.load("8x7m"), "The file", max_new_tokens=5, ignore_eos=True)
    >>> int(out.trace.generated.sum())
    5
    """
    if max_new_tokens < 1:
        raise InputError(f"max_new_tokens must be at least 1, found {max_new_tokens}.")
    if not (temperature == 0 or temperature >= 0.01):
        raise InputError(
            f"temperature must be 0 (the likeliest token) or at least 0.01, found {temperature}."
        )
    if not 1e-6 <= top_p <= 1:
        raise InputError(f"top_p must lie between 0.000001 and 1, found {top_p}.")
    if not 0 <= seed < 2**63:
        raise InputError(f"seed must lie between 0 and 2**63 − 1, found {seed}.")
    if isinstance(model, StreamedMixtral):
        raise PlacementError(
            f"A streamed model cannot generate: each of {max_new_tokens} tokens would read "
            f"{model.sweep_bytes / 1e9:,.1f} GB of weights. Write the text with a quantised file "
            "that fits into memory (placement='resident'), and record it with this model."
        )
    prompt = one_prompt(text, "generate")
    _, encoding = encode_prompt(model, prompt, generation_prompt=True)
    given = len(encoding.ids)
    room = min(max_new_tokens, model.config.context - given)
    if room < 1:
        raise InputError(
            f"The prompt fills the context of {model.config.context:,} tokens: there is no room "
            "to write. Shorten it."
        )
    ends = frozenset() if ignore_eos else ends_of(model)
    recorder, attached = Recorder(model, given + room), model.attached
    carried = attached.then(recorder)
    generator = torch.Generator().manual_seed(seed)
    ids = list(encoding.ids)

    def so_far() -> Generation:
        return _finish(model, attached, ids, given, prompt.label, recorder)

    with torch.inference_mode():
        cache: Any = model.new_cache(given + room)
        logits: Any = model(torch.tensor(ids), logits="last", cache=cache, attached=carried)
        # One index for every step, sliced: its rows are where the new tokens will be recorded.
        steps = TokenIndex.of_prompts([room], [given], first_token=given, generated=True)
        steps = steps.to(model.device)
        try:
            _tell(watch, so_far)
            with _products(model):
                for n in range(room):
                    token = choose(logits[0], temperature, top_p, generator)
                    last = n == room - 1 or token in ends
                    logits = model(
                        torch.tensor([token]),
                        logits="none" if last else "last",
                        cache=cache,
                        index=steps[n : n + 1],
                        attached=carried,
                    )
                    ids.append(token)
                    if last:
                        break
                    _tell(watch, so_far)
        finally:  # an interrupted text stays to be seen as far as it came
            written = so_far()
            if isinstance(watch, Watcher):
                watch.done(written.trace)
    if watch is not None and not isinstance(watch, Watcher):
        watch(written.trace)
    return written


def _tell(
    watch: Callable[[Trace], object] | Watcher | None, so_far: Callable[[], Generation]
) -> None:
    """Tell whoever watches of the trace so far, if it is time."""
    if isinstance(watch, Watcher):
        if watch.due():
            watch.follow(so_far().trace)
    elif watch is not None:
        watch(so_far().trace)


def ends_of(model: Recordable) -> frozenset[int]:
    """Ids that end a text: the tokenizer's, and those that the checkpoint's config names."""
    eos = model.tokenizer and model.tokenizer.eos
    return model.ends if eos is None else model.ends | {eos}


def choose(logits: Tensor, temperature: float, top_p: float, generator: torch.Generator) -> int:
    """The next token from its logits (V,).

    >>> choose(torch.tensor([0.0, 2.0, 1.0]), 0.0, 1.0, torch.Generator())
    1
    """
    if temperature == 0:
        return int(logits.argmax().cpu())
    # Drawn on the CPU, so that a seed gives the same text on every device.
    probabilities = (logits.float().cpu() / temperature).softmax(-1)
    ranked, order = probabilities.sort(descending=True, stable=True)
    before = ranked.cumsum(0) - ranked
    ranked[before >= top_p] = 0
    return int(order[torch.multinomial(ranked, 1, generator=generator)])


def _products(model: Recordable) -> AbstractContextManager[None]:
    """How the products of one token are best computed.

    With a small matrix on a CPU such a product is over before a second thread has woken up.
    """
    if not isinstance(model, Mixtral):
        return nullcontext()
    layer = model.layers[0]
    largest = max(w.nbytes for w in chain(layer.parameters(), layer.buffers()))
    return one_thread() if model.device.type == "cpu" and largest < SMALL_MATRIX else nullcontext()


def _finish(
    model: Recordable,
    attached: Attached,
    ids: list[int],
    given: int,
    label: str,
    recorder: Recorder,
) -> Generation:
    whole, encoding = encode_prompt(model, Given(ids))
    # The new text begins where the first new token does; there may be none yet.
    start = encoding.spans[given][0] if len(ids) > given else len(whole)
    generated = np.arange(len(ids)) >= given
    trace = assemble(
        model,
        attached,
        encoding,
        [TracePrompt(whole, label, 0, len(ids))],
        recorder.arrays(len(ids)),
        generated=generated,
    )
    return Generation(without_special(whole, encoding, start), ids[given:], trace)
