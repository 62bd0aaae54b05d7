"""A trace: what every router said about every token, and where that was recorded.

In: arrays from `record` or `generate`, or a file. Out: the same arrays, selected or saved. A trace
is one safetensors file that is mapped into memory when it is read; opening it needs NumPy, and no
model, tokenizer or torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.numpy

from .errors import MissingDependencyError, TraceError
from .files import atomic_path
from .provenance import Provenance
from .tracefile import DAMAGED, map_arrays, read_header

if TYPE_CHECKING:
    import pyarrow

FORMAT = 1
_KEY = "moe_viz_trace"


@dataclass(frozen=True)
class TracePrompt:
    """One prompt of a trace: its text, its label, and its rows `start … stop`."""

    text: str
    label: str
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class Trace:
    """Routing decisions of L layers for T tokens, the tokens of all prompts end to end.

    Arrays of a loaded trace are read-only views of the file.
    """

    router_logits: np.ndarray  # (L, T, E) float32, before any softmax
    experts: np.ndarray  # (L, T, k) int16, strongest first; −1 where a slot was unused
    gates: np.ndarray  # (L, T, k) float32
    token_ids: np.ndarray  # (T,) int32
    tokens: Sequence[str]  # T pieces, as a person reads them
    spans: np.ndarray  # (T, 2) int32: characters of the prompt's text
    special: np.ndarray  # (T,) bool: BOS and the like; statistics leave these out
    generated: np.ndarray  # (T,) bool: sampled from the model
    prompts: tuple[TracePrompt, ...]
    provenance: Provenance
    layers: tuple[int, ...]  # the model's number of each row of the arrays
    loss: np.ndarray | None = None  # (T,) float32, nats; NaN where nothing predicts the token

    def __post_init__(self) -> None:
        L, T, E = _shape(self.router_logits, "router_logits", 3)
        k = _shape(self.experts, "experts", 3)[2]
        expected = {
            "experts": (L, T, k),
            "gates": (L, T, k),
            "token_ids": (T,),
            "spans": (T, 2),
            "special": (T,),
            "generated": (T,),
        }
        if self.loss is not None:
            expected["loss"] = (T,)
        for name, shape in expected.items():
            found = getattr(self, name).shape
            if found != shape:
                raise TraceError(f"{name} must be of shape {shape}, found {found}.")
        if len(self.tokens) != T or len(self.layers) != L:
            raise TraceError(
                f"Expected {T} tokens and {L} layers, found {len(self.tokens)} and "
                f"{len(self.layers)}."
            )
        ends = [0, *(prompt.stop for prompt in self.prompts)]
        starts = [*(prompt.start for prompt in self.prompts), T]
        if ends != starts or any(p.start >= p.stop for p in self.prompts):
            raise TraceError(f"The prompts must cover the {T} tokens end to end, none empty.")
        if k > E:
            raise TraceError(f"There are {E} experts, but {k} are chosen.")
        if not (L and T and k):
            raise TraceError(
                f"A trace needs a layer, a token and a choice, found {L}, {T} and {k} of them."
            )
        _refuse_surrogates("tokens", self.tokens)
        _refuse_surrogates("texts", (prompt.text for prompt in self.prompts))
        _refuse_surrogates("labels", (prompt.label for prompt in self.prompts))

    def __len__(self) -> int:
        """Number of tokens, T."""
        return len(self.token_ids)

    def __repr__(self) -> str:
        L, T, E = self.router_logits.shape
        return (
            f"<Trace of {self.provenance.title}: {len(self.prompts)} prompts, {T:,} tokens, "
            f"{L} layers, {E} experts>"
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that occur, in the order of their first prompt."""
        return tuple(dict.fromkeys(prompt.label for prompt in self.prompts))

    @property
    def margins(self) -> np.ndarray:
        """How close each choice was: k-th logit minus the next, (L, T). Infinite where k = E."""
        k = self.experts.shape[2]
        if k == self.router_logits.shape[2]:
            return np.full(self.router_logits.shape[:2], np.inf, np.float32)
        ranked = np.sort(self.router_logits, axis=2)[:, :, ::-1]
        return ranked[:, :, k - 1] - ranked[:, :, k]

    def select(
        self,
        label: str | Iterable[str] | None = None,
        prompt: int | Iterable[int] | None = None,
        layers: int | Iterable[int] | None = None,
    ) -> Trace:
        """The part of the trace with these labels, prompts (by number) and layers (by number).

        Raises `TraceError` where nothing is left, or something asked for is not there.
        """
        chosen = list(range(len(self.prompts)))
        if label is not None:
            wanted = _asked(label, self.labels, "labels")
            chosen = [n for n in chosen if self.prompts[n].label in wanted]
        if prompt is not None:
            wanted = _asked(prompt, range(len(self.prompts)), "prompts")
            chosen = [n for n in chosen if n in wanted]
        if not chosen:
            raise TraceError("No prompt has both this label and this number.")
        rows = list(range(len(self.layers)))
        if layers is not None:
            wanted = _asked(layers, self.layers, "layers")
            rows = [n for n in rows if self.layers[n] in wanted]
        kept = [self.prompts[n] for n in chosen]
        columns = np.concatenate([np.arange(p.start, p.stop) for p in kept])
        lengths = np.cumsum([0, *(p.stop - p.start for p in kept)])

        def pick(array: np.ndarray) -> np.ndarray:
            return array[rows][:, columns] if array.ndim == 3 else array[columns]

        return replace(
            self,
            router_logits=pick(self.router_logits),
            experts=pick(self.experts),
            gates=pick(self.gates),
            token_ids=pick(self.token_ids),
            tokens=[self.tokens[n] for n in columns],
            spans=pick(self.spans),
            special=pick(self.special),
            generated=pick(self.generated),
            prompts=tuple(
                replace(p, start=int(start), stop=int(stop))
                for p, start, stop in zip(kept, lengths, lengths[1:], strict=False)
            ),
            layers=tuple(self.layers[n] for n in rows),
            loss=None if self.loss is None else pick(self.loss),
        )

    def table(self) -> pyarrow.Table:
        """One row for each layer and token, as an Arrow table; needs pyarrow.

        Columns: prompt, label, layer, position, token_id, token, special, generated, margin,
        expert_0 … and gate_0 … (strongest first), logit_0 … (by expert number), and loss.
        """
        try:
            import pyarrow
        except ImportError as error:
            raise MissingDependencyError(
                "Trace.table() needs the package pyarrow: pip install 'moe-viz[arrow]'."
            ) from error
        L, T, E = self.router_logits.shape
        lengths = [p.stop - p.start for p in self.prompts]
        per_token = {
            "prompt": np.repeat(np.arange(len(lengths)), lengths),
            "label": np.repeat([p.label for p in self.prompts], lengths),
            "position": np.concatenate([np.arange(n) for n in lengths]),
            "token_id": self.token_ids,
            "token": np.asarray(self.tokens, dtype=object),
            "special": self.special,
            "generated": self.generated,
        }
        if self.loss is not None:
            per_token["loss"] = self.loss
        columns = {name: np.tile(values, L) for name, values in per_token.items()}
        columns["layer"] = np.repeat(self.layers, T)
        columns["margin"] = self.margins.reshape(-1)
        for slot in range(self.experts.shape[2]):
            columns[f"expert_{slot}"] = self.experts[:, :, slot].reshape(-1)
            columns[f"gate_{slot}"] = self.gates[:, :, slot].reshape(-1)
        for e in range(E):
            columns[f"logit_{e}"] = self.router_logits[:, :, e].reshape(-1)
        return pyarrow.table(columns)

    def save(self, path: str | Path) -> Path:
        """Write the trace to one file, whole or not at all; what stood there is replaced last."""
        path = Path(path)
        vocabulary = list(dict.fromkeys(self.tokens))
        number = {piece: n for n, piece in enumerate(vocabulary)}
        texts = [prompt.text.encode("utf-8") for prompt in self.prompts]
        arrays = {
            "router_logits": self.router_logits.astype(np.float32, copy=False),
            "experts": self.experts.astype(np.int16, copy=False),
            "gates": self.gates.astype(np.float32, copy=False),
            "token_ids": self.token_ids.astype(np.int32, copy=False),
            "pieces": np.array([number[piece] for piece in self.tokens], np.int32),
            "spans": self.spans.astype(np.int32, copy=False),
            "special": self.special.astype(np.uint8),
            "generated": self.generated.astype(np.uint8),
            "prompt_stops": np.array([prompt.stop for prompt in self.prompts], np.int64),
            "text_stops": np.cumsum([len(text) for text in texts], dtype=np.int64),
            "texts": np.frombuffer(b"".join(texts), np.uint8),
        }
        if self.loss is not None:
            arrays["loss"] = self.loss.astype(np.float32, copy=False)
        header = {
            "format": FORMAT,
            "pieces": vocabulary,
            "labels": [prompt.label for prompt in self.prompts],
            "layers": list(self.layers),
            "provenance": self.provenance.to_json(),
        }
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        with atomic_path(path) as temporary:
            safetensors.numpy.save_file(arrays, temporary, {_KEY: json.dumps(header)})
        return path

    @staticmethod
    def load(path: str | Path) -> Trace:
        """Open a trace file; its arrays are mapped, not read.

        Raises `TraceError` if the file is missing, damaged, of a later format, or no trace.
        """
        path = Path(path)
        metadata, layout = read_header(path)
        if _KEY not in metadata:
            raise TraceError(
                f"{path}: is a safetensors file, but no trace of moe_viz. Record one with "
                "moe_viz.record(…).save(path)."
            )
        try:
            header = json.loads(metadata[_KEY])
            if header["format"] > FORMAT:
                raise TraceError(
                    f"{path}: is of trace format {header['format']}, and this moe_viz reads up to "
                    f"{FORMAT}. Upgrade moe_viz."
                )
            return _assemble(header, map_arrays(path, layout))
        except TraceError as error:
            raise error if str(path) in str(error) else TraceError(f"{path}: {error}") from error
        except DAMAGED as error:
            raise TraceError(
                f"{path}: is a damaged trace ({type(error).__name__}: {error}). Record it again, "
                "or copy it again from where it came."
            ) from error


def _assemble(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Trace:
    """A trace from a file's header and arrays, none of which is trusted yet."""
    texts = arrays["texts"].tobytes()
    stops, ends = arrays["prompt_stops"].tolist(), arrays["text_stops"].tolist()
    labels = header["labels"]
    E = arrays["router_logits"].shape[-1]
    if not len(stops) == len(ends) == len(labels):
        raise ValueError(f"{len(stops)} prompts, {len(ends)} texts, {len(labels)} labels")
    if sorted(ends) != ends or (ends and (ends[0] < 0 or ends[-1] != len(texts))):
        raise ValueError("the texts do not lie end to end")
    vocabulary = [str(piece) for piece in header["pieces"]]
    pieces = arrays["pieces"]
    if pieces.size and not (pieces.min() >= 0 and pieces.max() < len(vocabulary)):
        raise ValueError("a token's piece is not in the list of pieces")
    experts = arrays["experts"]
    if experts.size and not (experts.min() >= -1 and experts.max() < E):
        raise ValueError(f"an expert lies outside −1 … {E - 1}")
    return Trace(
        router_logits=arrays["router_logits"],
        experts=experts,
        gates=arrays["gates"],
        token_ids=arrays["token_ids"],
        tokens=[vocabulary[n] for n in pieces],
        spans=arrays["spans"],
        special=arrays["special"] != 0,
        generated=arrays["generated"] != 0,
        prompts=tuple(
            TracePrompt(texts[a:b].decode("utf-8"), str(label), start, stop)
            for label, a, b, start, stop in zip(
                labels, [0, *ends], ends, [0, *stops], stops, strict=False
            )
        ),
        provenance=Provenance.from_json(header["provenance"]),
        layers=tuple(int(n) for n in header["layers"]),
        loss=arrays.get("loss"),
    )


def _shape(array: np.ndarray, name: str, ndim: int) -> tuple[int, ...]:
    if array.ndim != ndim:
        raise TraceError(f"{name} must have {ndim} dimensions, found {array.ndim}.")
    return array.shape


def _refuse_surrogates(name: str, texts: Iterable[str]) -> None:
    """What is no Unicode could be written to no file and shown on no page."""
    try:
        "".join(texts).encode("utf-8")
    except UnicodeEncodeError as error:
        raise TraceError(
            f"The {name} are not valid Unicode: there is a lone surrogate among them. Decode what "
            "they came from as UTF-8 first."
        ) from error


def _asked(wanted: Any, there: Iterable[Any], what: str) -> set[Any]:
    asked = {wanted} if isinstance(wanted, str | int | np.integer) else set(wanted)
    missing = asked - set(there)
    if missing:
        raise TraceError(f"The trace has no {what} {sorted(missing)}; it has {sorted(there)[:20]}.")
    return asked
