# SPDX-License-Identifier: Apache-2.0
"""Records of vLLM, SGLang and transformers, in the forms that their documentation gives."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import moe_viz as mv
from moe_viz.errors import InputError, TraceError
from moe_viz.files import embedded_folder
from moe_viz.trace import Rule

L, K, E = 3, 2, 8
RNG = np.random.default_rng(4)
PROMPT, ANSWER = [5, 6, 7, 8], [9, 10, 11]
WHOLE = RNG.integers(0, E, (len(PROMPT) + len(ANSWER) - 1, L, K))


def packed(routes: np.ndarray, dtype: str = "uint8") -> str:
    file = io.BytesIO()
    np.save(file, routes.astype(dtype))
    return base64.b64encode(file.getvalue()).decode()


def of_21(**change: Any) -> dict[str, Any]:
    """vLLM 0.21: nested lists, the prompt's apart."""
    choice = {"routed_experts": WHOLE[len(PROMPT) :].tolist(), "token_ids": ANSWER}
    said = {"prompt_routed_experts": WHOLE[: len(PROMPT)].tolist(), "prompt_token_ids": PROMPT}
    return {**said, "choices": [choice | change]}


def of_22(**change: Any) -> dict[str, Any]:
    """vLLM since 0.22: an array file in base64, prompt and answer in one."""
    choice = {"routed_experts": packed(WHOLE), "prompt_token_ids": PROMPT, "token_ids": ANSWER}
    return {"choices": [choice | change]}


def sglang(dtype: str = "int32", **change: Any) -> dict[str, Any]:
    flat = base64.b64encode(WHOLE.astype(dtype).tobytes()).decode()
    meta = {"routed_experts": flat, "prompt_tokens": len(PROMPT), "completion_tokens": len(ANSWER)}
    meta |= {} if dtype == "int32" else {"routed_experts_dtype": dtype}
    return {"text": "…", "output_ids": ANSWER, "meta_info": meta | change}


def sglang_openai() -> dict[str, Any]:
    flat = base64.b64encode(WHOLE.astype("int32").tobytes()).decode()
    return {"choices": [{"text": "…", "sgl_ext": {"routed_experts": flat}}]}


BESIDE: dict[str, Any] = {"layers": [1, 2, 4], "k": K, "ids": [PROMPT + ANSWER]}
RESPONSES = {
    "vLLM 0.21": (of_21(), {"layers": [1, 2, 4]}),
    "vLLM 0.22": (of_22(), {"layers": [1, 2, 4]}),
    "vLLM, int32": (of_22(routed_experts=packed(WHOLE, "int32")), {"layers": [1, 2, 4]}),
    "SGLang": (sglang(), BESIDE),
    "SGLang, uint16": (sglang("uint16"), BESIDE),
    "arrays": ([WHOLE], BESIDE),
}


@pytest.mark.parametrize(("record", "beside"), RESPONSES.values(), ids=RESPONSES)
def test_a_response_becomes_a_trace_of_choices(record, beside, tmp_path):
    trace = mv.import_routes(record, experts=E, model="Qwen3-30B-A3B", **beside)
    assert np.array_equal(trace.experts, WHOLE.transpose(1, 0, 2))
    assert trace.token_ids.tolist() == [*PROMPT, *ANSWER[:-1]]  # the last one was never run
    assert (trace.layers, trace.expert_count, trace.router_logits) == ((1, 2, 4), E, None)
    if record != [WHOLE]:
        assert trace.generated.tolist() == [False] * 4 + [True] * 2
    back = mv.Trace.load(trace.save(tmp_path / "t"))
    assert back.rule == trace.rule
    assert not back.rule.gated
    with pytest.raises(TraceError, match="hands out the chosen experts alone"):
        back.margins  # noqa: B018


def test_the_openai_form_of_sglang_is_read():
    trace = mv.import_routes(sglang_openai(), experts=E, **BESIDE)
    assert np.array_equal(trace.experts, WHOLE.transpose(1, 0, 2))


def test_files_of_responses_are_read(tmp_path):
    one, many = tmp_path / "one.json", tmp_path / "many.jsonl"
    one.write_text(json.dumps(of_22()))
    many.write_text("\n".join(json.dumps(record) for record in (of_22(), of_21())))
    assert len(mv.import_routes(one, experts=E)) == 6
    trace = mv.import_routes(many, experts=E, labels=["a", "b"])
    assert trace.labels == ("a", "b")
    assert np.array_equal(trace.select(prompt=1).experts, WHOLE.transpose(1, 0, 2))


def test_what_needs_choices_alone_works_and_the_rest_says_what_is_missing(tmp_path):
    tokenizer = mv.load("8x7m").tokenizer
    assert tokenizer is not None
    ids = [list(range(40, 90)), list(range(300, 350))]
    routes = [RNG.integers(0, E, (50, L, K)) for _ in ids]
    trace = mv.import_routes(routes, experts=E, ids=ids, tokenizer=tokenizer, labels=["a", "b"])
    assert trace.prompts[0].text == tokenizer.describe(ids[0])[0]
    found = mv.report(trace)
    assert {"load", "repetition", "coactivation", "transitions", "paths"} <= set(found.findings)
    assert {"certainty", "margins"} <= set(found.left_out)
    assert "chosen experts alone" in found.left_out["margins"]
    assert mv.save_page(trace, tmp_path / "page.html").stat().st_size > 10_000
    shares = mv.analysis.load(trace).where(label="a", layer=0)["share"]
    np.testing.assert_allclose(shares, np.bincount(routes[0][:, 0].ravel(), minlength=E) / 100)


WRONG = {
    "no number of experts": (of_22(), {"experts": None}, "says how many experts a layer has"),
    "too few experts": (of_22(), {"experts": 3}, "names expert 7, and experts=3"),
    "no routing": ({"choices": []}, {}, "holds no routing"),
    "a server without it": (of_22(routed_experts=None), {}, "start vLLM with"),
    "no ids": (of_22(token_ids=None), {}, "does not hold its token ids"),
    "other ids": (of_22(token_ids=[9]), {}, r"6 rows for 5 token ids"),
    "ids of others": (of_22(), {"ids": [[1], [2]]}, "a list for each of 1 prompts"),
    "no array": (of_22(routed_experts="????"), {}, "no whole numbers of shape"),
    "objects": (of_22(routed_experts=packed(WHOLE.astype(float), "float32")), {}, "no whole"),
    "lists of lists": (of_22(routed_experts=[[1]]), {}, "no whole numbers of shape"),
    "ragged": (of_22(routed_experts=[[[1]], [[1, 2]]]), {}, "no whole numbers of shape"),
    "layers that are not there": (of_22(), {"layers": [0]}, "names 1 layers, and the record has 3"),
    "SGLang without a shape": (sglang(), {}, "come as one row: say layers="),
    "SGLang of another shape": (sglang(), {**BESIDE, "k": 7}, "are no ids of 3 layers and 7"),
    "labels": (of_22(), {"labels": ["a", "b"]}, "a label for each of 1 prompts"),
    "something else": (5, {}, "takes a response of vLLM or SGLang"),
}


@pytest.mark.parametrize(("record", "change", "said"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_said(record, change, said):
    with pytest.raises(InputError, match=said):
        mv.import_routes(record, **{"experts": E, **change})


def test_a_file_that_is_none(tmp_path):
    (tmp_path / "a.json").write_text("{")
    for path in (tmp_path / "a.json", tmp_path / "none"):
        with pytest.raises(InputError, match="is no JSON"):
            mv.import_routes(path, experts=E)


def test_an_array_file_runs_no_code():
    file = io.BytesIO()
    np.save(file, np.array([{}], object), allow_pickle=True)
    record = of_22(routed_experts=base64.b64encode(file.getvalue()).decode())
    with pytest.raises(InputError, match="no whole numbers"):
        mv.import_routes(record, experts=E)


def test_logits_that_transformers_returned_are_our_recording():
    ours = mv.load("8x7m")
    hf = transformers.MixtralForCausalLM.from_pretrained(embedded_folder(), dtype="float32")
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    with torch.inference_mode():
        out: Any = hf(input_ids=ids, attention_mask=mask, output_router_logits=True)
    trace = mv.import_logits(out.router_logits, ids, mask, tokenizer=ours.tokenizer)
    expected = mv.record(ours, [[5, 6, 7, 8], [9, 10]])
    assert np.array_equal(trace.experts, expected.experts)
    np.testing.assert_allclose(trace.router_logits, expected.router_logits, atol=1e-5)
    np.testing.assert_allclose(trace.gates, expected.gates, atol=1e-5)
    assert [p.text for p in trace.prompts] == [p.text for p in expected.prompts]
    with pytest.raises(InputError, match="choices do not follow from router logits alone"):
        mv.import_logits(out.router_logits, ids, mask, rule=Rule("sigmoid", bias="scores"))
    with pytest.raises(InputError, match="must be of one shape"):
        mv.import_logits(out.router_logits, ids, mask[:1])
    with pytest.raises(TraceError, match="expected router logits of 4 tokens"):
        mv.import_logits(out.router_logits, ids[:1])
    with pytest.raises(InputError, match="gates do not follow"):
        mv.import_logits(out.router_logits, ids, mask, rule=Rule(gates=False))
    with pytest.raises(InputError, match=r"k must lie in 1 … 8, .* found 9"):
        mv.import_logits(out.router_logits, ids, mask, k=9)
    shares = [layer.softmax(-1) for layer in out.router_logits]
    with pytest.raises(InputError, match="These are probabilities"):
        mv.import_logits(shares, ids, mask)
    same = mv.import_logits([layer.log() for layer in shares], ids, mask)
    assert np.array_equal(same.experts, expected.experts)
    np.testing.assert_allclose(same.gates, expected.gates, atol=1e-5)
