# SPDX-License-Identifier: Apache-2.0
"""Where the embedded model is: inside the installed package, or in the repository."""

from __future__ import annotations

from pathlib import Path

EMBEDDED = "8x7m"


def embedded_folder() -> Path:
    """The folder of `8x7m`, in Hugging Face's format."""
    package = Path(__file__).parent
    installed = package / "weights" / EMBEDDED
    return installed if installed.is_dir() else package.parent / "weights" / EMBEDDED
