"""moe_viz: see a sparse mixture of experts decide.

The names a notebook needs. Each loads what it needs when it is first used, so that opening and
drawing a recorded trace never imports torch.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "Trace": "trace",
    "MixtralConfig": "config",
    "chart": "view.figures",
    "compare": "analysis.agreement",
    "effects": "effects",
    "explore": "view",
    "generate": "generate",
    "inspect": "inspection",
    "intervene": "intervene",
    "ledger": "ledger",
    "load": "placement",
    "record": "record",
    "report": "report",
    "save_page": "view",
    "untrained_twin": "effects",
}
_MODULES = ("analysis", "errors", "prompts")

__all__ = [
    "MixtralConfig",
    "Trace",
    "__version__",
    "analysis",
    "chart",
    "compare",
    "effects",
    "errors",
    "explore",
    "generate",
    "inspect",
    "intervene",
    "ledger",
    "load",
    "prompts",
    "record",
    "report",
    "save_page",
    "untrained_twin",
]

if TYPE_CHECKING:
    from . import analysis as analysis
    from . import errors as errors
    from . import prompts as prompts
    from .analysis.agreement import compare as compare
    from .config import MixtralConfig as MixtralConfig
    from .effects import effects as effects
    from .effects import untrained_twin as untrained_twin
    from .generate import generate as generate
    from .inspection import inspect as inspect
    from .intervene import intervene as intervene
    from .ledger import ledger as ledger
    from .placement import load as load
    from .record import record as record
    from .report import report as report
    from .trace import Trace as Trace
    from .view import explore as explore
    from .view import save_page as save_page
    from .view.figures import chart as chart


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


class _Package(ModuleType):
    """`import moe_viz.record` would put that module in the place of the function `record`."""

    def __setattr__(self, name: str, value: Any) -> None:
        is_namesake = isinstance(value, ModuleType) and _WHERE.get(name) == name
        super().__setattr__(name, getattr(value, name) if is_namesake else value)


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    return sorted(__all__)
