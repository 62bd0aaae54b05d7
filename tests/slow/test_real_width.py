# SPDX-License-Identifier: Apache-2.0
"""Two layers of Mixtral 8x7B's real width: wherever the weights lie, the same trace, bit for bit.

Random weights in bf16, 6.3 GB on disk, up to 13 GB of memory: `make test-slow`.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

import moe_viz as mv
from moe_viz.checkpoint.layout import hugging_face, shapes
from moe_viz.config import MixtralConfig
from moe_viz.placement.memory import available_memory
from tests import writers
from tests.hub.files import PathFile, Repo
from tests.hub.server import Hub
from tests.unit.test_stream import same

CONFIG = replace(MixtralConfig.preset("mixtral-8x7b"), layers=2)
PROMPTS = [list(range(5, 60)), [7], list(range(100, 140)), list(range(8000, 8030))]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    if available_memory() < 16e9:
        pytest.skip("needs 16 GB of free memory")
    folder = tmp_path_factory.mktemp("wide")
    generator = torch.Generator().manual_seed(0)
    index: dict[str, str] = {}
    named = list(shapes(CONFIG))
    for n, part in enumerate((named[: len(named) // 2], named[len(named) // 2 :])):
        tensors = {}
        for name, shape in part:
            weight = torch.empty(shape, dtype=torch.bfloat16)
            if "norm" in name:
                weight.fill_(1)
            else:
                weight.normal_(0, 0.02, generator=generator)
            tensors[hugging_face(name)] = weight
        save_file(tensors, folder / f"model-{n}.safetensors")
        index |= dict.fromkeys(tensors, f"model-{n}.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    (folder / "config.json").write_text(json.dumps(CONFIG.to_hf()))
    (folder / "tokenizer.model").write_bytes(writers.TOKENIZER.read_bytes())
    return folder


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("loss", [False, True])
def test_every_placement_gives_the_same_trace(folder, dtype, loss, monkeypatch):
    def recorded(source, placement: str) -> mv.Trace:
        return mv.record(mv.load(source, dtype=dtype, placement=placement), PROMPTS, loss=loss)

    resident = recorded(folder, "resident")
    assert same(recorded(folder, "stream"), resident)
    assert same(recorded(folder, "offload"), resident)
    files = {p.name: PathFile(p, lfs=True, etag="0" * 64) for p in folder.glob("*.safetensors")}
    files |= {p.name: PathFile(p, lfs=False) for p in folder.glob("*.*") if p.name not in files}
    with Hub([Repo("org/wide", files)]) as hub:
        template = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        assert same(recorded("org/wide", "stream"), resident)
