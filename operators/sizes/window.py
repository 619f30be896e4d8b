"""A window of the picture is observed; restoring it paints what lies around the window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor

from zsir.capabilities import matrices_of
from zsir.errors import BadSpec, ShapeError
from zsir.linalg import per_picture
from zsir.names.registry import Option
from zsir.operators.base import Operator
from zsir.operators.plans import SVD
from zsir.operators.separable import Separable
from zsir.protocols import Shape


@dataclass(frozen=True, eq=False)
class Crop(Operator):
    """The pixels of a rectangle, as they are.

    forward ``y[i, j] = x[top + i, left + j]``; adjoint: 0 around the window; pinv ``A^T y / (1 + ridge)``.

    Attributes:
        in_shape: (channels, height, width) of one picture.
        top: First row of the window.
        left: First column of the window.
        height: Rows of the window.
        width: Columns of the window.
    """

    in_shape: Shape
    top: int
    left: int
    height: int
    width: int

    @property
    def out_shape(self) -> Shape:
        """(channels, height, width) of the window."""
        return (self.in_shape[0], self.height, self.width)

    @property
    def _window(self) -> tuple[slice, slice]:
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    @property
    def seen(self) -> Tensor:
        """True inside the window."""
        seen = torch.zeros(self.in_shape[1:], dtype=torch.bool)
        seen[self._window] = True
        return seen

    @property
    def steps(self) -> tuple[float, float]:
        """A window takes pixel after pixel."""
        return 1.0, 1.0

    def forward(self, x: Tensor) -> Tensor:
        """The window."""
        self.check_input(x, self.in_shape)
        rows, columns = self._window
        return x[..., rows, columns]

    def adjoint(self, y: Tensor) -> Tensor:
        """The window at its place, 0 around it."""
        self.check_input(y, self.out_shape)
        _, h, w = self.in_shape
        below, right = h - self.top - self.height, w - self.left - self.width
        return torch.nn.functional.pad(y, (self.left, right, self.top, below))

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """A^T y / (1 + ridge): A A^T = I."""
        return self.adjoint(y) / (1 + per_picture(ridge, y))

    def svd(self, like: Tensor) -> SVD:
        """s = 1, U = I, V = A^T; coefficients have the observation's shape."""
        return SVD.of_selection(self, like)

    @property
    def matrices(self) -> tuple[Tensor, Tensor]:
        """The matrices that take rows and columns."""
        rows, columns = self._window
        _, h, w = self.in_shape
        return torch.eye(h, dtype=torch.float64)[rows], torch.eye(w, dtype=torch.float64)[columns]

    def after(self, inner: Operator) -> Operator | None:
        """The window of something separable is separable."""
        return None if matrices_of(inner) is None else Separable(self.in_shape[0], *self.matrices, repr(self)) @ inner


def crop(
    in_shape: Shape,
    left: Annotated[int, Option("columns that are missing at the left", "pixels")] = 0,
    top: Annotated[int, Option("rows that are missing at the top", "pixels")] = 0,
    right: Annotated[int | None, Option("columns that are missing at the right, by default 0", "pixels")] = None,
    bottom: Annotated[int | None, Option("rows that are missing at the bottom, by default 0", "pixels")] = None,
    width: Annotated[int | None, Option("columns of the window, in place of right", "pixels")] = None,
    height: Annotated[int | None, Option("rows of the window, in place of bottom", "pixels")] = None,
) -> Crop:
    """A window of the picture is observed; to restore it is to paint what lies around it.

    forward ``y[i, j] = x[top + i, left + j]``; adjoint ``A^T y``: 0 around the window; pinv ``A^T y / (1 + ridge)``.

    Args:
        in_shape: (channels, height, width) of the picture.

    Returns:
        The operator.

    Raises:
        BadSpec: An option lies outside its range, or two contradict each other.
        ShapeError: The window does not lie inside the picture.
    """
    _, h, w = in_shape
    lengths = []
    for side, before, after, length, names in (
        (w, left, right, width, ("left", "right", "width")),
        (h, top, bottom, height, ("top", "bottom", "height")),
    ):
        if after is not None and length is not None:
            raise BadSpec(f"crop:{names[1]}={after},{names[2]}={length}: give one of the two, not both.")
        if before < 0 or (after or 0) < 0:
            raise BadSpec(f"crop: {names[0]} and {names[1]} count missing pixels and are not negative.")
        lengths.append(side - before - (after or 0) if length is None else length)
    if lengths[0] < 1 or lengths[1] < 1 or left + lengths[0] > w or top + lengths[1] > h:
        raise ShapeError(
            f"crop: a window of {lengths[0]}x{lengths[1]} pixels at left={left},top={top} does not lie "
            f"inside the picture ({w}x{h}); choose a smaller window."
        )
    return Crop(in_shape, top, left, lengths[1], lengths[0])


def surroundings(out_shape: Shape, options: dict[str, Any]) -> Shape:
    """The picture around an observed window: its sides and the margins.

    Raises `BadSpec` where width or height are given in place of the margins right and bottom.
    """
    channels, h, w = out_shape
    for name, margin in (("width", "right"), ("height", "bottom")):
        if options.get(name) is not None:
            raise BadSpec(
                f"crop:{name}={options[name]} does not say how large the picture around the window is; give "
                f"{margin}=... in place of {name}, or state the picture's size with --size WIDTHxHEIGHT (in Python: "
                "in_shape)."
            )
    margins = [int(options.get(name) or 0) for name in ("top", "bottom", "left", "right")]
    return (channels, h + margins[0] + margins[1], w + margins[2] + margins[3])
