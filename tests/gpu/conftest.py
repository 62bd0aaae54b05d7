"""The device that these tests run on: a simulated one everywhere, CUDA where there is a GPU."""

from __future__ import annotations

import pytest
import torch

from . import simulated

CUDA = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU"),
]


@pytest.fixture(scope="session")
def sim() -> torch.device:
    try:
        return simulated.install()
    except ImportError:
        pytest.skip(f"torch {torch.__version__} cannot have a backend written in Python")


@pytest.fixture(scope="session", params=["simulated", pytest.param("cuda", marks=CUDA)])
def device(request) -> torch.device:
    if request.param == "simulated":
        return request.getfixturevalue("sim")
    return torch.device("cuda", torch.cuda.current_device())
