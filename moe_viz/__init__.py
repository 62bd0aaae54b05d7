# SPDX-License-Identifier: Apache-2.0
"""moe_viz: see a sparse mixture of experts decide.

The names a notebook needs. Each loads what it needs when it is first used, so that opening and
drawing a recorded trace never imports torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "Trace": "trace",
    "TraceDataset": "trace",
    "MixtralConfig": "config",
    "atlas": "reporting",
    "chart": "view.charts.figures",
    "compare": "analysis",
    "effects": "intervention.effects",
    "diagram": "guests.drawing",
    "explore": "exploring",
    "generate": "recording",
    "import_logits": "recording.saved_logits",
    "import_routes": "recording.routes",
    "inspect": "guests.inspection",
    "intervene": "intervention.block",
    "ledger": "guests.ledger",
    "guest": "guests.loading",
    "load": "guests.loading",
    "record": "recording",
    "record_corpus": "recording.corpora",
    "record_from": "recording.server",
    "report": "reporting",
    "save_live": "living",
    "save_page": "view.explorer.page",
    "table": "view.charts.table",
    "untrained_twin": "intervention.twin",
}
_MODULES = ("analysis", "errors", "prompts")

__all__ = [
    "MixtralConfig",
    "Trace",
    "TraceDataset",
    "__version__",
    "analysis",
    "atlas",
    "chart",
    "compare",
    "diagram",
    "effects",
    "errors",
    "explore",
    "generate",
    "guest",
    "import_logits",
    "import_routes",
    "inspect",
    "intervene",
    "ledger",
    "load",
    "prompts",
    "record",
    "record_corpus",
    "record_from",
    "report",
    "save_live",
    "save_page",
    "table",
    "untrained_twin",
]

if TYPE_CHECKING:
    from . import analysis as analysis
    from . import errors as errors
    from . import prompts as prompts
    from .analysis import compare as compare
    from .config import MixtralConfig as MixtralConfig
    from .exploring import explore as explore
    from .guests.drawing import diagram as diagram
    from .guests.inspection import inspect as inspect
    from .guests.ledger import ledger as ledger
    from .guests.loading import guest as guest
    from .guests.loading import load as load
    from .intervention.block import intervene as intervene
    from .intervention.effects import effects as effects
    from .intervention.twin import untrained_twin as untrained_twin
    from .living import save_live as save_live
    from .recording import generate as generate
    from .recording import record as record
    from .recording.corpora import record_corpus as record_corpus
    from .recording.routes import import_routes as import_routes
    from .recording.saved_logits import import_logits as import_logits
    from .recording.server import record_from as record_from
    from .reporting import atlas as atlas
    from .reporting import report as report
    from .trace import Trace as Trace
    from .trace import TraceDataset as TraceDataset
    from .view.charts.figures import chart as chart
    from .view.charts.table import table as table
    from .view.explorer.page import save_page as save_page


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name not in _WHERE:
        raise AttributeError(f"module 'moe_viz' has no attribute {name!r}")
    try:
        return getattr(import_module(f".{_WHERE[name]}", __name__), name)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "sentencepiece", "tqdm"):
            raise
        from .errors import MissingDependencyError

        raise MissingDependencyError(
            f"moe_viz.{name} runs a model and needs the package {error.name}: "
            "pip install 'moe-viz[model]'. Recorded traces open without it."
        ) from error


def __dir__() -> list[str]:
    return sorted(__all__)
