"""PSNR after the best shift: in blind deblurring picture and kernel may move against each other."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zsir.metrics.fidelity import check_pair, psnr_per_picture

#: the longest shift in either direction, and what is taken off every side so that nothing shifted in counts, in pixels
REACH, MARGIN = 6, 8
#: steps of the search below a pixel
STEPS = (0.5, 0.25, 0.125)


def psnr_shifted(x: Tensor, truth: Tensor) -> list[float]:
    """PSNR of each picture, inside its border, after the shift of up to 6 pixels that makes it largest.

    The shift is found to an eighth of a pixel and made in the Fourier domain. A picture is taken as it is where no
    shift is better.

    Args:
        x: The pictures, (batch, channels, height, width) in [0, 1].
        truth: The true pictures, in the same shape.

    Returns:
        Decibels, one number for each picture.

    Raises:
        ShapeError: The shapes differ, or are not those of pictures.
    """
    check_pair(x, truth)
    return [_best(a[None].double(), b[None].double()) for a, b in zip(x, truth, strict=True)]


def _best(x: Tensor, truth: Tensor) -> float:
    h, w = x.shape[-2:]
    off = (min(MARGIN, (h - 1) // 4), min(MARGIN, (w - 1) // 4))
    reach = min(REACH, *off)

    def quality(shift: tuple[float, float]) -> float:
        moved = x if shift == (0, 0) else shifted(x, *shift).clamp(0, 1)
        inside = (..., slice(off[0], h - off[0]), slice(off[1], w - off[1]))
        return psnr_per_picture(moved[inside], truth[inside])[0]

    likeness = torch.fft.irfft2((torch.fft.rfft2(x).conj() * torch.fft.rfft2(truth)).sum((0, 1)), s=(h, w))
    lags = [(i, j) for i in range(-reach, reach + 1) for j in range(-reach, reach + 1)]
    start = max(lags, key=lambda lag: float(likeness[lag[0] % h, lag[1] % w]))
    best, value = max((((0.0, 0.0), quality((0, 0))), (start, quality(start))), key=lambda one: one[1])
    for step in (1.0, *STEPS):
        for _ in range(2):
            for way in ((step, 0), (-step, 0), (0, step), (0, -step)):
                trial = (best[0] + way[0], best[1] + way[1])
                if max(map(abs, trial)) <= reach and (found := quality(trial)) > value:
                    best, value = trial, found
    return value


def shifted(x: Tensor, down: float, right: float) -> Tensor:
    """The picture moved by parts of pixels, as if it were periodic.

    Args:
        x: Pictures, (batch, channels, height, width).
        down: Pixels, positive downwards.
        right: Pixels, positive to the right.

    Returns:
        Pictures in the shape of ``x``.
    """
    h, w = x.shape[-2:]
    rows = torch.fft.fftfreq(h, dtype=torch.float64)[:, None]
    columns = torch.fft.rfftfreq(w, dtype=torch.float64)
    turned = torch.exp(-2j * math.pi * (rows * down + columns * right))
    moved: Tensor = torch.fft.irfft2(torch.fft.rfft2(x) * turned.to(x.device), s=(h, w))
    return moved
