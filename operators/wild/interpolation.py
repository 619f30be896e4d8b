"""Interpolation as the degradation pipelines have it: OpenCV's and torch's rules without antialiasing, as matrices.

`zsir.operators.resampling` reduces with an antialiasing kernel. The rules here do not, except for ``area``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zsir.operators.sizes.rules import averaged, repeated_at_border, torch_step, triangle

#: Keys' parameter in OpenCV and torch; Pillow and MATLAB have -1/2
KEYS = -0.75
METHODS = ("area", "linear", "cubic")
RULES = ("opencv", "torch")


def matrix(n: int, m: int, method: str, rule: str, scale: float | None = None) -> Tensor:
    """The (m, n) matrix, float64, that takes a line of n pixels to m pixels.

    Args:
        n: Pixels before.
        m: Pixels after.
        method: ``area``, ``linear`` or ``cubic``.
        rule: ``opencv`` or ``torch``. They differ in ``area`` only.
        scale: How many times as many pixels, where the caller of torch gave a factor in place of a size. By default
            m / n.

    Returns:
        The matrix. Its rows sum to 1.
    """
    if method == "area":
        if rule == "torch":
            return averaged(n, m)
        return _overlap(n, m) if m <= n else _stretched(n, m)
    factor = m / n if scale is None else scale
    if method == "linear":
        return repeated_at_border(n, m, torch_step(n, m, 1 / factor), triangle, 1)
    centres = (torch.arange(m, dtype=torch.float64) + 0.5) / factor - 0.5
    first = centres.floor()
    share = centres - first
    if rule == "opencv":  # it has its cubic weights in single precision, whatever the picture
        first = centres.float().floor()
        share = centres.float() - first
    a, b, c = _keys_far(1 + share), _keys_near(share), _keys_near(1 - share)
    weights = [a, b, c, 1 - a - b - c]
    return _gathered(n, first.long(), [weight.double() for weight in weights], -1)


def _keys_near(t: Tensor) -> Tensor:
    return ((KEYS + 2) * t - (KEYS + 3)) * t**2 + 1


def _keys_far(t: Tensor) -> Tensor:
    return ((KEYS * t - 5 * KEYS) * t + 8 * KEYS) * t - 4 * KEYS


def _gathered(n: int, first: Tensor, weights: list[Tensor], start: int) -> Tensor:
    """Rows with ``weights`` on the pixels from ``first + start`` on; the edge is repeated beyond the border."""
    rows = torch.zeros(len(first), n, dtype=torch.float64)
    for k, weight in enumerate(weights):
        rows.scatter_add_(1, (first + start + k).clamp(0, n - 1)[:, None], weight[:, None])
    return rows


def _overlap(n: int, m: int) -> Tensor:
    """Every new pixel is the mean over the part of the line that it covers."""
    edges = torch.arange(m + 1, dtype=torch.float64) * n / m
    pixels = torch.arange(n, dtype=torch.float64)
    covered = torch.minimum(edges[1:, None], pixels + 1) - torch.maximum(edges[:-1, None], pixels)
    covered = covered.clamp_min(0)
    return covered / covered.sum(dim=1, keepdim=True)


def _stretched(n: int, m: int) -> Tensor:
    """OpenCV's INTER_AREA where it enlarges: two pixels, blended only where the new pixel lies over both."""
    place = torch.arange(m)
    first = torch.div(place * n, m, rounding_mode="floor")
    share = (place + 1).double() - (first + 1).double() * (m / n)
    share = torch.where(share <= 0, 0.0, share - share.floor())
    return _gathered(n, first, [1 - share, share], 0)
