"""The house stays as it is drawn: viewing a trace never imports torch."""

from __future__ import annotations

import subprocess
import sys


def test_a_trace_opens_and_is_drawn_without_torch(tmp_path):
    import moe_viz as mv
    from tests.conftest import random_model

    mv.record(random_model(), [[1, 2, 3]]).save(tmp_path / "t.safetensors")
    program = (
        "import sys; sys.modules['torch'] = sys.modules['sentencepiece'] = None\n"
        "import moe_viz as mv\n"
        f"mv.save_page(mv.Trace.load({str(tmp_path / 't.safetensors')!r}), "
        f"{str(tmp_path / 'p.html')!r})"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert (tmp_path / "p.html").stat().st_size > 20_000
