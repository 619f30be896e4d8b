"""Mirrored convolution with a symmetric kernel: diagonal in the cosine basis."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property, partial

import torch
from torch import Tensor

from zsir.linalg import alone, per_picture, ridge_inverse
from zsir.operators.base import Operator
from zsir.operators.blurs.fourier import chained
from zsir.operators.blurs.lines import line_matrices
from zsir.operators.plans import SVD, Plans
from zsir.protocols import Shape


@dataclass(frozen=True, eq=False)
class CosineBlur(Operator):
    """Convolution of every channel with a kernel symmetric in both axes, the picture mirrored at its border.

    forward = adjoint ``C^-1 (L C x)``; pinv ``C^-1 (L / (L^2 + ridge) C y)``, C the orthonormal DCT-II and
    ``L[u, v] = sum_ij kernel[i, j] cos(pi u i / height) cos(pi v j / width)``, i and j counted from the centre.

    The mirror is half-sample symmetric (``c b a | a b c | c b a``: SciPy's "reflect", NumPy's "symmetric").

    Attributes:
        in_shape: (channels, height, width) of one picture.
        kernel: The weights, odd-sized (rows, columns), symmetric in both axes.
        label: Name in messages.
    """

    in_shape: Shape
    kernel: Tensor = field(repr=False)
    label: str = "blur"

    @cached_property
    def _plans(self) -> Plans:
        _, h, w = self.in_shape
        eigenvalues = cosines(h, self.kernel.shape[0]) @ self.kernel.double() @ cosines(w, self.kernel.shape[1]).T
        return Plans({"l": eigenvalues, "th": twiddle(h)[:, None], "tw": twiddle(w)})

    def _filter(self, x: Tensor, gain: Tensor) -> Tensor:
        p = self._plans.like(x)
        coefficients = alone(partial(dct2, th=p["th"], tw=p["tw"]), x) * gain
        return alone(partial(idct2, th=p["th"], tw=p["tw"]), coefficients)

    def forward(self, x: Tensor) -> Tensor:
        """C^-1 (L C x)."""
        self.check_input(x, self.in_shape)
        return self._filter(x, self._plans.like(x)["l"])

    def adjoint(self, y: Tensor) -> Tensor:
        """C^-1 (L C y): the operator is symmetric."""
        return self.forward(y)

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """C^-1 (L / (L^2 + ridge) C y)."""
        self.check_input(y, self.in_shape)
        gain = self._plans.like(y)["l"]
        return self._filter(y, gain.sign() * ridge_inverse(gain.abs(), per_picture(ridge, y)))

    def svd(self, like: Tensor) -> SVD:
        """V the cosine basis, U the same with the sign of the eigenvalue; coefficients have the picture's shape."""
        p = self._plans.like(like)
        sign = torch.where(p["l"] < 0, -1.0, 1.0).to(like.dtype)
        return SVD(
            s=p["l"].abs().expand(self.in_shape),
            u=lambda c: idct2(c * sign, p["th"], p["tw"]),
            ut=lambda y: dct2(y, p["th"], p["tw"]) * sign,
            v=lambda c: idct2(c, p["th"], p["tw"]),
            vt=lambda x: dct2(x, p["th"], p["tw"]),
        )

    @property
    def T(self) -> Operator:
        """A^T = A: the operator is symmetric."""
        return self

    @property
    def matrices(self) -> tuple[Tensor, Tensor] | None:
        """The matrices for rows and columns, where the kernel is a column times a row."""
        return line_matrices(self.kernel.double(), self.in_shape, "reflect")

    def after(self, inner: Operator) -> Operator | None:
        """Two symmetric convolutions are one, with the kernels convolved."""
        if not isinstance(inner, CosineBlur):
            return None
        return CosineBlur(self.in_shape, chained(self.kernel, inner.kernel), f"{self.label} @ {inner.label}")


def cosines(n: int, taps: int) -> Tensor:
    """(n, taps) matrix cos(pi u i / n), i counted from the centre tap."""
    offsets = torch.arange(taps, dtype=torch.float64) - taps // 2
    return torch.cos(math.pi / n * torch.arange(n, dtype=torch.float64)[:, None] * offsets)


def twiddle(n: int) -> Tensor:
    """Phase and scale that turn an FFT of the reordered signal into the orthonormal DCT-II (Makhoul 1980)."""
    k = torch.arange(n, dtype=torch.float64)
    scale = torch.full_like(k, math.sqrt(2 / n))
    scale[0] = math.sqrt(1 / n)
    return torch.polar(scale, -math.pi * k / (2 * n))


def dct2(x: Tensor, th: Tensor, tw: Tensor) -> Tensor:
    """Orthonormal DCT-II of the trailing two dims."""
    x = torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], -1)
    x = (torch.fft.fft(x, dim=-1) * tw).real
    x = torch.cat([x[..., ::2, :], x[..., 1::2, :].flip(-2)], -2)
    coefficients: Tensor = (torch.fft.fft(x, dim=-2) * th).real
    return coefficients


def idct2(c: Tensor, th: Tensor, tw: Tensor) -> Tensor:
    """Inverse of `dct2`."""
    return _idct(_idct(c, tw.squeeze()).mT, th.squeeze()).mT


def _idct(c: Tensor, t: Tensor) -> Tensor:
    c = c / t.abs()
    mirrored = torch.cat([torch.zeros_like(c[..., :1]), c[..., 1:].flip(-1)], -1)
    # the real part that dct2 kept is C[k]; what it dropped is -C[n-k], so nothing is lost
    v = torch.fft.ifft(torch.complex(c, -mirrored) * (t.conj() / t.abs()), dim=-1).real
    x = torch.empty_like(c)
    half = (c.shape[-1] + 1) // 2
    x[..., ::2], x[..., 1::2] = v[..., :half], v[..., half:].flip(-1)
    return x
