"""What a picture has been through, estimated from itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zsir.lazy import on_first_use

if TYPE_CHECKING:
    from zsir.inspection.conclusions import Inspection
    from zsir.inspection.findings import Blur, Clipping, Enlargement, Findings, Hypothesis, Jpeg, Noise
    from zsir.inspection.inspecting import inspect

__all__ = [
    "Blur",
    "Clipping",
    "Enlargement",
    "Findings",
    "Hypothesis",
    "Inspection",
    "Jpeg",
    "Noise",
    "inspect",
]

__getattr__ = on_first_use(__name__, __file__)
