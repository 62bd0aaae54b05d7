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
from .choice import margins, probabilities, ranking
from .file import DAMAGED, read, write
from .format import pack, refuse_surrogates, unpack
from .held import HeldArray, held_by, hold, refuse_changed, without_file
from .numbers import gap_sentence, not_finite
from .parts import DECISIONS, PER_TOKEN, joined, selected
from .provenance import Provenance
from .rule import MIXTRAL, Rule
from .table import table_of

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class TracePrompt:
    """One prompt of a trace: its text, its label, and its rows `start … stop`.

    In a corpus it is a document, or a `part` of one that was longer than the context: 0 is the
    first, and the others follow it. `document` is the id that the corpus has for it, if any.
    """

    text: str
    label: str
    start: int
    stop: int
    document: str = ""
    part: int = 0


@dataclass(frozen=True, eq=False)
class Trace:
    """Routing decisions of L layers for T tokens, the tokens of all prompts end to end.

    Arrays of a loaded trace are read-only views of the file. Each time one is asked for, the file
    must be what was opened: `TraceError` if it was overwritten or cut short since.
    """

    # −∞ for an expert that a layer does not have. Typed as Any too: our own recordings have logits,
    # and each use would have to ask.
    router_logits: np.ndarray | Any  # (L, T, E) float32, before any softmax; None if not recorded
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
    rule: Rule = MIXTRAL  # how choice and gates follow from the logits; Mixtral's by default
    bias: np.ndarray | None = None  # (L, E) float32, for the choice alone, where the rule has one
    choice_scores: np.ndarray | None = None  # (L, T, E) float32, where the choice went by these
    scored: tuple[bool, ...] = ()  # of each layer: whether its choice goes by scores; () is all
    expert_count: int = 0  # E; of a trace with logits, as many as they have
    model_layers: int = 0  # layers of the model, those without experts too; 0 where not known
    mixtures: tuple[int, ...] = ()  # those that have experts; () is all, as in Mixtral

    _until_saved: ClassVar[Path | None] = None  # what record() keeps until this is on the disk

    def __post_init__(self) -> None:
        L, T, k = _shape(self.experts, "experts", 3)
        if self.router_logits is not None:
            L, T, E = _shape(self.router_logits, "router_logits", 3)
            object.__setattr__(self, "expert_count", E)
        E = self.expert_count
        expected: dict[str, tuple[int, ...]] = {
            "experts": (L, T, k),
            "gates": (L, T, k),
            "token_ids": (T,),
            "spans": (T, 2),
            "special": (T,),
            "generated": (T,),
            "loss": (T,),
            "bias": (L, E),
            "choice_scores": (L, T, E),
        }
        for name, shape in expected.items():
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise TraceError(f"{name} must be of shape {shape}, found {array.shape}.")
        self._check_rule(L)
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
        refuse_surrogates("ids of documents", (prompt.document for prompt in self.prompts))

    def _check_rule(self, L: int) -> None:
        """Raise `TraceError` where the rule needs what is not there."""
        if self.scored and len(self.scored) != L:
            raise TraceError(f"scored must tell of {L} layers, found {len(self.scored)}.")
        last = max((*self.layers, *self.mixtures), default=0)
        if self.model_layers and last >= self.model_layers:
            raise TraceError(f"Layer {last} is not one of the model's {self.model_layers}.")
        if self.mixtures and not set(self.layers) <= set(self.mixtures):
            raise TraceError(
                f"Layers {self.layers} were recorded, and {self.mixtures} have experts."
            )
        needed = {
            "bias": bool(self.rule.bias) and self.router_logits is not None,
            "choice_scores": self.rule.choice == "stored",
        }
        for name, needs in needed.items():
            if needs and getattr(self, name) is None:
                raise TraceError(f"The trace's rule needs {name}, and they are missing.")
        if self.expert_count % self.rule.groups:
            raise TraceError(
                f"{self.expert_count} experts do not make {self.rule.groups} equal groups."
            )

    def __len__(self) -> int:
        """Number of tokens, T."""
        return len(self.token_ids)

    def __repr__(self) -> str:
        (L, T), E = self.experts.shape[:2], self.expert_count
        return (
            f"<Trace of {self.provenance.title}: {len(self.prompts)} prompts, {T:,} tokens, "
            f"{L} layers, {E} experts>"
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that occur, in the order of their first prompt."""
        return tuple(dict.fromkeys(prompt.label for prompt in self.prompts))

    def ranking(self, row: int, tokens: slice = slice(None)) -> np.ndarray:
        """What the choice of a layer went by, (T, E): its k largest were chosen.

        These are the router's logits where the largest win, as in Mixtral; else scores, with a bias
        or in groups, as `rule` says. `row` counts the trace's layers from 0.

        Raises `TraceError` where the trace does not hold it.
        """
        return ranking(self, row, tokens)

    def probabilities(self, row: int, tokens: slice = slice(None)) -> np.ndarray:
        """The softmax over all experts of a layer, (T, E), for a router that takes one.

        Raises `TraceError` where the router scores each expert by itself: its scores are no
        probabilities, and an entropy of them says nothing.
        """
        return probabilities(self, row, tokens)

    @property
    def margins(self) -> np.ndarray:
        """How close each choice was, (L, T): the k-th of what it went by, minus the next.

        In logits where the largest win (`rule.plain`), else in scores. Infinite where k = E. NaN
        in layers whose choice goes by no scores, and where the logits of an earlier version's
        recording hold NaN. Raises `TraceError` where the trace does not hold what choices went by.
        """
        return margins(self)

    def select(
        self,
        label: str | Iterable[str] | None = None,
        prompt: int | Iterable[int] | None = None,
        layers: int | Iterable[int] | None = None,
    ) -> Trace:
        """The part of the trace with these labels, prompts (by number) and layers (by number).

        Raises `TraceError` where nothing is left, or something asked for is not there.
        """
        return selected(self, label, prompt, layers)

    @staticmethod
    def join(traces: Trace | Iterable[Trace]) -> Trace:
        """Several recordings of one model as one trace, their prompts one after the other.

        Raises `TraceError` where they are not of the same model, layers and experts.
        """
        return joined([traces] if isinstance(traces, Trace) else list(traces))

    def table(self) -> pyarrow.Table:
        """One row for each layer and token, as an Arrow table; needs pyarrow.

        Columns: prompt, label, layer, position, token_id, token, special, generated, margin,
        expert_0 … and gate_0 … (largest gate first), logit_0 … (by expert number), loss,
        document and part; margin, logits, loss and document where the trace has them. If an
        earlier version recorded NaN or infinity, the schema's metadata says so under "gaps".
        """
        where = not_finite(self.router_logits, self.gates)
        said = {"gaps": gap_sentence(int(where.sum()), where.size)} if where.any() else None
        try:
            margins = self.margins
        except TraceError:
            margins = None
        return table_of(self._content(), margins, said)

    def save(self, path: str | Path) -> Path:
        """Write the trace to one file, whole or not at all; an existing one is replaced last.

        When the file is on the disk, the one that `record(…, resume=)` kept is removed. Raises
        `OutputError` where it cannot be written, or has no room.
        """
        write(Path(path), *pack(self._content()))
        if self._until_saved is not None:
            self._until_saved.unlink(missing_ok=True)
        return Path(path)

    def with_prompts(self, prompts: tuple[TracePrompt, ...]) -> Trace:
        """The same arrays, of the same file, with other words about the prompts."""
        trace = replace(self, prompts=prompts)
        hold(trace, held_by(self))
        return trace

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


for _name in (*DECISIONS, *PER_TOKEN):
    setattr(Trace, _name, HeldArray(_name))


def _shape(array: np.ndarray, name: str, ndim: int) -> tuple[int, ...]:
    if array.ndim != ndim:
        raise TraceError(f"{name} must have {ndim} dimensions, found {array.ndim}.")
    return array.shape
