# SPDX-License-Identifier: Apache-2.0
"""A trace: what every router said about every token, and where that was recorded.

In: arrays from `record` or `generate`, or a file. Out: the same arrays, selected or saved. A trace
is one safetensors file that is mapped into memory when it is read; opening it needs NumPy, and no
model, tokenizer or torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import TraceError
from .file import DAMAGED, read, write
from .format import pack, refuse_surrogates, unpack
from .held import HeldArray, hold, refuse_changed, without_file
from .numbers import gap_sentence, margins_of, not_finite
from .provenance import Provenance
from .table import table_of

if TYPE_CHECKING:
    import pyarrow


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

    Arrays of a loaded trace are read-only views of the file. Each time one is asked for, the file
    must be what was opened: `TraceError` if it was overwritten or cut short since.
    """

    router_logits: np.ndarray  # (L, T, E) float32, before any softmax
    experts: np.ndarray  # (L, T, k) int16, strongest first; −1 where a slot was unused
    gates: np.ndarray  # (L, T, k) float32
    token_ids: np.ndarray  # (T,) int32
    tokens: Sequence[str]  # T pieces, as a person reads them; len(trace) counts them
    spans: np.ndarray  # (T, 2) int32: characters of the prompt's text
    special: np.ndarray  # (T,) bool: BOS and the like; statistics leave these out
    generated: np.ndarray  # (T,) bool: sampled from the model
    prompts: tuple[TracePrompt, ...]
    provenance: Provenance
    layers: tuple[int, ...]  # the model's layer number of each of the L
    loss: np.ndarray | None = None  # (T,) float32, nats; NaN where nothing predicts the token

    _until_saved: ClassVar[Path | None] = None  # what record() keeps until this is on the disk

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
        if len(set(self.layers)) < L or min(self.layers, default=0) < 0:
            raise TraceError(f"A layer's number stands for one layer, found {self.layers}.")
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
        refuse_surrogates("tokens", self.tokens)
        refuse_surrogates("texts", (prompt.text for prompt in self.prompts))
        refuse_surrogates("labels", (prompt.label for prompt in self.prompts))

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
        """How close each choice was: k-th logit minus the next, (L, T). Infinite where k = E.

        NaN where the logits of an earlier version's recording hold NaN.
        """
        return margins_of(self.router_logits, self.experts.shape[2])

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

    @staticmethod
    def join(traces: Trace | Iterable[Trace]) -> Trace:
        """Several recordings of one model as one trace, their prompts one after the other.

        Raises `TraceError` where they are not of the same model, layers and experts.
        """
        parts = [traces] if isinstance(traces, Trace) else list(traces)
        if not parts:
            raise TraceError("There is no trace to join: give at least one.")
        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        for other in parts[1:]:
            if _run(other) != _run(first):
                raise TraceError(
                    f"Only recordings of one model, run the same way, can be joined: found "
                    f"{first!r} and {other!r}."
                )
        starts = np.cumsum([0, *(len(part) for part in parts)]).tolist()
        arrays = {
            name: np.concatenate([getattr(p, name) for p in parts], axis=axis)
            for axis, names in ((1, _DECISIONS), (0, _PER_TOKEN))
            for name in names
        }
        losses = [part.loss for part in parts if part.loss is not None]
        return replace(
            first,
            **arrays,
            tokens=[token for part in parts for token in part.tokens],
            prompts=tuple(
                replace(p, start=p.start + start, stop=p.stop + start)
                for part, start in zip(parts, starts, strict=False)
                for p in part.prompts
            ),
            loss=np.concatenate(losses) if len(losses) == len(parts) else None,
        )

    def table(self) -> pyarrow.Table:
        """One row for each layer and token, as an Arrow table; needs pyarrow.

        Columns: prompt, label, layer, position, token_id, token, special, generated, margin,
        expert_0 … and gate_0 … (strongest first), logit_0 … (by expert number), and loss. If an
        earlier version recorded NaN or infinity, the schema's metadata says so under "gaps".
        """
        where = not_finite(self.router_logits, self.gates)
        said = {"gaps": gap_sentence(int(where.sum()), where.size)} if where.any() else None
        return table_of(self._content(), self.margins, said)

    def save(self, path: str | Path) -> Path:
        """Write the trace to one file, whole or not at all; an existing one is replaced last.

        When the file is on the disk, the one that `record(…, resume=)` kept is removed. Raises
        `OutputError` where it cannot be written, or has no room.
        """
        write(Path(path), *pack(self._content()))
        if self._until_saved is not None:
            self._until_saved.unlink(missing_ok=True)
        return Path(path)

    def kept_until_saved(self, path: Path) -> Trace:
        """The same trace, which removes this file when it has been saved itself."""
        object.__setattr__(self, "_until_saved", path)
        return self

    @staticmethod
    def load(path: str | Path, whole: bool = False, copy: bool = False) -> Trace:
        """Open a trace file; its arrays are mapped, not read.

        Checksums of arrays beyond 64 MB are compared in parts, or in full if `whole` is asked for.
        With `copy` the arrays are read into memory, and what becomes of the file is no matter:
        right in a notebook whose file is copied over or written by another program meanwhile.

        Raises `TraceError` if the file is missing, damaged, of a later format, or not a trace.
        """
        path = Path(path)
        try:
            header, arrays, held = read(path, whole or copy)
            if copy:
                arrays = {name: np.array(array) for name, array in arrays.items()}
            content = unpack(header, arrays)
            refuse_changed(held)
            prompts = tuple(TracePrompt(*prompt) for prompt in content.pop("prompts"))
            trace = Trace(**content, prompts=prompts)
            if not copy:
                hold(trace, held)
            return trace
        except TraceError as error:
            raise error if str(path) in str(error) else TraceError(f"{path}: {error}") from error
        except DAMAGED as error:
            raise TraceError(
                f"{path}: is a damaged trace ({type(error).__name__}: {error}). Record it again, "
                "or copy it again from where it came."
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        return without_file(self)

    def _content(self) -> dict[str, Any]:
        """The fields by name, prompts as tuples: what a file holds and a table shows."""
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        return content | {"prompts": [astuple(prompt) for prompt in self.prompts]}


_DECISIONS = ("router_logits", "experts", "gates")
_PER_TOKEN = ("token_ids", "spans", "special", "generated")

for _name in (*_DECISIONS, *_PER_TOKEN, "loss"):
    setattr(Trace, _name, HeldArray(_name))


def _run(trace: Trace) -> tuple[Any, ...]:
    """What recordings must share to be one trace: the model, how it was run, and E and k."""
    p, E, k = trace.provenance, trace.router_logits.shape[2], trace.experts.shape[2]
    return p.title, p.fingerprint, trace.layers, E, k


def _shape(array: np.ndarray, name: str, ndim: int) -> tuple[int, ...]:
    if array.ndim != ndim:
        raise TraceError(f"{name} must have {ndim} dimensions, found {array.ndim}.")
    return array.shape


def _asked(wanted: Any, there: Iterable[Any], what: str) -> set[Any]:
    asked = {wanted} if isinstance(wanted, str | int | np.integer) else set(wanted)
    missing = asked - set(there)
    if missing:
        raise TraceError(f"The trace has no {what} {sorted(missing)}; it has {sorted(there)[:20]}.")
    return asked
