"""Blur kernels as float64 arrays that sum to 1. The centre of an n-tap kernel is tap ``n // 2``, even n included."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from zsir.errors import BadSpec, ShapeError

#: no kernel is larger than this on a side: a mistyped size should not ask for all memory
LARGEST = 4096
#: lines of a pixel on which a disc is measured
LINES = 64
#: powers of a Lévy blur: below, its tails are as wide as a picture; above, it rings as far
LEAST_POWER, LARGEST_POWER = 1.0, 8.0
#: largest sigma of a Lévy blur in pixels: its kernel is cut from a grid of 64 sigma a side
LARGEST_LEVY = 64.0


def normalised(kernel: Tensor, name: str) -> Tensor:
    """``kernel`` (height, width) as float64 with sum 1; raises when that makes no sense."""
    if kernel.ndim != 2 or not kernel.numel():
        raise ShapeError(f"{name}: a kernel is a two-dimensional array, got shape {tuple(kernel.shape)}.")
    kernel = kernel.double()
    if not bool(torch.isfinite(kernel).all()):
        raise BadSpec(f"{name}: the kernel holds values that are not finite numbers.")
    total = float(kernel.sum())
    if total <= 1e-12 * float(kernel.abs().sum()):
        raise BadSpec(f"{name}: the kernel sums to {total:.3g}; a blur needs a positive sum (is the file all black?).")
    return kernel / total


def gaussian(sigma: float, taps: int | None = None) -> Tensor:
    """Isotropic Gaussian of standard deviation ``sigma`` pixels on ``taps`` pixels a side, an odd number; by default
    cut off at 4 sigma."""
    if not 0 < sigma <= LARGEST / 8:
        raise BadSpec(f"blur:sigma={sigma:g} must be positive and at most {LARGEST / 8:g} pixels, such as 3.")
    if taps is not None and not (1 <= taps <= LARGEST and taps % 2):
        raise BadSpec(f"blur:taps={taps} must be an odd number in 1..{LARGEST - 1} pixels, such as 61.")
    radius = math.ceil(4 * sigma) if taps is None else taps // 2
    t = torch.arange(-radius, radius + 1, dtype=torch.float64)
    line = torch.exp(-0.5 * (t / sigma) ** 2)
    return normalised(torch.outer(line, line), "blur")


def levy(sigma: float, power: float, taps: int | None = None) -> Tensor:
    """Kernel with the transfer function ``exp(-(2 pi sigma f)^power / 2)`` on ``taps`` pixels a side, an odd number; by
    default cut off at 8 sigma. Power 2 is `gaussian`."""
    if power == 2:
        return gaussian(sigma, taps)
    if not LEAST_POWER <= power <= LARGEST_POWER:
        raise BadSpec(f"blur:power={power:g} must lie in {LEAST_POWER:g}..{LARGEST_POWER:g}; 2 is a Gaussian.")
    if sigma > LARGEST_LEVY:
        raise BadSpec(f"blur:sigma={sigma:g} must be at most {LARGEST_LEVY:g} pixels where power is not 2.")
    reach = gaussian(sigma, taps).shape[0] // 2 * (2 if taps is None else 1)
    # on a grid so large that what comes around its border is less than what the cut takes
    middle = max(reach, math.ceil(32 * sigma))
    f = torch.fft.fftfreq(2 * middle + 1, dtype=torch.float64)
    transfer = torch.exp(-0.5 * (2 * math.pi * sigma * torch.hypot(f[:, None], f)) ** power)
    kept = slice(middle - reach, middle + reach + 1)
    kernel = torch.fft.fftshift(torch.fft.ifft2(transfer).real)[kept, kept]
    # its symmetries, that the transform only nearly has, tell `convolution` of a closed form
    even = kernel + kernel.T
    even = even + even.flip(0)
    return normalised(even + even.flip(1), "blur")


def uniform(size: int) -> Tensor:
    """Square of ``size`` by ``size`` equal taps."""
    if not 1 <= size <= LARGEST:
        raise BadSpec(f"uniform:size={size} must lie in 1..{LARGEST} pixels, such as 9.")
    return normalised(torch.ones(size, size, dtype=torch.float64), "uniform")


def disc(radius: float) -> Tensor:
    """Disc of ``radius`` pixels, the image of a point out of focus: each tap is the share of its pixel inside it."""
    if not 0 < radius <= LARGEST / 2 - 1:
        raise BadSpec(f"disc:radius={radius:g} must be positive and at most {LARGEST // 2 - 1} pixels, such as 4.")
    reach = math.ceil(radius - 0.5)
    lines = (np.arange((2 * reach + 1) * LINES) + 0.5) / LINES - reach - 0.5
    half = np.sqrt(np.maximum(radius**2 - lines**2, 0.0))[:, None]
    left = np.arange(-reach, reach + 1) - 0.5
    covered = np.clip(np.minimum(left + 1, half) - np.maximum(left, -half), 0, None)
    quarter = torch.from_numpy(covered.reshape(2 * reach + 1, LINES, -1).mean(axis=1))
    # of the lines the rows are a little less exact than the columns; a disc is the same in both
    even = quarter + quarter.T
    even = even + even.flip(0)
    return normalised(even + even.flip(1), "disc")


def path(points: np.ndarray, size: int) -> Tensor:
    """Kernel of a camera path: points (n, 2) in pixels from the centre, each spread bilinearly on four taps."""
    kernel = np.zeros((size + 1, size + 1))
    where = points + size // 2
    low = np.floor(where).astype(int)
    share = where - low
    for down in (0, 1):
        for right in (0, 1):
            weight = np.abs(1 - down - share[:, 0]) * np.abs(1 - right - share[:, 1])
            np.add.at(kernel, (low[:, 0] + down, low[:, 1] + right), weight)
    return torch.from_numpy(kernel[:size, :size])


def motion(length: float, angle: float) -> Tensor:
    """Straight path of ``length`` pixels at ``angle`` degrees, counter-clockwise from the horizontal."""
    if not 1 <= length <= LARGEST:
        raise BadSpec(f"motion:length={length:g} must lie in 1..{LARGEST} pixels, such as 15.")
    t = np.linspace(-0.5, 0.5, max(3, 16 * math.ceil(length)) | 1) * (length - 1)
    direction = np.array([-math.sin(math.radians(angle)), math.cos(math.radians(angle))])
    size = 2 * math.ceil((length - 1) / 2 - 1e-9) + 1
    kernel = path(np.round(t[:, None] * direction, 9), size)
    return normalised(0.5 * (kernel + kernel.flip(0, 1)), "motion")


def shake(size: int, intensity: float, seed: int) -> Tensor:
    """Random hand-shake path inside ``size`` pixels; ``intensity`` 0 is nearly straight, 1 wanders freely."""
    if seed < 0:
        raise BadSpec(f"shake:seed={seed} must not be negative.")
    if not 3 <= size <= LARGEST or size % 2 == 0 or not 0 <= intensity <= 1:
        raise BadSpec(
            f"shake:size={size},intensity={intensity:g}: size must be odd and at least 3, intensity in [0, 1]."
        )
    rng = np.random.default_rng([seed, size])
    steps = 64 * size
    turns = rng.standard_normal(steps) * intensity * 8 / math.sqrt(steps)
    jerks = np.where(rng.random(steps) < 3 * intensity / steps, rng.uniform(-math.pi, math.pi, steps), 0.0)
    heading = rng.uniform(0, 2 * math.pi) + np.cumsum(turns + jerks)
    points = np.cumsum(np.stack([np.sin(heading), np.cos(heading)], axis=1), axis=0)
    points -= (points.max(0) + points.min(0)) / 2
    points *= (size // 2) / max(float(np.abs(points).max()), 1e-9) * rng.uniform(0.7, 1.0)
    return normalised(path(points, size), "shake")
