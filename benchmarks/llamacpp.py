# SPDX-License-Identifier: Apache-2.0
"""moe_viz and transformers against llama.cpp itself, on files that llama.cpp quantised.

    pip install llama-cpp-python     # builds llama.cpp, which takes a while; nothing else needs it
    PYTHONPATH=. python benchmarks/llamacpp.py [--pure]

8x7m is written as a GGUF file, which llama.cpp then quantises, by its own recipe for each type or
with `--pure` all matrices as the one type. Eight curated prompts go through every file, one at a
time: llama.cpp on the CPU, without flash attention, its cache in float32; moe_viz on the packed
file, float32; transformers in float32 on what the gguf package dequantised.

A row gives the relative error of both against llama.cpp's logits of all tokens (norm of the
difference over norm of llama.cpp's), their ratio, and the difference of the two over the norm of
transformers'. llama.cpp rounds the inputs of a packed matrix too, as the others do not: hence the
errors, much of which come from a few tokens whose experts are near a tie. Asked: ours at most twice
transformers'; on float32 weights at most 1e-4; and 1e-5 between the two, since an unpacking that
is slightly wrong would hide below llama.cpp's rounding. Then: how many curated prompts become the
same tokens, and what llama.cpp says to one tensor per expert. Exits with 1 where anything is not as
asked.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import llama_cpp  # type: ignore[import-not-found]
import numpy as np
import torch
import transformers
from rich.console import Console
from rich.table import Table

import moe_viz as mv
from moe_viz.files import embedded_folder
from moe_viz.model import Mixtral
from tests.writers import write_gguf

CONTEXT = 512
TYPES = (
    "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K_M", "Q4_K_M", "Q5_K_M",
    "Q6_K", "IQ4_NL", "IQ4_XS",
)  # fmt: skip
ASKED_RATIO, ASKED_FLOAT32, ASKED_BETWEEN = 2.0, 1e-4, 1e-5

#: GGUF's names of a layer's tensors → transformers' names; the experts' are two in one there.
IN_LAYER = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_gate_inp": "mlp.gate",
}  # fmt: skip

said: list[str] = []


@llama_cpp.llama_log_callback
def listen(level: int, text: bytes, _: object) -> None:
    """Keep warnings (3), errors (4) and what continues them (5); the rest is a lot."""
    if level in (3, 4, 5):
        said.append(text.decode("utf-8", "replace"))


# ---- The three that compute --------------------------------------------------------------------


class LlamaCpp:
    """llama.cpp with one file."""

    def __init__(self, path: Path, cache: int = llama_cpp.GGML_TYPE_F32) -> None:
        self.model = llama_cpp.Llama(
            str(path), n_ctx=CONTEXT, n_batch=CONTEXT, n_gpu_layers=0, logits_all=True,
            flash_attn=False, type_k=cache, type_v=cache, verbose=False,
        )  # fmt: skip

    def logits(self, prompts: list[list[int]]) -> np.ndarray:
        """Logits of all tokens, (T, V)."""
        parts = []
        for prompt in prompts:
            self.model.reset()
            self.model.eval(prompt)
            parts.append(self.model.scores[: len(prompt)].copy())
        return np.concatenate(parts)

    def tokens(self, text: str) -> list[int]:
        return self.model.tokenize(text.encode(), add_bos=True, special=False)


def ours(model: Mixtral, prompts: list[list[int]]) -> np.ndarray:
    with torch.inference_mode():
        return np.concatenate([model(torch.tensor(prompt)).numpy() for prompt in prompts])


def theirs(model: transformers.MixtralForCausalLM, prompts: list[list[int]]) -> np.ndarray:
    with torch.inference_mode():
        return np.concatenate([model(torch.tensor([p])).logits[0].numpy() for p in prompts])


# ---- Files -------------------------------------------------------------------------------------


def quantised(source: Path, kind: str, pure: bool) -> Path:
    """The file as llama.cpp quantises it."""
    path = source.with_name(f"{kind}.gguf")
    how = llama_cpp.llama_model_quantize_default_params()
    how.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}")
    how.nthread = torch.get_num_threads()
    how.pure = pure
    said.clear()
    if llama_cpp.llama_model_quantize(str(source).encode(), str(path).encode(), ctypes.byref(how)):
        raise RuntimeError(f"llama.cpp does not quantise to {kind}: {''.join(said)}")
    return path


def dequantised(
    path: Path, config: transformers.MixtralConfig
) -> tuple[dict[str, torch.Tensor], str]:
    """The weights as transformers names and arranges them, and the types of the matrices."""
    stored = gguf.GGUFReader(path).tensors
    kinds = Counter(t.tensor_type.name for t in stored if len(t.shape) > 1)
    read = {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in stored}
    state = {
        "model.embed_tokens.weight": read.pop("token_embd.weight"),
        "model.norm.weight": read.pop("output_norm.weight"),
        "lm_head.weight": read.pop("output.weight"),
    }
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for n in range(config.num_hidden_layers):
        layer = f"model.layers.{n}"
        for name, spelled in IN_LAYER.items():
            weight = read.pop(f"blk.{n}.{name}.weight")
            if name in heads:  # the two that are rotated together: from neighbours to half a head
                paired = weight.reshape(heads[name], -1, 2, weight.shape[1])
                weight = paired.swapaxes(1, 2).reshape(weight.shape)
            state[f"{layer}.{spelled}.weight"] = weight
        gate, up, down = (read.pop(f"blk.{n}.ffn_{w}_exps.weight") for w in ("gate", "up", "down"))
        state[f"{layer}.mlp.experts.gate_up_proj"] = np.concatenate([gate, up], axis=1)
        state[f"{layer}.mlp.experts.down_proj"] = down
    assert not read, list(read)
    kinds.pop("F32" if len(kinds) > 1 else "", None)  # the routers, which always are
    counted = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
    return {k: torch.tensor(v) for k, v in state.items()}, counted


# ---- What is printed ---------------------------------------------------------------------------


def relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm((a - b).astype(np.float64)) / np.linalg.norm(b.astype(np.float64)))


class Comparison:
    """One table; `add` a file at a time."""

    def __init__(self, prompts: list[list[int]], title: str) -> None:
        self.prompts, self.failed = prompts, False
        self.table = Table(title=title)
        for name in ("file", "matrices", "moe_viz", "transformers", "ratio", "asked", "between"):
            left = name in ("file", "matrices")
            self.table.add_column(name, justify="left" if left else "right", no_wrap=name == "file")
        self.transformers = transformers.MixtralForCausalLM.from_pretrained(
            embedded_folder(), dtype=torch.float32, attn_implementation="eager",
            experts_implementation="eager",
        ).eval()  # fmt: skip

    def add(
        self, what: str, path: Path, float32: bool = False, cache: int = llama_cpp.GGML_TYPE_F32
    ) -> None:
        state, kinds = dequantised(path, self.transformers.config)
        self.transformers.load_state_dict(state, strict=True)
        reference = LlamaCpp(path, cache).logits(self.prompts)
        b = theirs(self.transformers, self.prompts)
        model: Any = mv.load(path, device="cpu", dtype="float32", placement="resident")
        a = ours(model, self.prompts)
        errors = relative(a, reference), relative(b, reference)
        ratio = errors[0] / errors[1]
        between = relative(a, b)
        if not float32:
            asked, fine = f"ratio ≤ {ASKED_RATIO:.0f}", ratio <= ASKED_RATIO
        elif cache == llama_cpp.GGML_TYPE_F32:
            asked, fine = f"error ≤ {ASKED_FLOAT32:.0e}", errors[0] <= ASKED_FLOAT32
        else:
            asked, fine = "", True
        cells = [what, kinds, *(f"{e:.2e}" for e in errors), f"{ratio:.3f}"]
        cells.append(self.verdict(asked, fine))
        cells.append(self.verdict(f"{between:.1e}", between <= ASKED_BETWEEN))
        self.table.add_row(*cells)

    def verdict(self, text: str, fine: bool) -> str:
        self.failed |= not fine
        return text if fine else f"[red]{text}[/]"


def same_tokens(path: Path, texts: Sequence[str]) -> int:
    """How many texts moe_viz and llama.cpp turn into the same tokens."""
    tokenizer, reference = mv.load(path, device="cpu").tokenizer, LlamaCpp(path)
    assert tokenizer is not None
    return sum(tokenizer.encode(text).ids == reference.tokens(text) for text in texts)


def refusal(path: Path) -> str:
    """What llama.cpp says to a file; nothing where it takes it."""
    said.clear()
    try:
        LlamaCpp(path)
    except ValueError as error:
        return f"{''.join(said)}{error}"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pure", action="store_true", help="all matrices of a file as one type")
    args = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    llama_cpp.llama_log_set(listen, ctypes.c_void_p(0))
    console = Console(width=110)
    model = mv.load("8x7m", device="cpu")
    assert model.tokenizer is not None
    texts = mv.prompts.curated().texts
    encoded = [model.tokenizer.encode(text).ids for text in texts]
    prompts = [ids for ids in encoded if len(ids) <= 200][::21][:8]
    comparison = Comparison(
        prompts,
        f"llama-cpp-python {llama_cpp.__version__}, moe_viz {mv.__version__}, transformers "
        f"{transformers.__version__}, torch {torch.__version__}; {len(prompts)} prompts, "
        f"{sum(map(len, prompts)):,} tokens" + (", pure" if args.pure else ""),
    )
    with tempfile.TemporaryDirectory() as folder:
        plain = write_gguf(model, Path(folder) / "F32.gguf", merged=True)
        comparison.add("F32", plain, float32=True)
        comparison.add("F32, f16 cache", plain, float32=True, cache=llama_cpp.GGML_TYPE_F16)
        for kind in TYPES:
            path = quantised(plain, kind, args.pure)
            comparison.add(kind, path)
            path.unlink()
        console.print(comparison.table)
        same = same_tokens(plain, texts)
        console.print(f"The same tokens: {same} of {len(texts)} prompts.")
        split = write_gguf(model, Path(folder) / "split.gguf", merged=False)
        message = refusal(split).replace(f"{folder}/", "")
        console.print(f"One tensor per expert, llama.cpp: {message or 'takes it.'}", markup=False)
    sys.exit(comparison.failed or same < len(texts))


if __name__ == "__main__":
    main()
