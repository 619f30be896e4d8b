"""Observations in units of their own: counts of a detector, line integrals, products with a random matrix.

Samplers compare the noise of y with noise levels of pictures, and some take steps along ``A^T (A x - y)``. Both make
sense only where y is about as large as the picture. An operator whose observations have another unit says so by one
optional attribute, and `zsir.solve` hands samplers the same problem in units of pictures.

| attribute | function | where it is missing | algebra |
|---|---|---|---|
| ``unit`` | `unit_of` | 1 | ``abs(c)`` times that of A for ``c A``; of a product, that of the operator that writes y |
"""

from __future__ import annotations

from typing import Any, Protocol, cast

from zsir.problem import Problem
from zsir.protocols import LinearOperator


class HasUnit(Protocol):
    """An operator whose observations are not on the scale of pictures."""

    @property
    def unit(self) -> float:
        """How much y changes where the picture changes by 1: the largest singular value."""


def unit_of(operator: LinearOperator) -> float:
    """How much y changes where the picture changes by 1; 1 for operators that make pictures. See `HasUnit`."""
    return float(getattr(operator, "unit", 1.0))


def in_picture_units(problem: Problem) -> Problem:
    """The same problem with operator, observation and noise divided by the operator's unit.

    Args:
        problem: The problem as it was posed.

    Returns:
        A problem with the same solutions; the problem itself where the unit is 1.
    """
    unit = unit_of(problem.operator)
    if unit == 1:
        return problem
    scaled: LinearOperator = (1 / unit) * cast(Any, problem.operator)
    return Problem(problem.y / unit, scaled, problem.noise_std / unit, problem.x_init)
