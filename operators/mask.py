"""Identity and masks: what is observed is observed as it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated

import torch
from torch import Tensor

from zsir.errors import BadSpec, ShapeError
from zsir.linalg import per_picture
from zsir.names.registry import Option
from zsir.operators.base import Operator
from zsir.operators.plans import SVD, Plans
from zsir.protocols import Shape
from zsir.rng import check_seed


def trivial_svd(s: Tensor) -> SVD:
    """The decomposition of a diagonal operator: U = V = I."""
    return SVD(s=s, u=lambda c: c, ut=lambda y: y, v=lambda c: c, vt=lambda x: x)


@dataclass(frozen=True, eq=False)
class Identity(Operator):
    """forward ``A x = x``; adjoint ``A^T y = y``; pinv ``y / (1 + ridge)``.

    Attributes:
        in_shape: (channels, height, width) of one picture.
    """

    in_shape: Shape

    def forward(self, x: Tensor) -> Tensor:
        """x."""
        self.check_input(x, self.in_shape)
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        """y."""
        self.check_input(y, self.in_shape)
        return y

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """y / (1 + ridge)."""
        self.check_input(y, self.in_shape)
        return y / (1 + per_picture(ridge, y))

    def svd(self, like: Tensor) -> SVD:
        """The trivial decomposition: U = V = I, s = 1."""
        return trivial_svd(torch.ones(self.in_shape, dtype=like.dtype, device=like.device))

    @property
    def seen(self) -> Tensor:
        """True for every pixel."""
        return torch.ones(self.in_shape[1:], dtype=torch.bool)

    @property
    def T(self) -> Operator:
        """A^T = A: the operator is symmetric."""
        return self

    def after(self, inner: Operator) -> Operator | None:
        """I A = A."""
        return inner

    def before(self, outer: Operator) -> Operator | None:
        """B I = B."""
        return outer


@dataclass(frozen=True, eq=False)
class Mask(Operator):
    """Some pixels are observed, the others are written as 0.

    forward ``A x = m * x``; adjoint ``A^T y = m * y``; pinv ``m * y / (1 + ridge)``.

    Attributes:
        in_shape: (channels, height, width) of one picture.
        known: True where a pixel is observed, (height, width) or (channels, height, width).

    Raises:
        BadSpec: ``known`` is not boolean.
        ShapeError: ``known`` has another size than the picture.
    """

    in_shape: Shape
    known: Tensor = field(repr=False)

    def __post_init__(self) -> None:
        if self.known.dtype != torch.bool:
            raise BadSpec(
                f"A mask is boolean, True where a pixel is observed, not {self.known.dtype}; write mask > 0.5."
            )
        if tuple(self.known.shape) not in (self.in_shape, self.in_shape[1:]):
            raise ShapeError(
                f"The mask has shape {tuple(self.known.shape)}, the picture {self.in_shape}: give a mask of "
                f"{self.in_shape[2]}x{self.in_shape[1]} pixels (width x height)."
            )

    @property
    def seen(self) -> Tensor:
        """True where a pixel is observed."""
        return self.known

    @property
    def measurements(self) -> int:
        """Observed pixels times channels."""
        per_channel = int(self.known.sum())
        return per_channel * (self.in_shape[0] if self.known.ndim == 2 else 1)

    @cached_property
    def _plans(self) -> Plans:
        return Plans({"m": self.known.double()})

    def forward(self, x: Tensor) -> Tensor:
        """m * x."""
        self.check_input(x, self.in_shape)
        return x * self._plans.like(x)["m"]

    def adjoint(self, y: Tensor) -> Tensor:
        """m * y."""
        return self.forward(y)

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """m * y / (1 + ridge)."""
        return self.forward(y) / (1 + per_picture(ridge, y))

    def svd(self, like: Tensor) -> SVD:
        """The trivial decomposition: U = V = I, s = m."""
        return trivial_svd(self._plans.like(like)["m"].expand(self.in_shape))

    @property
    def T(self) -> Operator:
        """A^T = A: the operator is symmetric."""
        return self

    def after(self, inner: Operator) -> Operator | None:
        """Two masks are one, of the pixels that both keep."""
        return Mask(self.in_shape, self.known & inner.known) if isinstance(inner, Mask) else None


def identity(in_shape: Shape) -> Identity:
    """Nothing but noise.

    forward ``A x = x``; adjoint ``A^T y = y``; pinv ``y / (1 + ridge)``.

    Args:
        in_shape: (channels, height, width) of the picture.

    Returns:
        The operator.
    """
    return Identity(in_shape)


def random_mask(
    in_shape: Shape,
    keep: Annotated[float, Option("share of the pixels that is observed", "0..1")] = 0.3,
    seed: Annotated[int, Option("which pixels: the same seed and size give the same mask")] = 0,
) -> Mask:
    """A random share of the pixels is observed, the same for all channels; exactly round(keep * pixels) of them.

    forward ``A x = m * x``; adjoint ``A^T y = m * y``; pinv ``m * y / (1 + ridge)``.

    Args:
        in_shape: (channels, height, width) of the picture.

    Returns:
        The mask.

    Raises:
        BadSpec: An option lies outside its range.
    """
    check_seed(seed, "mask:seed")
    if not 0 < keep <= 1:
        raise BadSpec(f"mask:keep={keep:g} must lie in (0, 1]: it is the share of observed pixels, such as 0.3.")
    _, h, w = in_shape
    order = torch.randperm(h * w, generator=torch.Generator().manual_seed(seed))
    known = torch.zeros(h * w, dtype=torch.bool)
    known[order[: max(1, round(keep * h * w))]] = True
    return Mask(in_shape, known.view(h, w))


def box_mask(
    in_shape: Shape,
    size: Annotated[float, Option("side of the missing box as a share of the picture's side", "0..1")] = 0.5,
    row: Annotated[float, Option("height of the box's centre, 0 top to 1 bottom", "0..1")] = 0.5,
    column: Annotated[float, Option("position of the box's centre, 0 left to 1 right", "0..1")] = 0.5,
) -> Mask:
    """A rectangle of pixels is missing, all else is observed.

    forward ``A x = m * x``; adjoint ``A^T y = m * y``; pinv ``m * y / (1 + ridge)``.

    Args:
        in_shape: (channels, height, width) of the picture.

    Returns:
        The mask.

    Raises:
        BadSpec: An option lies outside its range, or the box, in whole pixels, has none or all of the picture's.
    """
    if not (0 < size < 1 and 0 <= row <= 1 and 0 <= column <= 1):
        raise BadSpec(f"box:size={size:g},row={row:g},column={column:g}: all are shares of the picture, size below 1.")
    _, h, w = in_shape
    known = torch.ones(h, w, dtype=torch.bool)
    height, width = round(size * h), round(size * w)
    top, left = round(row * h - height / 2), round(column * w - width / 2)
    known[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)] = False
    if known.all() or not known.any():
        raise BadSpec(
            f"box:size={size:g},row={row:g},column={column:g}: in a picture of {w}x{h} pixels "
            f"{'no' if known.all() else 'every'} pixel is missing; give another size."
        )
    return Mask(in_shape, known)
