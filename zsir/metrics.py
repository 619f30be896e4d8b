"""Full-reference quality of pictures, on colour channels as they are (not on luminance), nothing cropped away."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zsir.errors import ShapeError

#: the window of Wang et al. 2004: Gaussian of 1.5 pixels, cut off at 3.5 standard deviations
WINDOW_STD = 1.5
WINDOW_RADIUS = 5


def psnr(a: Tensor, b: Tensor, data_range: float = 1.0) -> float:
    """Peak signal-to-noise ratio ``10 log10(data_range^2 / mean((a - b)^2))`` in dB; infinite for equal pictures.

    a and b (batch, channels, height, width); the mean runs over all pixels and channels of a picture, the result is
    the mean over the batch. Values are taken as they are: clip to [0, 1] first what will be written so.
    Raises `ShapeError` when the shapes differ.

    >>> round(psnr(torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 0.1)), 3)
    20.0
    """
    _check(a, b)
    errors = (a.double() - b.double()).square().flatten(1).mean(dim=1).tolist()
    values = [10 * math.log10(data_range**2 / e) if e > 0 else math.inf for e in errors]
    return sum(values) / len(values)


def ssim(a: Tensor, b: Tensor, data_range: float = 1.0) -> float:
    """Structural similarity (Wang et al. 2004), the mean over windows, channels and batch; 1 for equal pictures.

    Convention: Gaussian window of standard deviation 1.5 and 11 taps, population covariance, K1 = 0.01, K2 = 0.03,
    every channel by itself, windows that lie wholly inside the picture. That is scikit-image's
    ``structural_similarity(..., gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1,
    channel_axis=...)``. a and b (batch, channels, height, width), both sides at least 11 pixels, else `ShapeError`.

    >>> x = torch.linspace(0, 1, 256).view(1, 1, 16, 16)
    >>> round(ssim(x, x), 6), ssim(x, 1 - x) < 0
    (1.0, True)
    """
    _check(a, b)
    side = 2 * WINDOW_RADIUS + 1
    if min(a.shape[-2:]) < side:
        raise ShapeError(f"SSIM needs pictures of at least {side}x{side} pixels, got {a.shape[-1]}x{a.shape[-2]}.")
    a, b = a.double(), b.double()
    mean_a, mean_b, square_a, square_b, product = (_window_mean(t) for t in (a, b, a * a, b * b, a * b))
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    spread = square_a - mean_a**2 + square_b - mean_b**2
    covariance = product - mean_a * mean_b
    numerator = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return float((numerator / ((mean_a**2 + mean_b**2 + c1) * (spread + c2))).mean())


def _window_mean(x: Tensor) -> Tensor:
    """Gaussian-weighted means over all windows inside x (batch, channels, h, w) -> (..., h - 10, w - 10)."""
    t = torch.arange(-WINDOW_RADIUS, WINDOW_RADIUS + 1, dtype=x.dtype, device=x.device)
    line = torch.exp(-0.5 * (t / WINDOW_STD) ** 2)
    line = line / line.sum()
    planes = x.flatten(0, 1)[:, None]
    planes = torch.nn.functional.conv2d(planes, line.view(1, 1, -1, 1))
    planes = torch.nn.functional.conv2d(planes, line.view(1, 1, 1, -1))
    return planes.view(*x.shape[:2], *planes.shape[-2:])


def _check(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape or a.ndim != 4 or not a.numel():
        raise ShapeError(
            f"Two pictures of one shape (batch, channels, height, width) are compared, got {tuple(a.shape)} "
            f"and {tuple(b.shape)}."
        )
