"""Every k-th pixel: what a sensor with gaps sees, and after a blur the classical model of a reduction.

With a periodic blur in front, ``A = S K`` and ``A A^T`` is again a periodic convolution, on the coarse grid: its
transfer function is the mean of |K|^2 over the frequencies that the stride folds onto each other.
Source: Zhao et al. 2016 [fsr]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated

import torch
from torch import Tensor

from zsir.capabilities import matrices_of
from zsir.errors import BadSpec, ShapeError
from zsir.linalg import per_picture, ridge_inverse
from zsir.names.registry import Option
from zsir.operators.base import Operator
from zsir.operators.blurs.fourier import CircularBlur, hartley, multiply, transfer
from zsir.operators.plans import SVD, Plans
from zsir.operators.separable import Separable
from zsir.protocols import Shape


def taken(n: int, factor: int, offset: int) -> Tensor:
    """(ceil((n - offset) / factor), n) matrix that takes every ``factor``-th of n pixels from ``offset`` on."""
    return torch.eye(n, dtype=torch.float64)[offset::factor]


@dataclass(frozen=True, eq=False)
class Stride(Operator):
    """Every ``factor``-th pixel of every ``factor``-th row.

    forward ``y[i, j] = x[offset + i factor, offset + j factor]``; adjoint: the rest filled with 0;
    pinv ``A^T y / (1 + ridge)``.

    Attributes:
        in_shape: (channels, height, width) of one picture.
        factor: Distance of two observed pixels, 1 or more.
        offset: The first row and column that is observed, 0 to factor - 1. By default 0.
    """

    in_shape: Shape
    factor: int
    offset: int = 0

    @property
    def out_shape(self) -> Shape:
        """Shape of one observation."""
        channels, h, w = self.in_shape
        return (channels, -(-(h - self.offset) // self.factor), -(-(w - self.offset) // self.factor))

    @property
    def seen(self) -> Tensor:
        """True where a pixel is observed."""
        seen = torch.zeros(self.in_shape[1:], dtype=torch.bool)
        seen[self.offset :: self.factor, self.offset :: self.factor] = True
        return seen

    def forward(self, x: Tensor) -> Tensor:
        """The observed pixels."""
        self.check_input(x, self.in_shape)
        return x[..., self.offset :: self.factor, self.offset :: self.factor]

    def adjoint(self, y: Tensor) -> Tensor:
        """The observed pixels at their places, 0 between them."""
        self.check_input(y, self.out_shape)
        x = y.new_zeros(len(y), *self.in_shape)
        x[..., self.offset :: self.factor, self.offset :: self.factor] = y
        return x

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """A^T y / (1 + ridge): A A^T = I."""
        return self.adjoint(y) / (1 + per_picture(ridge, y))

    def svd(self, like: Tensor) -> SVD:
        """s = 1, U = I, V = A^T; coefficients have the observation's shape."""
        return SVD.of_selection(self, like)

    @property
    def matrices(self) -> tuple[Tensor, Tensor]:
        """The matrices that take rows and columns."""
        rows, columns = (taken(n, self.factor, self.offset) for n in self.in_shape[1:])
        return rows, columns

    def after(self, inner: Operator) -> Operator | None:
        """Closed forms: of a periodic blur whose grid the factor divides, and of everything that is separable."""
        if isinstance(inner, CircularBlur) and all(n % self.factor == 0 for n in self.in_shape[1:]):
            return StridedBlur(inner, self)
        return None if matrices_of(inner) is None else Separable(self.in_shape[0], *self.matrices, repr(self)) @ inner


@dataclass(frozen=True, eq=False)
class StridedBlur(Operator):
    """Every ``factor``-th pixel of a periodic blur.

    forward ``S F^-1 (K F x)``; adjoint ``F^-1 (conj(K) F S^T y)``;
    pinv ``A^T G^-1 (1 / (g + ridge) G y)``, G the Fourier transform of the coarse grid and g the mean of |K|^2 over the
    frequencies that the stride folds onto each other.
    Source: Zhao et al. 2016 [fsr]

    Attributes:
        blur: The periodic blur K.
        stride: What is taken of its result; the factor divides height and width.
    """

    blur: CircularBlur
    stride: Stride = field(repr=False)

    @property
    def in_shape(self) -> Shape:  # type: ignore[override]
        """Shape of the pictures of the blur."""
        return self.blur.in_shape

    @property
    def out_shape(self) -> Shape:
        """Shape of what the stride takes."""
        return self.stride.out_shape

    @cached_property
    def _plans(self) -> Plans:
        _, h, w = self.in_shape
        k = self.stride.factor
        power = torch.fft.irfft2(transfer(self.blur.kernel, h, w).abs() ** 2, s=(h, w))
        # a convolution seen on the coarse grid alone has every factor-th value of its kernel
        gains = torch.fft.fft2(power[::k, ::k]).real.clamp_min(0)
        return Plans({"half": gains[:, : gains.shape[1] // 2 + 1].contiguous(), "root": gains.sqrt()})

    def forward(self, x: Tensor) -> Tensor:
        """S F^-1 (K F x)."""
        return self.stride.forward(self.blur.forward(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """F^-1 (conj(K) F S^T y)."""
        return self.blur.adjoint(self.stride.adjoint(y))

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """A^T G^-1 (1 / (g + ridge) G y)."""
        self.check_input(y, self.out_shape)
        root = self._plans.like(y)["half"].sqrt()
        inverse = ridge_inverse(root, per_picture(ridge, y))
        # s / (s^2 + ridge) divided by s; what counts as 0 has an inverse of 0 already
        return self.adjoint(multiply(y, inverse / torch.where(root > 0, root, 1.0)))

    @property
    def svd(self) -> Callable[[Tensor], SVD] | None:
        """U the Hartley transform of the coarse grid, s = sqrt(g), V = A^T U / s; None where an s is (nearly) 0."""
        root = self._plans.like(torch.zeros((), dtype=torch.float64))["root"]
        if float(root.min()) < 1e-6 * float(root.max()):
            return None
        return self._svd

    def _svd(self, like: Tensor) -> SVD:
        s = self._plans.like(like)["root"].expand(self.out_shape)
        return SVD(
            s=s,
            u=hartley,
            ut=hartley,
            v=lambda c: self.adjoint(hartley(c / s)),
            vt=lambda x: hartley(self.forward(x)) / s,
        )

    def after(self, inner: Operator) -> Operator | None:
        """A further periodic blur in front is part of the blur."""
        return self.stride @ (self.blur @ inner) if isinstance(inner, CircularBlur) else None


def stride(
    in_shape: Shape,
    factor: Annotated[int, Option("distance of two observed pixels", "pixels")] = 4,
    offset: Annotated[int, Option("first row and column that is observed, below the factor", "pixels")] = 0,
) -> Stride:
    """Every factor-th pixel, without averaging; after a blur, as in ``blur:sigma=1.6 | stride:factor=4``, a reduction.

    forward ``y[i, j] = x[offset + i factor, offset + j factor]``; adjoint ``A^T y``: 0 between the observed pixels;
    pinv ``A^T y / (1 + ridge)``. After a periodic blur, and after a separable one, prox and pinv are exact as well.
    Source: Zhao et al. 2016 [fsr]

    Args:
        in_shape: (channels, height, width) of the picture.

    Returns:
        The operator.

    Raises:
        BadSpec: An option lies outside its range.
        ShapeError: The factor is larger than a side of the picture.
    """
    _, h, w = in_shape
    if factor < 1 or not 0 <= offset < factor:
        raise BadSpec(
            f"stride:factor={factor},offset={offset}: the factor is a whole number of at least 1, such as 4, and the "
            "offset lies from 0 to factor - 1."
        )
    if factor > min(h, w):
        raise ShapeError(f"stride:factor={factor} is larger than the picture ({w}x{h}); choose a smaller factor.")
    return Stride(in_shape, factor, offset)
