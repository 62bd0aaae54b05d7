# SPDX-License-Identifier: Apache-2.0
"""Recording: one pass of a model over texts, with every router's logits kept.

In: a model and texts. Out: a `Trace`. The recorder is a router hook like any other, and runs last,
so that what it keeps is what was executed. It changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..config import MixtralConfig
from ..errors import InputError, NumberError
from ..files import check_writable
from ..guests.guest import Guest, GuestConfig, Recordable
from ..model import Mixtral
from ..model.attached import Attached
from ..model.diagnosis import bad_output
from ..routing import TokenIndex
from ..tokenization import Encoding
from ..trace import Trace, TracePrompt
from .given import Texts
from .inputs import encode
from .recorder import Recorder
from .unfinished import Step, Unfinished

#: Tokens of prompts run together, and tokens whose loss is computed together.
BATCH_TOKENS, LOSS_TOKENS = 65_536, 1_024


def record(
    model: Recordable,
    texts: Texts,
    labels: Sequence[str] | None = None,
    loss: bool = False,
    resume: str | Path | None = None,
    out: str | Path | None = None,
) -> Trace:
    """Run texts through a model once, and keep what every router said about every token.

    `texts` is a text, `{label: text}`, curated `Prompts` (which bring their labels), a chat as
    `[{"role": …, "content": …}]`, or token ids, which are run as they are: a list, array or tensor,
    or what a tokenizer returned, its padding left out; or a list of any of these. `labels` names
    each text, for grouping. With `loss`, the cross-entropy of each token given those before it is
    kept too, in nats.

    `out` is where to save the trace. `resume` names a file that keeps what is done after each
    layer: if the run is cut off, the same call continues from there, with the same result. The file
    stays until the trace is saved, here or later; until then the same call gives it again at once.

    Raises `InputError` for empty texts, ids outside the vocabulary, labels that do not match, and
    prompts longer than the context, and `OutputError` where `out` or `resume` cannot be written,
    always before anything is computed.

    >>> import moe_viz as mv
    >>> trace = mv.record(mv.load("8x7m"), ["Good morning.", "Guten Morgen."], labels=["en", "de"])
    >>> trace.router_logits.shape == (6, len(trace), 8), trace.labels
    (True, ('en', 'de'))
    """
    encodings, prompts = encode(model, texts, labels)
    T, L = len(encodings.ids), len(model.config.mixtures)
    token_ids, recorder, attached = torch.tensor(encodings.ids), Recorder(model, T), model.attached
    losses = torch.full((T,), torch.nan)
    batches = list(prompt_batches(prompts))
    spans = [slice(group[0].start, group[-1].stop) for _, group in batches]
    file, done, begun = None, 0, None
    size = bytes_of_trace(model.config, T)
    if out is not None:
        _check_out(out, resume, size)
    if resume is not None:
        sizes = [rows.stop - rows.start for rows in spans]
        what = [loss, *(p.stop - p.start for p in prompts)]
        stamp = model.stamped(attached)
        file = Unfinished(resume, model, stamp, encodings.ids, what, max(sizes), size)
        steps, hidden = file.restore(sizes)
        for step in steps:
            if "logits" in step.tensors:
                recorder.restore(step.layers - 1, spans[step.batch], step.tensors)
            if "losses" in step.tensors:
                losses[spans[step.batch]] = step.tensors["losses"]
        done = sum(step.ended for step in steps)
        begun = None if hidden is None else (steps[-1].layers, hidden.to(model.device))
    with torch.inference_mode():
        for number in range(done, len(batches)):
            (first, group), rows = batches[number], spans[number]
            sizes = [p.stop - p.start for p in group]
            index = TokenIndex.of_prompts(sizes, None, rows.start, first).to(model.device)
            if isinstance(model, Guest):  # all layers at once, as transformers runs them
                kept = _pass(model, token_ids[rows], sizes, index, attached.then(recorder), loss)
                losses[rows] = kept
                if file is not None:
                    for row in range(L):
                        file.add(Step(number, row + 1, False, recorder.kept(row, rows)))
                    file.add(Step(number, L, True, {"losses": kept}))
                continue
            layers, x = begun or (0, None)
            sweep = model.sweep(
                token_ids[rows],
                sizes,
                index=index,
                last=loss,
                resume=begun,
                progress=True,
                attached=attached.then(recorder),
            )
            for layers, x in sweep:
                if file is not None:
                    file.add(Step(number, layers, False, recorder.kept(layers - 1, rows)), x)
            begun = None
            if loss:
                assert x is not None  # a model has a layer
                losses[rows] = token_losses(model, x, token_ids[rows], sizes)
            if file is not None:
                # Without loss the last layer has run as far as its router: nothing was kept yet.
                last = {"losses": losses[rows]} if loss else recorder.kept(L - 1, rows)
                file.add(Step(number, L, True, last))
    trace = assemble(
        model,
        attached,
        encodings,
        prompts,
        recorder.arrays(T),
        generated=np.zeros(T, bool),
        loss=losses.numpy() if loss else None,
    )
    if file is not None:
        trace.kept_until_saved(file.path)
    if out is not None:
        trace.save(out)
    return trace


def _pass(
    guest: Guest,
    ids: Tensor,
    sizes: list[int],
    index: TokenIndex,
    attached: Attached,
    loss: bool,
) -> Tensor:
    """The losses of a batch of a guest's, (T,), NaN where they are not asked for; hooks hear it."""
    if loss:
        return guest.losses(ids, sizes, index, attached, progress=True)
    guest(ids, sizes, "none", index=index, attached=attached, progress=True)
    return torch.full((len(ids),), torch.nan)


def bytes_of_trace(config: MixtralConfig | GuestConfig, tokens: int) -> int:
    """About how many bytes a recording of so many tokens takes in a file."""
    decision = 4 * config.experts + 6 * config.experts_per_token
    return tokens * (len(config.mixtures) * decision + 32)


def _check_out(out: str | Path, resume: str | Path | None, size: int) -> None:
    if resume is not None and os.path.realpath(out) == os.path.realpath(resume):
        raise InputError(f"{out}: out= and resume= name the same file. Choose another for resume=.")
    check_writable(out, size)


def assemble(
    model: Recordable,
    attached: Attached,
    encoding: Encoding,
    prompts: Sequence[TracePrompt],
    arrays: dict[str, np.ndarray],
    generated: np.ndarray,
    loss: np.ndarray | None = None,
) -> Trace:
    """A trace from what was run and what was recorded, stamped with this model and the time."""
    return Trace(
        **arrays,
        token_ids=np.array(encoding.ids, np.int32),
        tokens=encoding.pieces,
        spans=np.array(encoding.spans, np.int32).reshape(-1, 2),
        special=np.array(encoding.special, bool),
        generated=generated,
        prompts=tuple(prompts),
        provenance=replace(
            model.stamped(attached), date=datetime.now(UTC).isoformat(timespec="seconds")
        ),
        layers=model.config.mixtures,
        loss=loss,
        **model.routers(),
    )


def token_losses(model: Mixtral, x: Tensor, token_ids: Tensor, lengths: Sequence[int]) -> Tensor:
    """Nats of each token given those before it in its prompt; NaN for first tokens. (T,), CPU.

    Raises `NumberError` where the head gives NaN or infinity.
    """
    targets = token_ids.to(x.device).roll(-1)  # the last row's target is dropped below
    losses = []
    for rows in (slice(n, n + LOSS_TOKENS) for n in range(0, len(x), LOSS_TOKENS)):
        logits = model.head(model.norm(x[rows])).float()  # (≤ LOSS_TOKENS, V): never all at once
        losses.append(functional.cross_entropy(logits, targets[rows], reduction="none"))
    result = torch.cat(losses).cpu().roll(1)
    starts = torch.tensor([0, *lengths]).cumsum(0)[:-1]
    if not bool(result.isfinite().all()):
        row = int((~result.roll(-1).isfinite()).nonzero()[0])  # whose head it was
        prompt = int((starts <= row).sum()) - 1
        where = f", first after position {row - int(starts[prompt])} of prompt {prompt} of a batch"
        raise NumberError(bad_output(model, "losses", where))
    result[starts] = torch.nan
    return result


def prompt_batches(prompts: Sequence[TracePrompt]) -> Iterator[tuple[int, list[TracePrompt]]]:
    """Neighbouring prompts of at most BATCH_TOKENS tokens, with the first one's number."""
    group: list[TracePrompt] = []
    for number, prompt in enumerate(prompts):
        if group and prompt.stop - group[0].start > BATCH_TOKENS:
            yield number - len(group), group
            group = []
        group.append(prompt)
    yield len(prompts) - len(group), group
