"""Circular convolution: diagonal in the Fourier domain."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial

import torch
from torch import Tensor

from zsir.linalg import alone, per_picture, ridge_inverse
from zsir.operators.base import Operator
from zsir.operators.plans import SVD, Plans
from zsir.protocols import Shape


@dataclass(frozen=True, eq=False)
class CircularBlur(Operator):
    """Convolution of every channel, the picture continued periodically.

    forward ``F^-1 (K F x)``; adjoint ``F^-1 (conj(K) F y)``; pinv ``F^-1 (conj(K) / (|K|^2 + ridge) F y)``.

    Attributes:
        in_shape: (channels, height, width) of one picture.
        kernel: The weights, (rows, columns) float64, centre at ``n // 2``. The kernel wraps around where it is larger
            than the picture.
        label: Name in messages.
    """

    in_shape: Shape
    kernel: Tensor = field(repr=False)
    label: str = "blur"

    @cached_property
    def _plans(self) -> Plans:
        k = transfer(self.kernel, self.in_shape[1], self.in_shape[2])
        size = k.abs()
        phase = torch.where(size > 0, k / torch.where(size > 0, size, 1.0), 1.0)
        return Plans({"k": k, "size": size, "phase": phase})

    def forward(self, x: Tensor) -> Tensor:
        """F^-1 (K F x)."""
        self.check_input(x, self.in_shape)
        return multiply(x, self._plans.like(x)["k"])

    def adjoint(self, y: Tensor) -> Tensor:
        """F^-1 (conj(K) F y)."""
        self.check_input(y, self.in_shape)
        return multiply(y, self._plans.like(y)["k"].conj())

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """F^-1 (conj(K) / (|K|^2 + ridge) F y)."""
        self.check_input(y, self.in_shape)
        return multiply(y, self._inverse(y, ridge))

    def prox(self, z: Tensor, y: Tensor, rho: float | Tensor) -> Tensor:
        """z + F^-1 (conj(K) / (|K|^2 + rho) (F y - K F z)): one inverse transform instead of two."""
        self.check_input(y, self.in_shape)
        self.check_input(z, self.in_shape)
        misfit = alone(torch.fft.rfft2, y) - self._plans.like(z)["k"] * alone(torch.fft.rfft2, z)
        return z + alone(partial(torch.fft.irfft2, s=y.shape[-2:]), misfit * self._inverse(y, rho))

    def _inverse(self, y: Tensor, ridge: float | Tensor) -> Tensor:
        plans = self._plans.like(y)
        if not isinstance(ridge, Tensor) and ridge > 0:
            return plans["k"].conj() * (1 / (plans["size"] ** 2 + ridge))
        return plans["phase"].conj() * ridge_inverse(plans["size"], per_picture(ridge, y))

    def svd(self, like: Tensor) -> SVD:
        """Real decomposition by the Hartley transform H, which is orthogonal and its own inverse: |K| is even, so that
        ``A = P H |K| H`` with P the convolution whose transfer function is the phase of K; coefficients have the shape
        of the picture."""
        plans = self._plans.like(like)
        size, phase = plans["size"], plans["phase"]
        height, width = self.in_shape[1:]
        mirrored = torch.arange(width // 2 + 1, width, device=like.device)
        rows = -torch.arange(height, device=like.device) % height
        full = torch.cat([size, size[rows][:, width - mirrored]], dim=1)
        return SVD(
            s=full.expand(self.in_shape),
            u=lambda c: multiply(hartley(c), phase),
            ut=lambda y: hartley(multiply(y, phase.conj())),
            v=hartley,
            vt=hartley,
        )

    @property
    def T(self) -> Operator:
        """Convolution with the mirrored kernel."""
        return CircularBlur(self.in_shape, odd_sized(self.kernel).flip(0, 1), f"{self.label}.T")

    def after(self, inner: Operator) -> Operator | None:
        """Two convolutions are one, with the kernels convolved."""
        if not isinstance(inner, CircularBlur):
            return None
        return CircularBlur(self.in_shape, chained(self.kernel, inner.kernel), f"{self.label} @ {inner.label}")


def odd_sized(kernel: Tensor) -> Tensor:
    """The same kernel with an odd number of taps each way, so that mirroring keeps its centre."""
    return torch.nn.functional.pad(kernel, (0, 1 - kernel.shape[1] % 2, 0, 1 - kernel.shape[0] % 2))


def chained(a: Tensor, b: Tensor) -> Tensor:
    """The kernel of one convolution after another, odd-sized."""
    a, b = odd_sized(a), odd_sized(b)
    margins = (b.shape[0] - 1, b.shape[1] - 1)
    return torch.nn.functional.conv2d(a[None, None], b.flip(0, 1)[None, None], padding=margins)[0, 0]


def transfer(kernel: Tensor, height: int, width: int) -> Tensor:
    """Transfer function (height, width // 2 + 1) of a centred kernel on a periodic grid, complex128."""
    rows = (torch.arange(kernel.shape[0]) - kernel.shape[0] // 2) % height
    columns = (torch.arange(kernel.shape[1]) - kernel.shape[1] // 2) % width
    grid = torch.zeros(height, width, dtype=torch.float64)
    grid.index_put_((rows[:, None], columns[None]), kernel.double(), accumulate=True)
    spectrum: Tensor = torch.fft.rfft2(grid)
    return spectrum


def hartley(x: Tensor) -> Tensor:
    """The orthonormal two-dimensional Hartley transform, Re F x - Im F x; its own inverse."""

    def transform(image: Tensor) -> Tensor:
        # x is real: half of its spectrum is enough, F x at -k is the conjugate of F x at k
        spectrum: Tensor = torch.fft.rfft2(image, norm="ortho")
        real, imaginary = spectrum.real, spectrum.imag
        columns = slice(1, (image.shape[-1] + 1) // 2)
        mirrored = (real[..., columns] + imaginary[..., columns]).flip(-2, -1).roll(1, -2)
        return torch.cat([real - imaginary, mirrored], dim=-1)

    return alone(transform, x)


def multiply(x: Tensor, k: Tensor) -> Tensor:
    """Multiply the half-plane spectrum of x (..., height, width) by k."""
    return alone(partial(torch.fft.irfft2, s=x.shape[-2:]), alone(torch.fft.rfft2, x) * k)
