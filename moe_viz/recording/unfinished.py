"""An unfinished recording, kept in a file so that it can continue where it was cut off.

In: after each layer, hidden states and what was recorded so far. Out: the same, in another process.
The file names the recording it belongs to (model, dtype, tokens), and is removed when that is done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import InputError
from ..files import atomic_path, check_writable
from ..model import Mixtral

_FORM = "moe_viz unfinished recording 1"


@dataclass(frozen=True)
class State:
    """How far a recording has come: batches done, layers of the next one, and its tensors."""

    batch: int
    layers: int
    tensors: dict[str, Tensor]


class Unfinished:
    """The file in which a recording keeps its state.

    Raises `InputError` if a file that belongs to something else is already there, and `OutputError`
    if none can be written.
    """

    def __init__(
        self, path: str | Path, model: Mixtral, ids: Sequence[int], lengths: Sequence[int]
    ) -> None:
        self.path: Path = Path(path)
        p = model.provenance
        what = (p.fingerprint, p.weights, p.dtype, p.quantisation, p.interventions)
        self._identity = hashlib.sha256(repr((what, list(ids), list(lengths))).encode()).hexdigest()
        self.state: State | None = self._load() if self.path.exists() else None
        check_writable(self.path)

    def _load(self) -> State:
        try:
            with safe_open(self.path, framework="pt") as file:
                header = file.metadata() or {}
                if header.get("form") != _FORM:
                    raise InputError(
                        f"{self.path}: is not an unfinished recording. Choose another path for "
                        "resume=; this file stays as it is."
                    )
                if header["identity"] != self._identity:
                    raise InputError(
                        f"{self.path}: belongs to another recording: other texts, another model, "
                        "or another dtype. Repeat the call that began it, choose another path for "
                        "resume=, or delete the file."
                    )
                tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise InputError(
                f"{self.path}: cannot be read as an unfinished recording ({error}). Choose another "
                "path for resume=, or delete the file to start again."
            ) from error
        return State(int(header["batch"]), int(header["layers"]), tensors)

    def save(self, batch: int, layers: int, tensors: dict[str, Tensor]) -> None:
        """Keep this state in place of the previous one."""
        header = {
            "form": _FORM,
            "identity": self._identity,
            "batch": str(batch),
            "layers": str(layers),
        }
        whole = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
        with atomic_path(self.path) as path:
            save_file(whole, path, metadata=header)

    def remove(self) -> None:
        """The recording is done."""
        self.path.unlink(missing_ok=True)
