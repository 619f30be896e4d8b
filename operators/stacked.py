"""Several observations of one picture as one operator."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor

from zsir.capabilities import Margins, joined, known_numbers, makes_pictures, margins_of, seen_pixels, twin_of
from zsir.errors import ShapeError
from zsir.linalg import per_picture
from zsir.operators.base import Operator
from zsir.operators.plans import Plans
from zsir.protocols import Shape


@dataclass(frozen=True, eq=False)
class Stacked(Operator):
    """Several observations of one picture, joined along the channels: ``A x = (A_1 x, A_2 x, ...)``.

    Attributes:
        parts: The operators A_1, A_2, ...

    Raises:
        ShapeError: There are no parts, or they disagree in the size of the picture or of the observation.
    """

    parts: tuple[Operator, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ShapeError("stack needs at least one operator, as in stack(mask, blur).")
        first = self.parts[0]
        for part in self.parts:
            if part.in_shape != first.in_shape or part.out_shape[1:] != first.out_shape[1:] or len(part.out_shape) != 3:
                raise ShapeError(
                    f"{part!r} cannot be stacked on {first!r}: pictures and observations must agree in size."
                )
            if margins_of(part) != margins_of(first):
                raise ShapeError(f"{part!r} cannot be stacked on {first!r}: they reach beyond the border differently.")

    @property
    def in_shape(self) -> Shape:  # type: ignore[override]
        """Shape of the picture, the same for every part."""
        return self.parts[0].in_shape

    @property
    def out_shape(self) -> Shape:
        """Shape of the observation, which has the channels of all parts."""
        _, h, w = cast(Shape, self.parts[0].out_shape)
        return (sum(p.out_shape[0] for p in self.parts), h, w)

    @property
    def pictorial(self) -> bool:
        """Whether the observations of all parts are pictures."""
        return all(makes_pictures(p) for p in self.parts)

    @property
    def margins(self) -> Margins:
        """The margins of the parts, which are the same."""
        return margins_of(self.parts[0])

    @property
    def measurements(self) -> int:
        """Sum of the parts' measurements."""
        return sum(p.measurements for p in self.parts)

    @property
    def known(self) -> Tensor | None:
        """The known numbers of the parts, joined along the channels."""
        return joined([(known_numbers(p), cast(Shape, p.out_shape)) for p in self.parts])

    @property
    def seen(self) -> Tensor | None:
        """The pixels that any part shows; None unless every part shows pixels."""
        masks = [seen_pixels(p) for p in self.parts]
        if any(mask is None for mask in masks):
            return None
        return torch.stack([mask.expand(self.in_shape) for mask in masks if mask is not None]).any(dim=0)

    @property
    def twin(self) -> Operator | None:
        """The parts' twins, stacked; None where no part has one."""
        twins = [twin_of(p) for p in self.parts]
        if all(twin is None for twin in twins):
            return None
        return stack(*(cast(Operator, twin or p) for twin, p in zip(twins, self.parts, strict=True)))

    @cached_property
    def _squares(self) -> Plans | None:
        """The diagonal of A^T A where all parts show pixels: A^T A 1."""
        if self.seen is None:
            return None
        return Plans({"gain": self.adjoint(self.forward(torch.ones(1, *self.in_shape, dtype=torch.float64)))})

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """(A^T A + ridge)^-1 A^T y pixel by pixel where all parts show pixels: there A^T A is diagonal; else as ever.

        A pixel that several parts show takes their least-squares mean; one that none shows is 0.
        """
        if self._squares is None:
            return super().pinv(y, ridge)
        gains = self._squares.like(y)["gain"] + per_picture(ridge, y)
        return torch.where(gains > 0, self.adjoint(y) / torch.where(gains > 0, gains, 1.0), 0.0)

    def after(self, inner: Operator) -> Operator | None:
        """(A_1, A_2, ...) B = (A_1 B, A_2 B, ...), each in its closed form."""
        return stack(*(p @ inner for p in self.parts))

    def __rmul__(self, factor: float) -> Operator:
        """Every part is scaled."""
        return Stacked(tuple(factor * p for p in self.parts))

    def forward(self, x: Tensor) -> Tensor:
        """(A_1 x, A_2 x, ...)."""
        return torch.cat([p.forward(x) for p in self.parts], dim=1)

    def adjoint(self, y: Tensor) -> Tensor:
        """A_1^T y_1 + A_2^T y_2 + ..."""
        pieces = y.split([p.out_shape[0] for p in self.parts], dim=1)
        result: Any = sum(p.adjoint(piece) for p, piece in zip(self.parts, pieces, strict=True))
        return torch.as_tensor(result)


def stack(*parts: Operator) -> Operator:
    """Observe one picture through several operators of equal output size.

    Args:
        parts: The operators, at least one.

    Returns:
        A `Stacked` operator, or the operator itself if there is only one.

    Raises:
        ShapeError: There is no operator, or they disagree in the size of the picture or of the observation.
    """
    return parts[0] if len(parts) == 1 else Stacked(parts)
