"""The ideal circular low pass, cut to a square: what resampling filters and the pipelines of Real-ESRGAN leave."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zsir.errors import BadSpec
from zsir.operators.blurs.kernels import normalised

#: largest size in pixels and least cut-off in radians a pixel: beyond, a filter is as large as a picture
LARGEST_SINC, LEAST_CUTOFF = 127, 0.02


def offsets(size: int) -> tuple[Tensor, Tensor]:
    """Offsets x (along columns) and y (along rows) from the centre of a square, (size, size) each."""
    line = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    y, x = torch.meshgrid(line, line, indexing="ij")
    return x, y


def sinc(size: int, cutoff: float) -> Tensor:
    """The ideal circular low pass, ``w J1(w r) / (2 pi r)`` with the cut-off w in radians a pixel."""
    x, y = offsets(size)
    distances, place = torch.unique(x**2 + y**2, return_inverse=True)
    r = torch.sqrt(distances)
    safe = torch.where(r > 0, r, 1.0)
    taps = cutoff * bessel_j1(cutoff * safe) / (2 * math.pi * safe)
    return torch.where(r > 0, taps, cutoff**2 / (4 * math.pi))[place]


def bessel_j1(x: Tensor) -> Tensor:
    """The Bessel function of order 1, to the last digits; `torch.special.bessel_j1` is exact to 4e-7 only.

    Bessel's integral ``1/(2 pi) int cos(t - x sin t) dt`` over a period, by the trapezoidal rule. Its error is the
    Bessel function of the order of the number of nodes, which is nothing well beyond x.
    """
    nodes = 64 + 2 * math.ceil(float(x.abs().max()))
    t = torch.arange(nodes, dtype=torch.float64) * (2 * math.pi / nodes)
    return torch.cos(t - x[..., None] * torch.sin(t)).mean(dim=-1)


def low_pass(size: int, cutoff: float) -> Tensor:
    """`sinc` with sum 1, of a sensible size and cut-off."""
    if not 3 <= size <= LARGEST_SINC or size % 2 == 0:
        raise BadSpec(f"sinc:size={size} must be an odd number in 3..{LARGEST_SINC} pixels, such as 21.")
    if not LEAST_CUTOFF <= cutoff <= math.pi + 1e-4:
        raise BadSpec(f"sinc:cutoff={cutoff:g} must lie in {LEAST_CUTOFF}..3.1416, in radians a pixel, such as 1.5.")
    return normalised(sinc(size, min(cutoff, math.pi)), "sinc")
