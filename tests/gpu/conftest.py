# SPDX-License-Identifier: Apache-2.0
"""The device that these tests run on: a simulated one everywhere, CUDA where there is a GPU."""

from __future__ import annotations

import pytest
import torch

from moe_viz.model import Mixtral
from tests.conftest import random_model

from . import simulated
from .agreement import LENGTHS

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


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """The CPU's sums depend on how many threads share them, in the last bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def cpu() -> Mixtral:
    return random_model()


@pytest.fixture(scope="module")
def there(device) -> Mixtral:
    return random_model().to(device)


@pytest.fixture
def prompts(ids) -> list[list[int]]:
    return [part.tolist() for part in ids.split(LENGTHS)]
