# SPDX-License-Identifier: Apache-2.0
"""Fixtures that several test folders share: small random Mixtrals, and transformers' own."""

from __future__ import annotations

import os

# Before torch starts its threads: spinning ones slow everything down on a shared machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:  # one process for each core: one thread for each
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from moe_viz.config import MixtralConfig
from moe_viz.model import Mixtral, initialise


def small_config(**changes) -> MixtralConfig:
    values = {
        "name": "small",
        "hidden_size": 48,
        "layers": 3,
        "heads": 4,
        "kv_heads": 2,
        "head_dim": 16,
        "expert_size": 40,
        "experts": 8,
        "experts_per_token": 2,
        "vocab_size": 101,
        "context": 256,
        "rope_theta": 1e4,
    }
    return MixtralConfig(**{**values, **changes})


def random_model(config: MixtralConfig | None = None, seed: int = 0, scale: float = 6.0) -> Mixtral:
    """A random Mixtral whose routers have opinions: weights `scale` times 0.02 wide."""
    model = initialise(Mixtral(config or small_config()), seed).requires_grad_(False)
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.copy_(torch.linspace(0.5, 1.5, len(parameter)))
        else:
            parameter.mul_(0.02 * scale / parameter.std())
    return model


@pytest.fixture(scope="session")
def model() -> Mixtral:
    return random_model()


@pytest.fixture
def ids() -> torch.Tensor:
    return torch.randint(0, 101, (57,), generator=torch.Generator().manual_seed(1))


#: Files of tests that take more than a few seconds: `make test-quick` leaves them out.
LONG = {
    *(f"test_analysis_{what}.py" for what in ("chance", "columns", "intervals", "p_values")),
    "test_analysis.py", "test_analysis_promises.py", "test_charts.py", "test_docs.py",
    "test_adapter.py", "test_effects.py", "test_effects_numbers.py", "test_estimate.py",
    "test_fp8.py", "test_fuzz.py", "test_gguf_files.py", "test_hub_cache.py",
    "test_hostile.py", "test_hub.py", "test_layout_files.py", "test_model.py", "test_mutate.py",
    "test_offload.py", "test_progress.py", "test_recipe.py", "test_record_fields.py",
    "test_stream.py", "test_training.py",
}  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.name in LONG:
            item.add_marker("long")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """On continuous integration a skipped test has failed, unless it lacks hardware."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        if item.get_closest_marker("cuda"):
            report.user_properties.append(("hardware", "CUDA"))
        else:
            report.outcome, report.longrepr = "failed", f"skipped on CI: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """Nor may a whole file be skipped there, for want of a package for instance."""
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome, report.longrepr = "failed", f"skipped on CI: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter):
    skipped = terminalreporter.stats.get("skipped", [])
    # A file that is skipped as it is collected has a report of another kind, without properties.
    missing = [r for r in skipped if ("hardware", "CUDA") in getattr(r, "user_properties", ())]
    if missing:
        terminalreporter.write_line(f"{len(missing)} tests need an NVIDIA GPU, which is not here.")
