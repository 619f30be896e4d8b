"""zsir: restore images with pretrained generative priors and no task-specific training.

    from zsir import Problem, solve, operators, priors, samplers

Names are imported on first use, so that ``import zsir`` stays light and needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zsir import operators, priors, samplers
    from zsir.loop.solve import Solution, solve
    from zsir.problem import Problem

__version__ = "0.1.0"
__all__ = ["Problem", "Solution", "__version__", "operators", "priors", "samplers", "solve"]

_HOMES = {"Problem": "zsir.problem", "Solution": "zsir.loop.solve", "solve": "zsir.loop.solve"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in ("operators", "priors", "samplers"):
        return importlib.import_module(f"zsir.{name}")
    raise AttributeError(f"module 'zsir' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
