"""Kernels as points of the simplex: not negative, sum 1."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import interpolate

#: steps of the accelerated projected gradient, and of the power iteration for its step size
STEPS, POWER_STEPS = 150, 15


def on_simplex(v: Tensor) -> Tensor:
    """The nearest numbers that are not negative and have the sum 1.

    Args:
        v: Any numbers, (n,).

    Returns:
        The projection, (n,).
    """
    falling = v.sort(descending=True).values
    limits = (falling.cumsum(0) - 1) / torch.arange(1, len(v) + 1, dtype=v.dtype)
    last = int((falling > limits).nonzero()[-1])
    return (v - limits[last]).clamp_min(0)


def least_squares(form: Tensor, right: Tensor, start: Tensor) -> Tensor:
    """``argmin 1/2 k^T form k - right^T k`` on the simplex.

    Args:
        form: Symmetric and positive semi-definite, (n^2, n^2) float64.
        right: The right side, (n^2,).
        start: The kernel to begin with, (n, n).

    Returns:
        The kernel, (n, n) float64.
    """
    v = torch.ones(len(right), dtype=form.dtype) + 0.5 * torch.sin(torch.arange(len(right), dtype=form.dtype))
    for _ in range(POWER_STEPS):
        v = form @ v
        v = v / v.norm().clamp_min(1e-300)
    return accelerated(lambda k: form @ k, 1.05 * float(v @ form @ v), right, start)


def accelerated(form: Callable[[Tensor], Tensor], largest: float, right: Tensor, start: Tensor) -> Tensor:
    """``argmin 1/2 k^T form k - right^T k`` on the simplex, by the accelerated projected gradient.

    Source: Beck and Teboulle 2009, A fast iterative shrinkage-thresholding algorithm, SIAM J. Imaging Sciences

    Args:
        form: Product of the form with numbers (n^2,).
        largest: No eigenvalue of the form is larger.
        right: The right side, n^2 numbers.
        start: The kernel to begin with, (n, n).

    Returns:
        The kernel, (n, n) float64.
    """
    step, right = 1 / (largest + 1e-300), right.flatten()
    k = z = start.double().flatten()
    t = 1.0
    for _ in range(STEPS):
        following = on_simplex(z - step * (form(z) - right))
        later = (1 + math.sqrt(1 + 4 * t * t)) / 2
        z = following + (t - 1) / later * (following - k)
        k, t = following, later
    return k.view_as(start)


def thresholded(kernel: Tensor, share: float) -> Tensor:
    """The kernel without taps below ``share`` of the largest one, sum 1.

    Args:
        kernel: Not negative, (n, n).
        share: From 0 to 1.

    Returns:
        The kernel, (n, n).
    """
    kept = kernel * (kernel >= share * kernel.max())
    return kept / kept.sum()


def recentred(kernel: Tensor) -> Tensor:
    """The kernel moved by whole taps so that its centre of mass is the middle, as far as nothing leaves the array.

    The shift of kernel and picture against each other is free: this convention settles it.

    Args:
        kernel: Not negative, (n, n), sum 1.

    Returns:
        The kernel, (n, n), sum 1.
    """
    moved = kernel
    for axis in (0, 1):
        line = moved.sum(1 - axis)
        n, at = len(line), torch.arange(len(line), dtype=line.dtype)
        shift = round(n // 2 - float((line * at).sum() / line.sum()))
        taken = (line > 0.002 * line.sum()).nonzero()[:, 0]
        shift = max(-int(taken[0]), min(shift, n - 1 - int(taken[-1])))
        target = torch.zeros_like(moved)
        width = n - abs(shift)
        target.narrow(axis, max(shift, 0), width).copy_(moved.narrow(axis, max(-shift, 0), width))
        moved = target
    return moved / moved.sum()


def resized(kernel: Tensor, taps: int) -> Tensor:
    """The kernel on another number of taps, as of the same blur in a picture of another scale.

    Args:
        kernel: Not negative, (n, n).
        taps: Side of the new kernel, odd.

    Returns:
        The kernel, (taps, taps) float64, sum 1, recentred.
    """
    large = interpolate(kernel[None, None], size=(taps, taps), mode="bicubic", align_corners=False)[0, 0]
    large = large.clamp_min(0)
    return recentred(large / large.sum())


def ladder(taps: int) -> list[int]:
    """Sides of the kernel from the coarsest scale, 3, to ``taps``: odd, in steps of about the square root of 2."""
    sides = [taps]
    while sides[-1] > 3:
        side = round(sides[-1] / math.sqrt(2))
        sides.append(max(3, min(side - 1 + side % 2, sides[-1] - 2)))
    return sides[::-1]
