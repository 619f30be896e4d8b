"""Mirrored or zero-padded convolution with any kernel: no closed-form inverse, conjugate gradients instead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from zsir.operators.base import Operator
from zsir.operators.blurs.fourier import CircularBlur, multiply, transfer
from zsir.operators.blurs.lines import pad, pad_adjoint
from zsir.operators.plans import Plans
from zsir.protocols import Shape


@dataclass(frozen=True, eq=False)
class BoundedBlur(Operator):
    """Convolution of every channel, the picture continued by its mirrored copy or by zeros.

    forward ``crop(k * pad(x))``; adjoint ``pad^T(k~ * embed(y))``, k~ the mirrored kernel; pinv by conjugate
    gradients preconditioned with the circular inverse. Use a Gaussian, box or other separable or symmetric kernel
    (`zsir.operators.convolution` chooses) to have everything in closed form.

    Attributes:
        in_shape: (channels, height, width) of one picture.
        kernel: The weights, (rows, columns), centre at ``n // 2``.
        boundary: ``reflect``, the picture mirrored with its edge repeated (the default), or ``zero``.
        label: Name in messages.
    """

    in_shape: Shape
    kernel: Tensor = field(repr=False)
    boundary: Literal["reflect", "zero"] = "reflect"
    label: str = "blur"

    @cached_property
    def _plans(self) -> Plans:
        (kh, kw), (_, h, w) = self.kernel.shape, self.in_shape
        grid = torch.zeros(h + kh - 1, w + kw - 1, dtype=torch.float64)
        grid[:kh, :kw] = self.kernel
        return Plans({"k": torch.fft.rfft2(grid), "circular": transfer(self.kernel, h, w).abs() ** 2})

    @property
    def twin(self) -> CircularBlur:
        """The same blur with periodic borders: a cheap stand-in where only its statistics matter."""
        return CircularBlur(self.in_shape, self.kernel, self.label)

    @property
    def _margins(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """(before, after) for rows and columns: tap n // 2 sits on the output pixel."""
        kh, kw = self.kernel.shape
        return (kh - 1 - kh // 2, kh // 2), (kw - 1 - kw // 2, kw // 2)

    def forward(self, x: Tensor) -> Tensor:
        """crop(k * pad(x))."""
        self.check_input(x, self.in_shape)
        rows, columns = self._margins
        padded = pad(pad(x, *columns, self.boundary).mT, *rows, self.boundary).mT
        kh, kw = self.kernel.shape
        return multiply(padded, self._plans.like(x)["k"])[..., kh - 1 :, kw - 1 :]

    def adjoint(self, y: Tensor) -> Tensor:
        """pad^T(k~ * embed(y))."""
        self.check_input(y, self.in_shape)
        rows, columns = self._margins
        kh, kw = self.kernel.shape
        embedded = torch.nn.functional.pad(y, (kw - 1, 0, kh - 1, 0))
        padded = multiply(embedded, self._plans.like(y)["k"].conj())
        return pad_adjoint(pad_adjoint(padded.mT, *rows, self.boundary).mT, *columns, self.boundary)

    def preconditioner(self, ridge: float | Tensor) -> Callable[[Tensor], Tensor]:
        """The ridge inverse of the same kernel on a periodic grid.

        The added hundredth keeps it from amplifying what the two borders disagree on (fewest iterations of the
        floors tried, 0 to 1/100, for motion and shake kernels at ridges from 1e-6 to 1e-2).
        """

        def apply(r: Tensor) -> Tensor:
            power = self._plans.like(r)["circular"]
            return multiply(r, 1 / (power + ridge + 1e-2 * power.max()))

        return apply
