"""Pictures larger than a network or the memory takes: overlapped windows inside the prior.

Only the denoiser sees windows; the data step of a sampler stays global. Along each side the windows begin at multiples
of 8 pixels, so that networks that halve the picture up to three times see the same grid as without windows, and are
blended by a partition of unity:

    w(t) = 0 for t < m,   sin^2(pi/2 (t - m + 1/2)/(o - 2m)) for m <= t < o - m,   1 inside        o overlap, m = o/4

of the distance t from the window's border, divided by the sum over all windows; there is no ramp at the border of the
picture. What a window says within m pixels of its own border is never used: networks whose receptive field reaches at
most m pixels far cannot tell the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from zsir.errors import BadSpec
from zsir.priors.wrappers.base import Wrapper, fitted
from zsir.priors.wrappers.settings import GRID, check_tile
from zsir.protocols import Prior

#: which picture of a batch, all channels, rows, columns
Place = tuple[int, slice, slice, slice]


@dataclass(frozen=True, eq=False, repr=False)
class Tiled(Wrapper):
    """Denoises windows of a picture, a few at a time, and blends them.

    Memory beyond that of the picture is that of ``batch`` windows, however large the picture is, also under gradients:
    what the network computed is not kept but computed again when the gradient is asked for, one more forward per
    gradient. Pictures are extended by reflection to a multiple of 8 and to at least one tile, and cropped; so is the
    picture ``mu`` of a prior that is conditioned on one.

    Attributes:
        prior: The inner prior.
        tile: Side of the windows in pixels, a multiple of 8 from 16 on. By default 256.
        overlap: Pixels that neighbours share, a multiple of 8 up to half a tile; a quarter of it on each side is
            context only. By default a quarter of the tile.
        batch: Windows that are denoised at a time, at least 1. By default 4.

    Raises:
        BadSpec: A number lies outside its range.
    """

    tile: int = 256
    overlap: int | None = None
    batch: int = 4

    def __post_init__(self) -> None:
        check_tile(self.tile)
        if self.overlap is not None and (self.overlap % GRID or not GRID <= self.overlap <= self.tile // 2):
            raise BadSpec(
                f"overlap={self.overlap}: a multiple of {GRID} is needed, {GRID} to half a tile ({self.tile // 2})."
            )
        if self.batch < 1:
            raise BadSpec(f"batch={self.batch}: at least one tile must be processed at a time.")

    @property
    def shared(self) -> int:
        """Pixels that neighbouring windows have in common."""
        return self.overlap if self.overlap is not None else max(GRID, self.tile // 4 // GRID * GRID)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Clean estimate of x (batch, channels, height, width), any size, at noise levels sigma (batch,)."""
        height, width = x.shape[-2:]
        extended = self._extended(x)
        mu = None if self.mu is None else self._extended(fitted(self.mu, x))
        rows, columns = (self._windows(n, x) for n in extended.shape[-2:])
        jobs = [(k, row, column) for k in range(x.shape[0]) for row in rows for column in columns]
        out = torch.zeros_like(extended)
        for first in range(0, len(jobs), self.batch):
            group = jobs[first : first + self.batch]
            places = [(k, slice(None), r.part, c.part) for k, r, c in group]
            who = torch.tensor([k for k, _, _ in group], device=x.device)
            prior = self.prior if mu is None else cast(Any, self.prior).conditioned_on(cut(mu, places))
            estimate = _economical(prior, cut(extended, places), sigma[who])
            weights = torch.stack([r.weight[:, None] * c.weight for _, r, c in group])[:, None]
            out = pasted(out, estimate * weights, places)
        return out[..., :height, :width]

    def _extended(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        return mirrored(mirrored(x, self._length(height), -2), self._length(width), -1)

    def _length(self, n: int) -> int:
        return max(self.tile, n + -n % GRID)

    def _windows(self, n: int, like: Tensor) -> list[_Window]:
        """The windows along a side of n pixels, with weights that add up to one at every pixel."""
        last = n - self.tile
        starts = [*range(0, last, self.tile - self.shared), last]
        weights = torch.zeros(len(starts), n, dtype=torch.float64)
        for weight, start in zip(weights, starts, strict=True):
            weight[start : start + self.tile] = self._ramp(start > 0, start < last)
        weights = (weights / weights.sum(0)).to(like)
        return [_Window(slice(s, s + self.tile), w[s : s + self.tile]) for s, w in zip(starts, weights, strict=True)]

    def _ramp(self, rises: bool, falls: bool) -> Tensor:
        margin = self.shared // 4
        distance = torch.arange(self.tile, dtype=torch.float64) - margin + 0.5
        rise = torch.sin(torch.pi / 2 * (distance / (self.shared - 2 * margin)).clamp(0, 1)) ** 2
        one = torch.ones_like(rise)
        return (rise if rises else one) * (rise.flip(0) if falls else one)


@dataclass(frozen=True, eq=False)
class _Window:
    """A window along one side: where it lies and what its pixels count."""

    part: slice
    weight: Tensor


def cut(x: Tensor, places: Sequence[Place]) -> Tensor:
    """The windows of x at ``places``, all of one size, stacked."""
    made: Tensor = _Cut.apply(x, places)  # type: ignore[no-untyped-call]
    return made


def pasted(x: Tensor, pieces: Tensor, places: Sequence[Place]) -> Tensor:
    """x with ``pieces`` added in place where they belong: the transpose of `cut`."""
    made: Tensor = _Pasted.apply(x, pieces, places)  # type: ignore[no-untyped-call]
    return made


class _Cut(torch.autograd.Function):
    """`cut`. Autograd's own slicing would make a gradient in the size of x for each window."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Sequence[Place]) -> Tensor:
        ctx.places, ctx.shape = places, x.shape
        return torch.stack([x[place] for place in places])

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return pasted(g.new_zeros(ctx.shape), g, ctx.places), None


class _Pasted(torch.autograd.Function):
    """`pasted`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, pieces: Tensor, places: Sequence[Place]) -> Tensor:
        ctx.places = places
        ctx.mark_dirty(x)
        for place, piece in zip(places, pieces, strict=True):
            x[place] += piece
        return x

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, None]:
        return g, cut(g, ctx.places), None


def _economical(prior: Prior, x: Tensor, sigma: Tensor) -> Tensor:
    """What the prior says of windows x; for gradients only x is kept, and the rest computed again when it is needed."""
    if not (torch.is_grad_enabled() and x.requires_grad):
        return prior.denoise(x, sigma)

    def run(x: Tensor) -> Tensor:
        return prior.denoise(x, sigma)

    # priors draw nothing from global generators, so that there is no state to restore
    made: Tensor = checkpoint(run, x, use_reentrant=False, preserve_rng_state=False)
    return made


def mirrored(x: Tensor, length: int, dim: int) -> Tensor:
    """x extended at the end of ``dim`` to ``length`` by reflection, as often as it takes; edges are not repeated."""
    n = x.shape[dim]
    if length <= n:
        return x
    period = max(1, 2 * n - 2)
    place = torch.arange(length, device=x.device) % period
    return x.index_select(dim, torch.minimum(place, period - place) if n > 1 else torch.zeros_like(place))
