"""How far apart the pixels of an observation lie in the picture, and what lies beyond the picture's border.

| attribute | function | where it is missing | algebra |
|---|---|---|---|
| ``steps`` | `steps_of`, `reduction` | from the operator's matrices or sizes | products, for ``B @ A`` |
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from zsir.capabilities import NO_MARGINS, Margins, makes_pictures, margins_of, matrices_of
from zsir.protocols import LinearOperator


class StepsOver(Protocol):
    """An operator that has fewer pixels than its picture for another reason than a lower resolution."""

    @property
    def steps(self) -> tuple[float, float]:
        """Rows and columns of x from one row or column of y to the next."""


def beyond(outer: LinearOperator, inner: LinearOperator) -> Margins:
    """The margins of ``outer @ inner``, in pixels of the pictures of ``inner``."""
    mine, others = margins_of(inner), margins_of(outer)
    if others == NO_MARGINS:
        return mine
    down, right = steps_of(inner)
    scales = (down, down, right, right)
    top, bottom, left, over = (a + round(b * scale) for a, b, scale in zip(mine, others, scales, strict=True))
    return top, bottom, left, over


def reduction(operator: LinearOperator) -> float:
    """How many times lower the observation is than the picture; 1 for an observation that is no picture."""
    return max(1.0, *steps_of(operator)) if makes_pictures(operator) else 1.0


def steps_of(operator: LinearOperator) -> tuple[float, float]:
    """Rows and columns of x from one row or column of y to the next: 1 for a window, however small. See `StepsOver`."""
    steps: tuple[float, float] | None = getattr(operator, "steps", None)
    if steps is not None:
        return steps
    top, bottom, left, right = margins_of(operator)
    (_, h, w), (small_h, small_w) = operator.in_shape, operator.out_shape[-2:]
    ratios = (h - top - bottom) / small_h, (w - left - right) / small_w
    outer, inner = getattr(operator, "outer", None), getattr(operator, "inner", None)
    if outer is not None and inner is not None:
        first, second = steps_of(inner), steps_of(outer)
        return first[0] * second[0], first[1] * second[1]
    matrices = matrices_of(operator)
    if matrices is None:
        return ratios
    return _step(matrices[0], ratios[0]), _step(matrices[1], ratios[1])


def _step(matrix: Tensor, ratio: float) -> float:
    """The median distance of the centres of two rows of a matrix; ``ratio`` where there are none."""
    centres = matrix @ torch.arange(matrix.shape[1]).to(matrix) / matrix.sum(1)
    steps = centres.diff()
    steps = steps[steps.isfinite()]
    return float(steps.median()) if steps.numel() else ratio
