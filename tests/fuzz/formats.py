# SPDX-License-Identifier: Apache-2.0
"""The formats that are tried: good files, how they are changed, and what is done with the result.

What is opened is also used: tensors are read, texts encoded, pages made. Whatever is wrong with a
file must end in an error of this library.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import threading
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from unittest import mock
from urllib.parse import urlsplit

import sentencepiece
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_tensors

import moe_viz as mv
from moe_viz.checkpoint import open_checkpoint, save_checkpoint
from moe_viz.checkpoint.vocabulary import FolderVocabulary
from moe_viz.config import MixtralConfig
from moe_viz.model import Mixtral, initialise
from moe_viz.tokenization import Tokenizer
from moe_viz.view.pages.serve import serve
from moe_viz.view.pages.slides import save_notebook_page, save_slides
from tests import writers
from tests.fuzz.format import Format
from tests.fuzz.mutation import changed, changed_json, changed_tensors, changed_trace
from tests.unit.test_slides import cell, shown, write

SMALL = MixtralConfig(
    vocab_size=300, hidden_size=16, layers=2, heads=2, kv_heads=1, head_dim=8, experts=4,
    experts_per_token=2, expert_size=32, context=512, rope_theta=1e6, name="small",
)  # fmt: skip


def small_model() -> Mixtral:
    return initialise(Mixtral(SMALL), 3).requires_grad_(False)


# ---- Traces ------------------------------------------------------------------------------------


def traces(folder: Path) -> list[Path]:
    """With and without losses; without checksums, so that changes of numbers get in."""
    model = small_model()
    trace = mv.record(model, [[1, 5, 9], list(range(30))], labels=["a", "b"], loss=True)
    paths = [trace.save(folder / "whole"), replace(trace, loss=None).save(folder / "no loss")]
    for path in list(paths):
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        own = json.loads(header["__metadata__"]["moe_viz_trace"])
        del own["checksums"]
        without = path.with_name(f"{path.name}, unchecked")
        save_file(load_file(path), without, {"moe_viz_trace": json.dumps(own)})
        paths += [without, without]
    return paths


def use_trace(path: Path) -> None:
    trace = mv.Trace.load(path)
    for prompt in range(len(trace.prompts)):
        trace.select(prompt=prompt)
    mv.explore(trace).to_html()
    trace.save(path.with_name("again"))


# ---- Weights -----------------------------------------------------------------------------------


def checkpoint(folder: Path) -> Path:
    if not (folder / "config.json").exists():
        save_checkpoint(small_model(), folder, dtype=torch.float32)
    return folder


def safetensors(folder: Path) -> list[Path]:
    return [checkpoint(folder) / "model.safetensors"]


def use_weights(path: Path) -> None:
    opened = open_checkpoint(path.parent)
    opened.fingerprint()
    for name in opened:
        tensor = opened[name]
        whole = tensor if isinstance(tensor, torch.Tensor) else tensor.unpacked()
        whole.float().sum()


def configs(folder: Path) -> list[Path]:
    return [checkpoint(folder) / "config.json"]


def pickles(folder: Path) -> list[Path]:
    """As torch saves them now, and as it did before 2020."""
    tensors = load_tensors(checkpoint(folder) / "model.safetensors")
    torch.save(tensors, folder / "new")
    torch.save(tensors, folder / "old", _use_new_zipfile_serialization=False)
    return [folder / "new", folder / "old"]


def gguf(folder: Path) -> list[Path]:
    with mock.patch.object(writers, "TOKENIZER", pieces(folder)[0]):  # a small vocabulary
        plain = writers.write_gguf(small_model(), folder / "plain.gguf", merged=False)
        wide = initialise(Mixtral(replace(SMALL, hidden_size=32)), 1)
        packed = writers.write_gguf(wide, folder / "packed.gguf", True, {"ffn": "Q8_0"})
    return [plain, packed]


def use_gguf(path: Path) -> None:
    opened = open_checkpoint(path)
    opened.fingerprint()
    for name in opened:
        tensor = opened[name]
        whole = tensor if isinstance(tensor, torch.Tensor) else tensor.unpacked()
        whole.float().sum()
    opened.vocabulary.tokenizer().encode("Good morning")


# ---- Tokenizers --------------------------------------------------------------------------------

WORDS = "the quick brown fox jumps over the lazy dog, und die Füchse sprangen; où est-ce ? 1 2 3 \n"


def pieces(folder: Path) -> list[Path]:
    (folder / "text").write_text(WORDS * 20)
    paths = []
    for kind in ("bpe", "unigram"):
        sentencepiece.SentencePieceTrainer.train(
            input=str(folder / "text"), model_prefix=str(folder / kind), model_type=kind,
            vocab_size=300 if kind == "bpe" else 80, byte_fallback=kind == "bpe",
            hard_vocab_limit=False, minloglevel=3,
        )  # fmt: skip
        paths.append(folder / f"{kind}.model")
    return paths


def use_pieces(path: Path) -> None:
    tokenizer = Tokenizer(path)
    encoding = tokenizer.encode(f"{WORDS} <s>\x00 𝄞")
    tokenizer.decode(encoding.ids)


def tokenizer_json(folder: Path) -> list[Path]:
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    byte_level = tokenizers.Tokenizer(models.BPE())
    byte_level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_level.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<|a|>"], show_progress=False)
    byte_level.train_from_iterator([WORDS] * 5, trainer)
    byte_level.add_special_tokens(["<|end|>"])
    byte_level.save(str(folder / "bytes"))
    unigram = tokenizers.Tokenizer(models.Unigram([("<unk>", 0.0), ("a", -1.0), ("▁b", -2.0)], 0))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    unigram.save(str(folder / "unigram"))
    (folder / "config.json").write_text(json.dumps(SMALL.to_hf()))
    return [folder / "bytes", folder / "unigram"]


def use_tokenizer_json(path: Path) -> None:
    tokenizer = FolderVocabulary(path.parent, 400).tokenizer()
    tokenizer.decode(tokenizer.encode(f"{WORDS} <|end|>\x00 𝄞").ids)


# ---- Notebooks and addresses -------------------------------------------------------------------


def notebooks(folder: Path) -> list[Path]:
    return [
        write(
            folder / "book.ipynb",
            cell("markdown", "# A\n\n$x$ ![a](data:image/png;base64,aa)\n\n| a |\n|---|", "slide"),
            cell("code", "x = 1", "fragment", ["hide_code"], [shown("<p>An output.</p>")]),
            cell("code", "y", "subslide", ["solution"]),
            cell("markdown", "Note", "notes"),
        )
    ]


def use_notebook(path: Path) -> None:
    save = save_slides if path.stat().st_size % 2 else save_notebook_page
    save([path], path.with_suffix(".html"), execute=False)


def routes(folder: Path) -> list[Path]:
    """Requests, with a good token and without."""
    host = b"Host: 127.0.0.1:PORT\r\n"
    asked = {
        "token": b"GET /?token=TOKEN HTTP/1.1\r\n" + host + b"\r\n",
        "cookie": b"GET ROOM HTTP/1.1\r\n" + host + b"Cookie: moe-viz=COOKIE\r\n\r\n",
        "none": b"GET ROOM HTTP/1.1\r\n" + host + b"Accept: */*\r\n\r\n",
        "long": b"GET /?" + b"a=%ff&" * 900 + b" HTTP/1.0\r\n" + host * 60 + b"\r\n",
    }
    for name, request in asked.items():
        (folder / name).write_bytes(request)
    return [folder / name for name in asked]


@cache
def server() -> dict[bytes, bytes]:
    """Port, token, path and cookie of a server that lives as long as this process."""
    told: list[str] = []
    there = threading.Event()

    def said(address: str) -> None:
        told.append(address)
        there.set()

    page = "<!doctype html><p>the secret page"
    threading.Thread(target=partial(serve, page, said, browser=False), daemon=True).start()
    there.wait(30)
    address = urlsplit(told[0])
    asked = http.client.HTTPConnection("127.0.0.1", int(str(address.port)), timeout=10)
    asked.request("GET", f"/?{address.query}")
    answer = asked.getresponse()
    answer.read()
    match = re.match("moe-viz=(.+); Path=(.+); H", str(answer.headers["Set-Cookie"]))
    asked.close()
    assert match is not None
    return {
        b"PORT": str(address.port).encode(),
        b"TOKEN": address.query.removeprefix("token=").encode(),
        b"COOKIE": match[1].encode(),
        b"ROOM": match[2].encode(),
    }


def use_route(path: Path) -> None:
    known = server()
    sent = path.read_bytes()
    for name, value in known.items():
        sent = sent.replace(name, value)
    port = int(known[b"PORT"])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        answer = b""
        with suppress(OSError):  # it may hang up on what it does not understand
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                answer += part
    if b"the secret page" in answer and known[b"COOKIE"] not in sent:
        raise AssertionError(f"the page without its cookie: {sent!r}")
    told = known[b"COOKIE"] in answer and known[b"COOKIE"] not in sent  # an error repeats that
    if told and known[b"TOKEN"] not in sent:
        raise AssertionError(f"the cookie without the token: {sent!r}")
    if os.urandom(1)[0] < 8:  # and it still answers
        asked = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        cookie = f"moe-viz={known[b'COOKIE'].decode()}"
        asked.request("GET", known[b"ROOM"].decode(), headers={"Cookie": cookie})
        if b"the secret page" not in asked.getresponse().read():
            raise AssertionError("the server does not answer any more")
        asked.close()


FORMATS: dict[str, Format] = {
    "traces": Format(traces, changed_trace, use_trace, "trace.safetensors"),
    "safetensors": Format(
        safetensors, changed_tensors, use_weights, "model.safetensors", ("config.json",)
    ),
    "configs": Format(
        configs, lambda data, random: changed_json(json.loads(data), random), use_weights,
        "config.json", ("model.safetensors",),
    ),
    "pickles": Format(pickles, changed, use_weights, "pytorch_model.bin", ("config.json",)),
    "GGUF": Format(gguf, changed, use_gguf, "model.gguf"),
    "SentencePiece": Format(pieces, changed, use_pieces, "tokenizer.model"),
    "tokenizer.json": Format(
        tokenizer_json, lambda data, random: changed_json(json.loads(data), random),
        use_tokenizer_json, "tokenizer.json", ("config.json",),
    ),
    "notebooks": Format(
        notebooks, lambda data, random: changed_json(json.loads(data), random), use_notebook,
        "book.ipynb", share=0.1,
    ),
    "routes": Format(routes, changed, use_route, "request"),
}  # fmt: skip
