"""A JPEG file of a picture that went through another operator before, such as a blur."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, cast

import torch
from torch import Tensor

from zsir.capabilities import Margins
from zsir.extent import beyond
from zsir.linalg import cg, per_picture
from zsir.operators.base import Operator
from zsir.operators.plans import Plans
from zsir.operators.sizes.window import Crop
from zsir.processes import own_noise
from zsir.protocols import Numbers, Shape


class Weighted(Protocol):
    """What a JPEG operator says of itself to those who solve with it."""

    colours: Tensor

    def metric(self, x: Tensor) -> Tensor:
        """G x, for the norm of the file's colours."""

    def trust(self, y: Tensor) -> Tensor:
        """Inverse factors of the variance, in the shape of y."""

    def response(self, trust: Tensor, fold: int) -> Tensor:
        """The mean gain of A^T A by component and frequency, for pictures ``fold`` times as large a side."""


def through(outer: Operator, inner: Operator) -> ThroughJpeg | None:
    """``outer @ inner`` for a JPEG operator ``outer``.

    Args:
        outer: The JPEG operator.
        inner: The operator that acts first.

    Returns:
        The product; None where the number of channels changes, because the norm of the file's colours is then none of
        the pictures.
    """
    return ThroughJpeg(outer, inner) if inner.in_shape[0] == inner.out_shape[0] else None


@dataclass(frozen=True, eq=False)
class ThroughJpeg(Operator):
    """``J B`` with a JPEG operator J and an operator B that keeps the number of channels.

    prox and pinv by conjugate gradients in the picture, in the norm of J:

        (A^T W A + rho G) (x - z) = A^T W (y - A z)

    W trusts numbers that are exactly 0 less, as the prox of J does. The mean gain of J at each frequency, times that of
    B in the middle of the picture, is a preconditioner in Fourier space: exact but for the blocks of J, the borders of
    B and channels that B mixes. Where B does not wrap around, the picture is mirrored for it. A window needs no
    iteration: it takes the step of J inside, and what lies around it stays.

    Attributes:
        outer: J.
        inner: B.
    """

    outer: Operator
    inner: Operator

    @property
    def in_shape(self) -> Shape:  # type: ignore[override]
        """Shape of the pictures of B."""
        return self.inner.in_shape

    @property
    def out_shape(self) -> Numbers:
        """Shape of the observations of J."""
        return self.outer.out_shape

    @property
    def pictorial(self) -> bool:
        """Coefficients are no picture."""
        return False

    @property
    def own_noise(self) -> float:
        """That of J."""
        return own_noise(self.outer)

    @property
    def margins(self) -> Margins:
        """Those of B."""
        return beyond(self.outer, self.inner)

    def forward(self, x: Tensor) -> Tensor:
        """J B x."""
        return self.outer.forward(self.inner.forward(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """B^T J^T y."""
        return self.inner.adjoint(self.outer.adjoint(y))

    def metric(self, x: Tensor) -> Tensor:
        """G x of J."""
        return self._jpeg.metric(x)

    def prox(self, z: Tensor, y: Tensor, rho: float | Tensor) -> Tensor:
        """argmin 1/2 ||A x - y||_W^2 + rho/2 ||x - z||_G^2."""
        if isinstance(self.inner, Crop):
            window = self.inner.forward(z)
            return z + self.inner.adjoint(self.outer.prox(window, y, rho) - window)
        return z + self._solved(y - self.forward(z), rho, self._jpeg.trust(y))

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """G^-1 A^T (A G^-1 A^T + ridge I)^-1 y; without a ridge the plain pseudo-inverse."""
        if isinstance(self.inner, Crop):
            return self.inner.adjoint(self.outer.pinv(y, ridge))
        if not isinstance(ridge, Tensor) and ridge == 0:
            return super().pinv(y, ridge)
        return self._solved(y, ridge, torch.ones_like(y[:1]))

    def _solved(self, misfit: Tensor, rho: float | Tensor, trust: Tensor) -> Tensor:
        weights, b = trust.double(), self.adjoint(trust * misfit)
        rhos = per_picture(rho, b)
        mixing = torch.linalg.inv(self._jpeg.colours).to(b.device)
        plans = self._inner_gain.like(weights)
        fold = plans["gain"].shape[0] // self.in_shape[1]
        gain = torch.stack([self._jpeg.response(one, fold) for one in weights]).to(b.device)
        inverse = 1 / (self._spread(gain, fold) * plans["gain"] + rhos)

        def normal(x: Tensor) -> Tensor:
            return self.adjoint(weights * self.forward(x)) + rhos * self.metric(x)

        def precondition(r: Tensor) -> Tensor:
            planes = torch.einsum("cp,bchw->bphw", mixing, r)
            if fold == 2:
                planes = torch.cat([planes, planes.flip(2)], dim=2)
                planes = torch.cat([planes, planes.flip(3)], dim=3)
            planes = torch.fft.ifft2(torch.fft.fft2(planes) * inverse).real
            return torch.einsum("cp,bphw->bchw", mixing, planes[..., : r.shape[2], : r.shape[3]])

        tolerance = 1e-12 if b.dtype == torch.float64 else 1e-6
        return cg(normal, b, precondition=precondition, tolerance=tolerance)

    @property
    def _jpeg(self) -> Weighted:
        return cast(Weighted, self.outer)

    def _spread(self, gain: Tensor, fold: int) -> Tensor:
        """Gains on the frequencies of the picture behind B, aliases included."""
        for axis in (2, 3):
            small, large = gain.shape[axis], fold * self.in_shape[axis - 1]
            place = torch.fft.fftfreq(large, 1 / large).round().long().to(gain.device)
            gain = gain.index_select(axis, place % small)
        return gain

    @cached_property
    def _inner_gain(self) -> Plans:
        """B^T B as a filter, from a pixel in the middle of the first channel; twice as large if B does not wrap."""
        _, h, w = self.in_shape
        middle = self._spot(h // 2, w // 2).roll((-(h // 2), -(w // 2)), (0, 1))
        if torch.allclose(self._spot(0, 0), middle, rtol=0, atol=1e-9 * float(middle.abs().max())):
            return Plans({"gain": torch.fft.fft2(middle).real.clamp_min(0)})
        wide = middle.new_zeros(2 * h, 2 * w)
        rows, columns = (torch.fft.fftfreq(n, 1 / n).round().long() % (2 * n) for n in (h, w))
        wide[rows[:, None], columns] = middle
        gain = torch.fft.fft2(wide).real.clamp_min(0)
        # mirrored pictures know no difference between a direction and its mirror image
        flipped = gain.flip(0).roll(1, 0)
        return Plans({"gain": (gain + flipped) / 2})

    def _spot(self, row: int, column: int) -> Tensor:
        """B^T B of one pixel, in the first channel."""
        pixel = torch.zeros(1, *self.in_shape, dtype=torch.float64)
        pixel[0, 0, row, column] = 1
        return self.inner.adjoint(self.inner.forward(pixel))[0, 0]
