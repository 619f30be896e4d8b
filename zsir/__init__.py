"""zsir: restore pictures with pretrained generative priors and no task-specific training.

    import zsir
    zsir.restore("small.png", "sr4x").save("big.png")

Public are

- the names in ``__all__``, and the names in the ``__all__`` of the modules among them and of ``zsir.protocols``,
- the methods and properties of the classes among these names that do not begin with an underscore,
- the command ``zsir`` and the spec strings.

Everything else is internal and may change in any version. ``tests/test_surface.py`` pins the names and signatures;
CONTRIBUTING.md has the rule for deprecation. Names are imported on first use, so that ``import zsir`` stays light and
needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from zsir.lazy import on_first_use
from zsir.version import __version__

if TYPE_CHECKING:
    from zsir import errors, metrics, operators, priors, samplers, testing
    from zsir.errors import PictureWarning, ZsirError
    from zsir.inspection.conclusions import Inspection
    from zsir.inspection.inspecting import inspect
    from zsir.loop.solver import Event, Solution, Stats, solve
    from zsir.pictures.reading import Picture, read
    from zsir.pictures.writing import write
    from zsir.problem import Problem
    from zsir.workflow.restore import restore
    from zsir.workflow.result import Restored

__all__ = [
    "Event",
    "Inspection",
    "Picture",
    "PictureWarning",
    "Problem",
    "Restored",
    "Solution",
    "Stats",
    "ZsirError",
    "__version__",
    "errors",
    "inspect",
    "metrics",
    "operators",
    "priors",
    "read",
    "restore",
    "samplers",
    "solve",
    "testing",
    "write",
]

_find = on_first_use(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name in ("errors", "metrics", "operators", "priors", "samplers", "testing"):
        return importlib.import_module(f"zsir.{name}")
    return _find(name)


def __dir__() -> list[str]:
    return sorted(__all__)
