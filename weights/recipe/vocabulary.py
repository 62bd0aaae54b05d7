# SPDX-License-Identifier: Apache-2.0
"""Train the tokenizer: a SentencePiece BPE of 8192 pieces with byte fallback.

In: DIR/corpus/<domain>/train.jsonl (never the held-out text).  Out: DIR/tokenizer.model, checked
to give back every sampled text exactly, with no trace of where it was trained.

    python weights/recipe/vocabulary.py --work DIR
"""

from __future__ import annotations

import argparse
import io
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import sentencepiece
from corpus import read
from held_out import size
from sentencepiece import sentencepiece_model_pb2
from sources import DOMAINS

PIECES = 8192
SAMPLE = 4_000_000  # bytes per domain: the same from each, so that no domain owns the vocabulary
LONGEST_LINE = 4000  # characters; SentencePiece would drop a longer one


def sample_lines(work: Path) -> Iterator[str]:
    """Whole documents in random order, line by line, up to SAMPLE bytes per domain.

    Lines keep their indentation, so runs of spaces can become pieces.  They lose their newline,
    which therefore stays out of the alphabet and is always the one byte piece <0x0A>, as in
    Mixtral's own tokenizer.
    """
    for domain in DOMAINS:
        documents = list(read(work / "corpus" / domain / "train.jsonl"))
        random.Random(domain).shuffle(documents)
        left = SAMPLE
        for document in documents:
            # A document gives at most a hundredth, or a few giants would be the sample.
            text = document["text"][: SAMPLE // 100]
            left -= size(text)
            for line in text.split("\n"):
                if line:
                    yield line[:LONGEST_LINE]
            if left < 0:
                break


def train(work: Path) -> bytes:
    """The serialised model."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=sample_lines(work),
        model_writer=model,
        model_type="bpe",
        vocab_size=PIECES,
        byte_fallback=True,
        character_coverage=0.9995,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        add_dummy_prefix=True,
        max_sentence_length=4 * LONGEST_LINE,
        num_threads=2,
        minloglevel=1,
    )
    return model.getvalue()


def without_paths(serialised: bytes) -> bytes:
    """The same model with the trainer's file names cleared: they would tell of this machine.

    sentencepiece_model_pb2 needs the package protobuf, which sentencepiece does not install.
    """
    proto = sentencepiece_model_pb2.ModelProto()  # pyright: ignore[reportAttributeAccessIssue]
    proto.ParseFromString(serialised)
    for field in ("input", "model_prefix", "seed_sentencepieces_file"):
        proto.trainer_spec.ClearField(field)
    return proto.SerializeToString()


def check(work: Path, serialised: bytes) -> None:
    """Every domain's text survives encode and decode; print bytes per token on held-out text."""
    tokenizer = sentencepiece.SentencePieceProcessor(model_proto=serialised)
    assert tokenizer.vocab_size() == PIECES
    assert (tokenizer.bos_id(), tokenizer.eos_id(), tokenizer.pad_id()) == (1, 2, -1)
    edge_cases = [
        "def f(x):\n    if x:\n\t\treturn  [1,\n            22]\n\n\n",
        " x  y \n",
        "\n\n",
        "<s> </s> <0x0A>",
        "日本語 ☃ \U0001f600\r\n",
    ]
    for text in edge_cases:
        assert tokenizer.decode(tokenizer.encode(text)) == text, repr(text)
    for domain in DOMAINS:
        bytes_ = tokens = 0
        for document in read(work / "corpus" / domain / "held_out.jsonl"):
            ids = tokenizer.encode(document["text"])
            assert tokenizer.decode(ids) == document["text"], (domain, document["file"])
            bytes_, tokens = bytes_ + size(document["text"]), tokens + len(ids)
        print(f"{domain}: {bytes_ / tokens:.2f} bytes per token")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the tokenizer.")
    parser.add_argument("--work", type=Path, required=True, help="the folder corpus.py filled")
    work = parser.parse_args().work.resolve()
    target = work / "tokenizer.model"
    if target.exists():
        print("tokenizer.model is there already")
        return
    began = time.monotonic()
    serialised = without_paths(train(work))
    print(f"trained in {time.monotonic() - began:.0f} s", flush=True)
    check(work, serialised)
    partial = target.with_suffix(".partial")
    partial.write_bytes(serialised)
    os.replace(partial, target)


if __name__ == "__main__":
    main()
