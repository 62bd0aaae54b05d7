# SPDX-License-Identifier: Apache-2.0
"""The same Mixtral written in every layout there is, by other means than the library's own.

Hugging Face's files are written by transformers, GGUF by the `gguf` package. Mistral's are arranged
as transformers' conversion script (`convert_mixtral_weights_to_hf.py`) expects them, the other way
round; GGUF's as llama.cpp's (`convert_hf_to_gguf.py`) does it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from unittest.mock import patch

with patch.dict(sys.modules, {"mistral_common": None}):  # seconds, for what is not used here
    import gguf

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from moe_viz.checkpoint import save_checkpoint
from moe_viz.config import MixtralConfig
from moe_viz.files import embedded_folder
from moe_viz.model import Mixtral

TOKENIZER = embedded_folder() / "tokenizer.model"
Tensors = dict[str, Tensor]


def hugging_face_4(model: Mixtral, folder: Path) -> Path:
    save_checkpoint(model, folder, TOKENIZER, dtype=torch.float32)
    return folder


def hugging_face_5(model: Mixtral, folder: Path) -> Path:
    """The names that transformers 5 has in memory, in two shards with an index."""
    import transformers

    save_checkpoint(model, folder / "4", TOKENIZER, dtype=torch.float32)
    theirs = transformers.MixtralForCausalLM.from_pretrained(folder / "4", dtype=torch.float32)
    tensors = {k: v.contiguous() for k, v in theirs.state_dict().items()}
    names = sorted(tensors)
    index = {}
    for n, half in enumerate((names[::2], names[1::2])):
        save_file({k: tensors[k] for k in half}, folder / f"part-{n}.safetensors")
        index.update(dict.fromkeys(half, f"part-{n}.safetensors"))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    for name in ("config.json", "tokenizer.model"):
        (folder / name).write_bytes((folder / "4" / name).read_bytes())
    return folder


def _interleaved(weight: Tensor, heads: int) -> Tensor:
    """Rows of queries or keys as Mistral stores them: the two of a rotated pair side by side."""
    rows, columns = weight.shape
    paired = weight.view(heads, 2, rows // heads // 2, columns)
    return paired.transpose(1, 2).reshape(rows, columns).contiguous()


def _mistral_tensors(model: Mixtral, block: str) -> Tensors:
    config, tensors = model.config, {}
    spelled = {"embedding": "tok_embeddings", "head": "output", "moe_norm": "ffn_norm"}
    for name, weight in model.named_parameters():
        parts = name.split(".")
        key = ".".join(spelled.get(part, part) for part in parts)
        key = key.replace("moe.router", f"{block}.gate").replace("moe.experts", f"{block}.experts")
        heads = {"wq": config.heads, "wk": config.kv_heads}.get(parts[-2], 0)
        tensors[key] = _interleaved(weight, heads) if heads else weight.detach().contiguous()
    return tensors


def _mistral_files(model: Mixtral, folder: Path) -> None:
    c = model.config
    params = {
        "dim": c.hidden_size, "n_layers": c.layers, "head_dim": c.head_dim,
        "hidden_dim": c.expert_size, "n_heads": c.heads, "n_kv_heads": c.kv_heads,
        "norm_eps": c.norm_eps, "vocab_size": c.vocab_size, "max_seq_len": c.context,
        "rope_theta": c.rope_theta,
        "moe": {"num_experts": c.experts, "num_experts_per_tok": c.experts_per_token},
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.json").write_text(json.dumps(params))
    (folder / "tokenizer.model").write_bytes(TOKENIZER.read_bytes())


def mistral(model: Mixtral, folder: Path) -> Path:
    """One tensor per expert, `feed_forward.experts`, in one safetensors file."""
    _mistral_files(model, folder)
    save_file(_mistral_tensors(model, "feed_forward"), folder / "consolidated.safetensors")
    return folder


def mistral_stacked(model: Mixtral, folder: Path) -> Path:
    """The first release: experts stacked, w2 transposed, in several `.pt` files."""
    _mistral_files(model, folder)
    tensors = _mistral_tensors(model, "block_sparse_moe")
    for n in range(model.config.layers):
        stem = f"layers.{n}.block_sparse_moe"
        for matrix in ("w1", "w2", "w3"):
            experts = [
                tensors.pop(f"{stem}.experts.{e}.{matrix}.weight")
                for e in range(model.config.experts)
            ]
            if matrix == "w2":
                experts = [expert.T for expert in experts]
            tensors[f"{stem}.{matrix}"] = torch.cat(experts).contiguous()
    names = sorted(tensors)
    for n in range(3):
        torch.save({k: tensors[k] for k in names[n::3]}, folder / f"consolidated.{n:02}.pt")
    return folder


def packed(weight: np.ndarray, kind: str) -> np.ndarray:
    """A matrix as blocks of this type: quantised, or with random contents.

    The gguf package quantises the simple types only. For the others any bytes are a valid block, as
    long as its half-precision factors are no monsters.
    """
    number = gguf.GGMLQuantizationType[kind]
    try:
        return gguf.quants.quantize(weight, number)
    except NotImplementedError:
        width, size = gguf.GGML_QUANT_SIZES[number]
    rng = np.random.default_rng(len(kind) + weight.size)
    blocks = rng.integers(0, 256, (weight.size // width, size), dtype=np.uint8)
    for start in FACTORS[kind]:
        factor = rng.uniform(1e-3, 2e-3, len(blocks)).astype(np.float16)
        blocks[:, start : start + 2] = factor.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(*weight.shape[:-1], -1)


#: Where the half-precision factors of a block lie, for types with more than one number of them.
FACTORS = {
    "Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,),
    "IQ4_NL": (0,), "IQ4_XS": (0,),
}  # fmt: skip


def gguf_metadata(writer: gguf.GGUFWriter, config: MixtralConfig) -> None:
    writer.add_name("small model in a GGUF file")
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.expert_size)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_expert_count(config.experts)
    writer.add_expert_used_count(config.experts_per_token)
    writer.add_vocab_size(config.vocab_size)


def gguf_vocabulary(writer: gguf.GGUFWriter) -> None:
    """As llama.cpp's converter reads a SentencePiece file."""
    from sentencepiece import SentencePieceProcessor

    read = SentencePieceProcessor(model_file=str(TOKENIZER))
    ids = range(read.vocab_size())
    types = [
        2 if read.is_unknown(i) else 3 if read.is_control(i) else 6 if read.is_byte(i) else 1
        for i in ids
    ]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([read.id_to_piece(i) for i in ids])
    writer.add_token_scores([read.get_score(i) for i in ids])
    writer.add_token_types(types)
    writer.add_bos_token_id(read.bos_id())
    writer.add_eos_token_id(read.eos_id())
    writer.add_unk_token_id(read.unk_id())


def gguf_tensors(model: Mixtral, merged: bool) -> dict[str, np.ndarray]:
    """Names and values as llama.cpp's converter writes them."""
    config, weights = model.config, dict(model.named_parameters())
    arrays: dict[str, Tensor] = {
        "token_embd.weight": weights["embedding.weight"],
        "output_norm.weight": weights["norm.weight"],
        "output.weight": weights["head.weight"],
    }
    for n in range(config.layers):
        ours, theirs = f"layers.{n}", f"blk.{n}"
        wq, wk = (weights[f"{ours}.attention.{w}.weight"] for w in ("wq", "wk"))
        arrays |= {
            f"{theirs}.attn_q.weight": _interleaved(wq, config.heads),
            f"{theirs}.attn_k.weight": _interleaved(wk, config.kv_heads),
            f"{theirs}.attn_v.weight": weights[f"{ours}.attention.wv.weight"],
            f"{theirs}.attn_output.weight": weights[f"{ours}.attention.wo.weight"],
            f"{theirs}.attn_norm.weight": weights[f"{ours}.attention_norm.weight"],
            f"{theirs}.ffn_norm.weight": weights[f"{ours}.moe_norm.weight"],
            f"{theirs}.ffn_gate_inp.weight": weights[f"{ours}.moe.router.weight"],
        }
        for matrix, projection in (("w1", "ffn_gate"), ("w2", "ffn_down"), ("w3", "ffn_up")):
            experts = [
                weights[f"{ours}.moe.experts.{e}.{matrix}.weight"] for e in range(config.experts)
            ]
            if merged:
                arrays[f"{theirs}.{projection}_exps.weight"] = torch.stack([*experts])
            else:
                arrays |= {f"{theirs}.{projection}.{e}.weight": w for e, w in enumerate(experts)}
    return {k: v.detach().contiguous().numpy() for k, v in arrays.items()}


def write_gguf(
    model: Mixtral, path: Path, merged: bool, kinds: dict[str, str] | None = None
) -> Path:
    """A GGUF file; `kinds` says how tensors whose names contain a word are packed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, "llama")
    gguf_metadata(writer, model.config)
    gguf_vocabulary(writer)
    for key, array in gguf_tensors(model, merged).items():
        kind = next((kind for word, kind in (kinds or {}).items() if word in key), "F32")
        if kind == "F32":
            writer.add_tensor(key, array)
        else:
            data = packed(array, kind)
            writer.add_tensor(key, data, raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def gguf_split(model: Mixtral, folder: Path) -> Path:
    return write_gguf(model, folder / "model.gguf", merged=False)


def gguf_merged(model: Mixtral, folder: Path) -> Path:
    return write_gguf(model, folder / "model.gguf", merged=True)


LAYOUTS = {
    "Hugging Face": hugging_face_4,
    "Hugging Face, merged experts": hugging_face_5,
    "Mistral": mistral,
    "Mistral, stacked experts": mistral_stacked,
    "GGUF, one tensor per expert": gguf_split,
    "GGUF, merged experts": gguf_merged,
}
