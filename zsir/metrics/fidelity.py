"""PSNR and SSIM, on the colour channels as they are or on luma; nothing is rounded or cropped away."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zsir.errors import ShapeError

#: the window of Wang et al. 2004: Gaussian of 1.5 pixels, cut off at 3.5 standard deviations
WINDOW_STD = 1.5
WINDOW_RADIUS = 5

#: Y = LUMA_BLACK + LUMA . (R, G, B), all divided by 255 (ITU-R BT.601, studio range)
LUMA = (65.481, 128.553, 24.966)
LUMA_BLACK = 16.0


def psnr(a: Tensor, b: Tensor, data_range: float = 1.0) -> float:
    """Peak signal-to-noise ratio ``10 log10(data_range^2 / mean((a - b)^2))`` in dB.

    Values are taken as they are: clip to [0, 1] first what will be written so.

    Args:
        a: Pictures, (batch, channels, height, width).
        b: Pictures in the shape of ``a``.
        data_range: Largest value less smallest value of the scale. By default 1.

    Returns:
        The mean over the batch. For each picture the mean square runs over all pixels and channels. It is infinite for
        equal pictures.

    Raises:
        ShapeError: The shapes differ.

    >>> round(psnr(torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 0.1)), 3)
    20.0
    """
    return _mean(psnr_per_picture(a, b, data_range))


def ssim(a: Tensor, b: Tensor, data_range: float = 1.0) -> float:
    """Structural similarity.

    Convention: Gaussian window of standard deviation 1.5 and 11 taps, population covariance, K1 = 0.01, K2 = 0.03,
    every channel by itself, windows that lie wholly inside the picture. That is scikit-image's
    ``structural_similarity(..., gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1,
    channel_axis=...)``.
    Source: Wang, Bovik, Sheikh and Simoncelli 2004, IEEE Transactions on Image Processing 13(4)

    Args:
        a: Pictures, (batch, channels, height, width), both sides at least 11 pixels.
        b: Pictures in the shape of ``a``.
        data_range: Largest value less smallest value of the scale. By default 1.

    Returns:
        The mean over windows, channels and batch; 1 for equal pictures.

    Raises:
        ShapeError: The shapes differ, or a side is below 11 pixels.

    >>> x = torch.linspace(0, 1, 256).view(1, 1, 16, 16)
    >>> round(ssim(x, x), 6), ssim(x, 1 - x) < 0
    (1.0, True)
    """
    return _mean(ssim_per_picture(a, b, data_range))


def psnr_per_picture(a: Tensor, b: Tensor, data_range: float = 1.0) -> list[float]:
    """As `psnr`, one number for each picture of the batch."""
    check_pair(a, b)
    errors = (a.double() - b.double()).square().flatten(1).mean(dim=1).tolist()
    return [10 * math.log10(data_range**2 / e) if e != 0 else math.inf for e in errors]


def ssim_per_picture(a: Tensor, b: Tensor, data_range: float = 1.0) -> list[float]:
    """As `ssim`, one number for each picture of the batch."""
    check_pair(a, b)
    side = 2 * WINDOW_RADIUS + 1
    if min(a.shape[-2:]) < side:
        raise ShapeError(f"SSIM needs pictures of at least {side}x{side} pixels, got {a.shape[-1]}x{a.shape[-2]}.")
    a, b = a.double(), b.double()
    mean_a, mean_b, square_a, square_b, product = (_window_mean(t) for t in (a, b, a * a, b * b, a * b))
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    spread = square_a - mean_a**2 + square_b - mean_b**2
    covariance = product - mean_a * mean_b
    numerator = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    values: list[float] = (numerator / ((mean_a**2 + mean_b**2 + c1) * (spread + c2))).flatten(1).mean(dim=1).tolist()
    return values


def luma(x: Tensor) -> Tensor:
    """Y of BT.601 as MATLAB's rgb2ycbcr gives it for real numbers: RGB in [0, 1] -> [16, 235]/255; float64.

    x (batch, 3, height, width) -> (batch, 1, height, width). Raises `ShapeError` for another number of channels.
    """
    if x.ndim != 4 or x.shape[1] != 3:
        raise ShapeError(
            f"Luma is made of red, green and blue, got shape {tuple(x.shape)}; use psnr or ssim for grey pictures."
        )
    weights = torch.tensor(LUMA, dtype=torch.float64, device=x.device).view(1, 3, 1, 1)
    return ((x.double() * weights).sum(dim=1, keepdim=True) + LUMA_BLACK) / 255


def psnr_y(a: Tensor, b: Tensor) -> list[float]:
    """PSNR of the luma, for each picture, in dB. The peak is 1 although Y spans 219/255 only, as in the literature."""
    check_pair(a, b)
    return psnr_per_picture(luma(a), luma(b))


def ssim_y(a: Tensor, b: Tensor) -> list[float]:
    """SSIM of the luma, for each picture; its constants are those of the range [0, 1]."""
    check_pair(a, b)
    return ssim_per_picture(luma(a), luma(b))


def check_pair(a: Tensor, b: Tensor) -> None:
    """Raise `ShapeError` unless both are pictures (batch, channels, height, width) of one shape."""
    if a.shape != b.shape or a.ndim != 4 or not a.numel():
        raise ShapeError(
            f"Two pictures of one shape (batch, channels, height, width) are compared, got {tuple(a.shape)} "
            f"and {tuple(b.shape)}."
        )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _window_mean(x: Tensor) -> Tensor:
    """Gaussian-weighted means over all windows inside x (batch, channels, h, w) -> (..., h - 10, w - 10)."""
    t = torch.arange(-WINDOW_RADIUS, WINDOW_RADIUS + 1, dtype=x.dtype, device=x.device)
    line = torch.exp(-0.5 * (t / WINDOW_STD) ** 2)
    line = line / line.sum()
    planes = x.flatten(0, 1)[:, None]
    planes = torch.nn.functional.conv2d(planes, line.view(1, 1, -1, 1))
    planes = torch.nn.functional.conv2d(planes, line.view(1, 1, 1, -1))
    return planes.view(*x.shape[:2], *planes.shape[-2:])
