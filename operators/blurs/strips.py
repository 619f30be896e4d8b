"""Inverses of what a periodic convolution leaves on a block of its grid: exact on the block, unknown around it.

On a periodic grid, G = |K|^2 + ridge is diagonal in the Fourier basis. The observation is only a block of that grid.
The system on the block, ``(V G V^T) u = y``, is not diagonal. It is equivalent to a smaller one: continue y by numbers
s on the rest of the grid such that ``G^-1 (y + s)`` vanishes there. Then u is ``G^-1 (y + s)`` on the block. The rest
of the grid is two strips that cross, one along the rows and one along the columns. Each strip alone is block-
circulant: a transform along it leaves one small matrix per frequency, inverted once. The sum of the two inverses
(additive Schwarz) preconditions conjugate gradients on s.

Source: the reduction to the border is due to Reeves 2005 [reeves]; the preconditioner is ours.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zsir.errors import SolveError
from zsir.linalg import note_cg

#: the error is estimated from as many steps that came after it (Strakos and Tichy 2002)
DELAY = 4
#: iterations after which it is given up
MOST = 1000
#: numbers in the small matrices of one strip; above it the strips are preconditioned by G itself
LARGEST_BLOCKS = 2**25


class Strips:
    """The strips around a block of a periodic grid, for one ridge.

    Args:
        power: |K|^2 on the half plane of frequencies, (grid height, grid width // 2 + 1) float64.
        block: Height and width of the block; it begins at the grid's first pixel.
        width: Width of the grid.
        ridge: Number > 0.
        like: A tensor that gives dtype and device.
    """

    def __init__(self, power: Tensor, block: tuple[int, int], width: int, ridge: float, like: Tensor) -> None:
        self.block, self.grid, self.ridge = block, (power.shape[0], width), ridge
        self.low, self.right = power.shape[0] - block[0], width - block[1]
        full = power.to(like.device).double() + ridge
        self.power, self.inverse = full.to(like.dtype), (1 / full).to(like.dtype)
        mirrored = full[-torch.arange(self.grid[0]) % self.grid[0]][:, 1 : (width + 1) // 2].flip(1)
        whole = torch.cat([full, mirrored], dim=1)[: self.grid[0] // 2 + 1]
        self._rows = _blocks(1 / full, self.low, like)
        self._columns = _blocks(1 / whole.T, self.right, like)

    def continued(self, y: Tensor, accuracy: float) -> Tensor:
        """y (channels, *block) continued to the whole grid, (channels, *grid), such that G^-1 of it vanishes outside.

        The norm of the error that is left in ``K^H G^-1`` of the result is estimated and brought below ``accuracy``.
        Raises `SolveError` where that does not come about.
        """
        known = torch.nn.functional.pad(y, (0, self.right, 0, self.low))
        if not self.low + self.right:
            return known
        r = -self._taken(self._whitened(known))
        s, z = torch.zeros_like(r), self._preconditioned(r)
        p, rz, gains = z, _dot(r, z), list[Tensor]()
        size = float(y.double().norm())
        for _ in range(MOST):
            hp = self._taken(self._whitened(self._put(p)))
            alpha = _safe_ratio(rz, _dot(p, hp))
            gains.append((alpha * rz).sum())
            s = s + alpha.to(s) * p
            r = r - alpha.to(s) * hp
            asked = len(gains) >= DELAY and (not y.is_cuda or len(gains) % DELAY == 0)  # asking makes a GPU wait
            if asked and (error := float(torch.stack(gains[-DELAY:]).sum())) <= accuracy**2:
                note_cg(len(gains), math.sqrt(max(0.0, error)) / size if size else 0.0)
                return known + self._put(s)
            z = self._preconditioned(r)
            rz, previous = _dot(r, z), rz
            p = z + _safe_ratio(rz, previous).to(s) * p
        raise SolveError(
            f"The border of the picture did not settle in {len(gains)} iterations at ridge {self.ridge:.1e}. State the "
            "noise of the observation (noise_std > 0), pass ridge > 0, or take boundary=circular."
        )

    def _whitened(self, grid: Tensor) -> Tensor:
        """G^-1 on the whole grid."""
        return self._filtered(grid, self.inverse)

    def _filtered(self, grid: Tensor, gain: Tensor) -> Tensor:
        result: Tensor = torch.fft.irfft2(torch.fft.rfft2(grid) * gain, s=self.grid)
        return result

    def _preconditioned(self, v: Tensor) -> Tensor:
        """The inverses of the two strips, added; where a strip is too broad for its small matrices, G."""
        if self._rows is None or self._columns is None:
            return self._taken(self._filtered(self._put(v), self.power))
        low, right = self._split(v)
        along = _solved(self._rows, low)
        upright = _solved(self._columns, torch.cat([right, low[..., self.block[1] :]], dim=-2).mT).mT
        along[..., self.block[1] :] += upright[..., self.block[0] :, :]
        return torch.cat([along.flatten(1), upright[..., : self.block[0], :].flatten(1)], dim=1)

    def _put(self, v: Tensor) -> Tensor:
        """Numbers of the strips on a grid that is 0 elsewhere."""
        grid = v.new_zeros(v.shape[0], *self.grid)
        low, right = self._split(v)
        grid[:, self.block[0] :] = low
        grid[:, : self.block[0], self.block[1] :] = right
        return grid

    def _taken(self, grid: Tensor) -> Tensor:
        """The numbers of the strips, (channels, numbers): rows below the block, then what is right of it."""
        h, w = self.block
        return torch.cat([grid[:, h:].flatten(1), grid[:, :h, w:].flatten(1)], dim=1)

    def _split(self, v: Tensor) -> tuple[Tensor, Tensor]:
        low, right = v.split([self.low * self.grid[1], self.block[0] * self.right], dim=1)
        return low.view(len(v), self.low, self.grid[1]), right.view(len(v), self.block[0], self.right)


def _blocks(spectrum: Tensor, n: int, like: Tensor) -> Tensor | None:
    """Inverses of the n x n matrices that one strip leaves at every frequency along it, (frequencies, 2n, 2n) as they
    act on real parts above imaginary parts.

    ``spectrum`` (length across, frequencies along) is the strip's part of G^-1. None where they would be too large.
    """
    if n**2 * spectrum.shape[1] > LARGEST_BLOCKS:
        return None
    if n == 0:
        return torch.zeros(spectrum.shape[1], 0, 0, dtype=like.dtype, device=like.device)
    across = torch.fft.ifft(spectrum, dim=0)
    steps = torch.arange(n, device=spectrum.device)
    toeplitz = across[(steps[:, None] - steps) % spectrum.shape[0]].permute(2, 0, 1)
    inverse = torch.linalg.inv(toeplitz)
    # as real matrices: batches of small complex products are slow on CPUs
    upper = torch.cat([inverse.real, -inverse.imag], dim=2)
    return torch.cat([upper, torch.cat([inverse.imag, inverse.real], dim=2)], dim=1).to(like.dtype)


def _solved(blocks: Tensor, strip: Tensor) -> Tensor:
    """The inverse of a strip (channels, n, length) alone, continued periodically along its length."""
    if not strip.numel():
        return strip
    along = torch.fft.rfft(strip, dim=-1).permute(2, 1, 0)
    solved = blocks @ torch.cat([along.real, along.imag], dim=1)
    real, imaginary = solved.chunk(2, dim=1)
    result: Tensor = torch.fft.irfft(torch.complex(real, imaginary).permute(2, 1, 0), n=strip.shape[-1], dim=-1)
    return result


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=1, keepdim=True, dtype=torch.float64)


def _safe_ratio(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 0 where b is not positive: a channel that is solved stays as it is."""
    return torch.where(b > 0, a / torch.where(b > 0, b, 1.0), 0.0)
