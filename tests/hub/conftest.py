# SPDX-License-Identifier: Apache-2.0
"""A hub with a few small repositories, and a plain HTTP client."""

from __future__ import annotations

import random
from collections.abc import Iterator

import httpx
import pytest

from tests.hub.files import BytesFile, Repo
from tests.hub.process import RemoteHub
from tests.hub.server import Hub

WEIGHTS = random.Random(0).randbytes(3_000_000)  # three slices
CONFIG = b"hello\n"


def make_hub(**options) -> Hub:
    files = {
        "model.safetensors": BytesFile(WEIGHTS, lfs=True),
        "config.json": BytesFile(CONFIG, lfs=False),
        "with space/ä.txt": BytesFile(b"", lfs=False),
    }
    gated = Repo("org/gated", files, gated=True, tokens=["hf_in"])
    private = Repo("org/private", files, private=True, tokens=["hf_in"])
    return Hub([Repo("org/name", files), gated, private], tokens=["hf_out"], **options)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with make_hub() as hub:
        yield hub


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    # Nothing here is encrypted: not to read the list of authorities saves most of the time.
    with httpx.Client(timeout=5, trust_env=False, verify=False) as client:
        yield client


def resolved(hub: Hub | RemoteHub, client: httpx.Client, path: str = "model.safetensors") -> str:
    """The address that the hub gives for a file."""
    return client.get(f"{hub.endpoint}/org/name/resolve/main/{path}").headers["location"]


def get(client: httpx.Client, url: str, span: str = "") -> httpx.Response:
    return client.get(url, headers={"Range": f"bytes={span}"} if span else {})
