# SPDX-License-Identifier: Apache-2.0
"""How a good file becomes a bad one: a random change that its number alone decides.

In: bytes, or what a JSON document holds, and a `random.Random`. Out: the same, changed in one to a
few places, as cosmic rays, full disks, other programs and ill will change files.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from random import Random
from typing import Any

#: Numbers at which programs stumble.
EDGES = (0, 1, -1, 2, 7, 8, 255, 256, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1,
         2**63, 2**64 - 1, 10**30, 10**400, -(2**63))  # fmt: skip
#: What may stand where something else is expected.
VALUES = (None, True, False, "", "a", "\ud800", "\x1b[2J", "../../etc/passwd", "<script>", [], {},
          [[]], {"a": {}}, 0.5, -0.0, float("nan"), float("inf"), 1e308, "9" * 400, "x" * 70_000,
          [0] * 3000)  # fmt: skip


def changed(data: bytes, random: Random) -> bytes:
    """Bytes with one to eight changes."""
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        data = random.choice(CHANGES)(data, random) or b"\0"
    return data


def _flip(data: bytes, random: Random) -> bytes:
    place = random.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << random.randrange(8))]) + data[place + 1 :]


def _number(data: bytes, random: Random) -> bytes:
    """An edge in place of a number of one to eight bytes."""
    width = random.choice((1, 2, 4, 8))
    place = random.randrange(max(1, min(len(data), random.choice((64, 4096, 2**40)))))
    number = (random.choice(EDGES) + random.randrange(-1, 2)) % 2 ** (8 * width)
    return data[:place] + number.to_bytes(width, "little") + data[place + width :]


def _cut(data: bytes, random: Random) -> bytes:
    return data[: random.randrange(len(data))]


def _drop(data: bytes, random: Random) -> bytes:
    a, b = _range(data, random)
    return data[:a] + data[b:]


def _repeat(data: bytes, random: Random) -> bytes:
    a, b = _range(data, random)
    return data[:b] + data[a:b] * random.choice((1, 1, 40)) + data[b:]


def _move(data: bytes, random: Random) -> bytes:
    (a, b), place = _range(data, random), random.randrange(len(data))
    return data[:place] + data[a:b] + data[place + b - a :]


def _noise(data: bytes, random: Random) -> bytes:
    a, b = _range(data, random)
    filling = random.choice((bytes(b - a), b"\xff" * (b - a), random.randbytes(b - a)))
    return data[:a] + filling + data[b:]


def _append(data: bytes, random: Random) -> bytes:
    return data + random.randbytes(random.choice((1, 8, 500)))


def _range(data: bytes, random: Random) -> tuple[int, int]:
    a = random.randrange(len(data))
    return a, min(len(data), a + random.choice((1, 4, 16, 300, 5000)))


CHANGES: tuple[Callable[[bytes, Random], bytes], ...] = (
    _flip, _flip, _number, _number, _cut, _drop, _repeat, _move, _noise, _append
)  # fmt: skip


def changed_json(document: Any, random: Random) -> bytes:
    """A document with one to eight of its values changed, or its text."""
    text = json.dumps(document)
    for _ in range(random.choice((1, 1, 2, 3, 8))):
        document = _value_changed(json.loads(text), random)
        text = json.dumps(document)
        if document is None:
            break
    data = text.encode("utf-8", "surrogatepass")
    return changed(data, random) if random.random() < 0.15 else data


def _value_changed(document: Any, random: Random) -> Any:
    """One value, found by a walk from the top, replaced, removed, renamed or doubled."""
    at = document
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            return document
        key = random.choice(keys)
        deeper = isinstance(at[key], dict | list) and at[key]
        if deeper and random.random() < 0.85:
            at = at[key]
            continue
        act = random.randrange(8)
        if act == 0:
            del at[key]
        elif act == 1 and isinstance(at, dict):
            at[random.choice((f"{key}_", "", str(key).upper(), "__class__"))] = at.pop(key)
        elif act == 2 and isinstance(at, list):
            at.insert(random.randrange(len(at) + 1), at[key])
        elif act == 3:
            at[key] = random.choice(EDGES)
        elif act == 4 and type(at[key]) is int:
            at[key] += random.choice((-1, 1, 2**31, -at[key] * 2))
        elif act == 5:
            at[key] = [at[key]] if random.random() < 0.5 else {"value": at[key]}
        else:
            at[key] = random.choice(VALUES)
        return document


def changed_tensors(data: bytes, random: Random) -> bytes:
    """A safetensors file: its header as JSON with the length that it has now, or any byte."""
    if random.random() < 0.4:
        return changed(data, random)
    (length,) = struct.unpack("<Q", data[:8])
    header = changed_json(json.loads(data[8 : 8 + length]), random)
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def changed_trace(data: bytes, random: Random) -> bytes:
    """A trace: also what our own header says, which lies as a text in that of safetensors."""
    if random.random() < 0.5:
        return changed_tensors(data, random)
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    own = changed_json(json.loads(header["__metadata__"]["moe_viz_trace"]), random)
    header["__metadata__"]["moe_viz_trace"] = own.decode("utf-8", "replace")
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]
