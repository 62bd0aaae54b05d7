"""Recording: one pass of a model over texts, with every router's logits kept.

In: a model and texts. Out: a `Trace`. The recorder is a router hook like any other, and runs last,
so that what it keeps is what was executed. It changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .errors import InputError
from .model import Mixtral
from .prompts import Prompts
from .routing import Routing, TokenIndex
from .tokenizer import Encoding, Tokenizer, visible
from .trace import Trace, TracePrompt
from .unfinished import Unfinished

#: Tokens of prompts that are run together, and tokens whose loss is computed together.
BATCH_TOKENS, LOSS_TOKENS = 65_536, 1_024


class Recorder:
    """A router hook that keeps logits, experts and gates of up to `tokens` tokens."""

    def __init__(self, model: Mixtral, tokens: int) -> None:
        config = model.config
        shape = (config.layers, tokens)
        self.logits = torch.full((*shape, config.experts), torch.nan, device=model.device)
        self.experts = torch.full(
            (*shape, config.experts_per_token), -1, dtype=torch.int64, device=model.device
        )
        self.gates = torch.zeros((*shape, config.experts_per_token), device=model.device)

    def __call__(self, routing: Routing) -> None:
        """Keep a decision as it will be executed."""
        layer, k = routing.layer, routing.experts.shape[1]
        if k > self.experts.shape[2]:  # a hook chose more experts than the model does
            missing = k - self.experts.shape[2]
            self.experts = functional.pad(self.experts, (0, missing), value=-1)
            self.gates = functional.pad(self.gates, (0, missing))
        home = self.logits.device  # a layer may lie on another
        rows = routing.tokens.to(home)
        self.logits[layer].index_copy_(0, rows, routing.logits.to(home))
        self.experts[layer, :, :k].index_copy_(0, rows, routing.experts.to(home))
        self.gates[layer, :, :k].index_copy_(0, rows, routing.gates.to(home))

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All that was kept so far."""
        return {"logits": self.logits, "experts": self.experts, "gates": self.gates}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go on from what another recorder kept."""
        device = self.logits.device
        self.logits = tensors["logits"].to(device)
        self.experts, self.gates = tensors["experts"].to(device), tensors["gates"].to(device)

    def arrays(self, tokens: int) -> dict[str, np.ndarray]:
        """What was kept of the first `tokens` tokens, on the host."""
        return {
            "router_logits": self.logits[:, :tokens].cpu().numpy(),
            "experts": self.experts[:, :tokens].cpu().numpy().astype(np.int16),
            "gates": self.gates[:, :tokens].cpu().numpy(),
        }


def record(
    model: Mixtral,
    texts: str | Prompts | Sequence[str] | Sequence[Sequence[int]],
    labels: Sequence[str] | None = None,
    loss: bool = False,
    resume: str | Path | None = None,
) -> Trace:
    """Run texts through a model once, and keep what every router said about every token.

    `texts` is a text, a list of texts, curated `Prompts` (which bring their labels), or lists of
    token ids, which are run as they are. `labels` names each text, for grouping. With `loss`, the
    cross-entropy of each token given those before it is kept too, in nats. `resume` names a file
    that keeps what is done after each layer: should this be cut off, the same call goes on from
    there, with the same result; at the end the file is gone.

    Raises `InputError` for empty texts, ids outside the vocabulary, labels that do not match, and
    prompts longer than the context; all of that before anything is computed.

    >>> import moe_viz as mv
    >>> trace = mv.record(mv.load("8x7m"), ["Good morning.", "Guten Morgen."], labels=["en", "de"])
    >>> trace.router_logits.shape == (6, len(trace), 8), trace.labels
    (True, ('en', 'de'))
    """
    encodings, prompts = _encode(model, texts, labels)
    T = len(encodings.ids)
    lengths = [p.stop - p.start for p in prompts]
    file = None if resume is None else Unfinished(resume, model, encodings.ids, [loss, *lengths])
    recorder = Recorder(model, T)
    losses = torch.full((T,), torch.nan)
    token_ids = torch.tensor(encodings.ids)
    start = file.state if file else None
    if start is not None:
        recorder.restore(start.tensors)
        losses = start.tensors["losses"]
    with torch.inference_mode(), model.router_hooks(recorder):
        for number, (first, group) in enumerate(prompt_batches(prompts)):
            begun = None
            if start is not None and number <= start.batch:
                if number < start.batch:
                    continue
                begun = (start.layers, start.tensors["x"])
            rows = slice(group[0].start, group[-1].stop)
            sizes = [p.stop - p.start for p in group]
            index = TokenIndex.of_prompts(sizes, None, rows.start, first).to(model.device)
            sweep = model.sweep(
                token_ids[rows], sizes, index=index, last=loss, resume=begun, progress=True
            )
            x = None
            for layers, x in sweep:
                if file is not None:
                    file.save(number, layers, {**recorder.tensors, "losses": losses, "x": x})
            if loss:
                assert x is not None
                losses[rows] = token_losses(model, x, token_ids[rows], sizes)
    trace = assemble(
        model,
        encodings,
        prompts,
        recorder.arrays(T),
        generated=np.zeros(T, bool),
        loss=losses.numpy() if loss else None,
    )
    if file is not None:
        file.remove()
    return trace


def assemble(
    model: Mixtral,
    encoding: Encoding,
    prompts: Sequence[TracePrompt],
    arrays: dict[str, np.ndarray],
    generated: np.ndarray,
    loss: np.ndarray | None = None,
) -> Trace:
    """A trace from what was run and what was recorded, stamped with this model and this moment."""
    return Trace(
        **arrays,
        token_ids=np.array(encoding.ids, np.int32),
        tokens=encoding.pieces,
        spans=np.array(encoding.spans, np.int32).reshape(-1, 2),
        special=np.array(encoding.special, bool),
        generated=generated,
        prompts=tuple(prompts),
        provenance=replace(
            model.provenance,
            device=", ".join(map(str, model.devices)),
            date=datetime.now(UTC).isoformat(timespec="seconds"),
        ),
        layers=tuple(range(model.config.layers)),
        loss=loss,
    )


def token_losses(model: Mixtral, x: Tensor, token_ids: Tensor, lengths: Sequence[int]) -> Tensor:
    """Nats of each token given those before it in its prompt; NaN for first tokens. (T,), CPU."""
    targets = token_ids.to(x.device).roll(-1)  # the last row's target is dropped below
    losses = []
    for rows in (slice(n, n + LOSS_TOKENS) for n in range(0, len(x), LOSS_TOKENS)):
        logits = model.head(model.norm(x[rows])).float()  # (≤ LOSS_TOKENS, V): never all at once
        losses.append(functional.cross_entropy(logits, targets[rows], reduction="none"))
    result = torch.cat(losses).cpu().roll(1)
    starts = torch.tensor([0, *lengths]).cumsum(0)[:-1]
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


def _encode(
    model: Mixtral, texts: Any, labels: Sequence[str] | None
) -> tuple[Encoding, list[TracePrompt]]:
    """All texts as one encoding, end to end, and where each prompt lies in it."""
    if isinstance(texts, Prompts):
        labels = texts.labels if labels is None else labels
        texts = texts.texts
    if not isinstance(texts, Iterable) or isinstance(texts, bytes):
        raise InputError(
            f"Expected a text, a list of texts, Prompts, or token ids; found {texts!r:.80}."
        )
    items: list[Any] = [texts] if isinstance(texts, str) else list(texts)
    if items and isinstance(items[0], int | np.integer):
        items = [items]  # one prompt, given as ids
    if not items:
        raise InputError("There is nothing to record: give at least one text.")
    labels = [""] * len(items) if labels is None else [str(label) for label in labels]
    if len(labels) != len(items):
        raise InputError(
            f"Expected one label for each of the {len(items)} texts, found {len(labels)}."
        )
    if any("\ud800" <= c <= "\udfff" for label in labels for c in label):
        raise InputError("A label is not valid Unicode: it holds a lone surrogate.")
    ids, pieces, spans, special = [], [], [], []
    prompts: list[TracePrompt] = []
    for number, (item, label) in enumerate(zip(items, labels, strict=True)):
        try:
            text, encoding = encode_prompt(model, item)
        except InputError as error:
            raise InputError(f"Prompt {number}: {error}") from error
        prompts.append(TracePrompt(text, label, len(ids), len(ids) + len(encoding.ids)))
        ids += encoding.ids
        pieces += encoding.pieces
        spans += encoding.spans
        special += encoding.special
    return Encoding(ids, pieces, spans, special), prompts


def encode_prompt(model: Mixtral, item: str | Iterable[int]) -> tuple[str, Encoding]:
    """The text of a prompt and its tokens, checked against the model's vocabulary and context."""
    if isinstance(item, str):
        text, encoding = item, _tokenizer(model).encode(item)
    elif not isinstance(item, Iterable):
        raise InputError(
            f"Expected a text, or a list of token ids, found {type(item).__name__}: {item!r}."
        )
    else:
        ids = [int(i) for i in item]
        if not ids:
            raise InputError("The list of token ids is empty. Give at least one.")
        if min(ids) < 0 or max(ids) >= model.config.vocab_size:
            raise InputError(
                f"token ids must lie in 0 … {model.config.vocab_size - 1}, found {min(ids)} … "
                f"{max(ids)}. Were they made with another model's tokenizer?"
            )
        text, encoding = model.tokenizer.describe(ids) if model.tokenizer else _undescribed(ids)
    if len(encoding.ids) > model.config.context:
        raise InputError(
            f"It is {len(encoding.ids):,} tokens long; {model.config.name} has a context of "
            f"{model.config.context:,}. Shorten it, or split it into several prompts."
        )
    return text, encoding


def _tokenizer(model: Mixtral) -> Tokenizer:
    if model.tokenizer is None:
        raise InputError(
            "This model has no tokenizer, so it cannot read texts: give lists of token ids."
        )
    return model.tokenizer


def _undescribed(ids: list[int]) -> tuple[str, Encoding]:
    """Ids of a model without a tokenizer, drawn as numbers."""
    words = [f"{i} " for i in ids]
    ends = np.cumsum([len(word) for word in words]).tolist()
    spans = list(zip([0, *ends[:-1]], ends, strict=True))
    return "".join(words), Encoding(ids, [visible(w) for w in words], spans, [False] * len(ids))
