"""The matrices by which Pillow, OpenCV, MATLAB and torch bring one side of a picture to another length.

Each function returns the (m, n) matrix, float64, that makes m pixels of n. All libraries put pixel centres at half
pixels. They differ in the kernel, at the border, and in whether a reduction averages (antialiases). All but OpenCV's
``area`` treat rows and columns alone.

``step`` is the distance of two output pixels in input pixels. It is n / m where the output size was asked for. Where a
scale was asked for, MATLAB, OpenCV and torch use 1 / scale, even if the size was rounded; Pillow always uses n / m.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from zsir.operators.resampling import KERNELS, box, cubic, folded, lanczos

Kernel = Callable[[Tensor], Tensor]


def triangle(t: Tensor) -> Tensor:
    """1 - |t| on (-1, 1)."""
    return (1 - t.abs()).clamp_min(0)


def hamming(t: Tensor) -> Tensor:
    """sinc(t) (0.54 + 0.46 cos(pi t)) on (-1, 1)."""
    return torch.where(t.abs() < 1, torch.sinc(t) * (0.54 + 0.46 * torch.cos(math.pi * t)), 0.0)


def lanczos2(t: Tensor) -> Tensor:
    """sinc(t) sinc(t/2) on (-2, 2)."""
    return torch.where(t.abs() < 2, torch.sinc(t) * torch.sinc(t / 2), 0.0)


def sharp_cubic(t: Tensor) -> Tensor:
    """The cubic convolution kernel with a = -3/4, as OpenCV and torch have it where they do not antialias."""
    t = t.abs()
    inner = (1.25 * t - 2.25) * t**2 + 1
    outer = ((-0.75 * t + 3.75) * t - 6) * t + 3
    return torch.where(t < 1, inner, torch.where(t < 2, outer, 0.0))


#: kernel -> (function of the distance in pixels, half-width); of Pillow, and of torch with antialiasing
CUT: dict[str, tuple[Kernel, float]] = {
    **{name: KERNELS[name] for name in ("bicubic", "box", "lanczos")},
    "bilinear": (triangle, 1.0),
    "hamming": (hamming, 1.0),
}
#: of MATLAB
MIRRORED: dict[str, tuple[Kernel, float]] = {
    "bicubic": (cubic, 2.0),
    "bilinear": (triangle, 1.0),
    "box": (box, 0.5),
    "lanczos2": (lanczos2, 2.0),
    "lanczos3": (lanczos, 3.0),
    "nearest": (box, 0.5),
}


def cut_at_border(n: int, m: int, step: float, kernel: str) -> Tensor:
    """Pillow's rule: in a reduction the kernel is stretched by the step; what lies beyond the border is left out, and
    what is left is normalised."""
    function, support = CUT[kernel]
    stretch = max(1.0, step)
    centres = _centres(m, step) + 0.5
    pixels = torch.arange(n, dtype=torch.float64) + 0.5
    first = (centres - support * stretch + 0.5).floor().clamp_min(0)
    last = (centres + support * stretch + 0.5).floor().clamp_max(n)
    inside = (pixels[None] > first[:, None]) & (pixels[None] < last[:, None])
    weights = torch.where(inside, function((pixels[None] - centres[:, None]) / stretch), 0.0)
    return weights / weights.sum(1, keepdim=True)


def mirrored_at_border(n: int, m: int, step: float, kernel: str, antialias: bool = True) -> Tensor:
    """MATLAB's rule: the picture is mirrored with its edge repeated."""
    function, support = MIRRORED[kernel]
    stretch = step if antialias and step > 1 else 1.0
    centres = _centres(m, step)
    first = (centres - support * stretch).floor()
    index = first[:, None] + torch.arange(math.ceil(2 * support * stretch) + 2, dtype=torch.float64)
    weights = function((index - centres[:, None]) / stretch)
    return folded(weights / weights.sum(1, keepdim=True), index, n)


def repeated_at_border(n: int, m: int, step: float, kernel: Kernel, support: int) -> Tensor:
    """The edge pixel goes on for ever, and a reduction does not average: 2 ``support`` taps whatever the step."""
    centres = _centres(m, step)
    index = centres.floor()[:, None] + torch.arange(1 - support, support + 1, dtype=torch.float64)
    weights = kernel(centres[:, None] - index)
    places = index.long().clamp(0, n - 1)
    return torch.zeros(m, n, dtype=torch.float64).scatter_add_(1, places, weights / weights.sum(1, keepdim=True))


def lanczos4(t: Tensor) -> Tensor:
    """sinc(t) sinc(t/4) on (-4, 4)."""
    return torch.where(t.abs() < 4, torch.sinc(t) * torch.sinc(t / 4), 0.0)


def picked(n: int, places: list[float]) -> Tensor:
    """Output i is the input pixel at ``floor(places[i])``, at the border the last one."""
    index = torch.tensor([min(max(math.floor(p), 0), n - 1) for p in places])
    return torch.nn.functional.one_hot(index, n).double()


def overlap(n: int, m: int, step: float) -> Tensor:
    """OpenCV's ``area`` for a reduction: the mean over what an output pixel covers, slivers of 1/1000 left out."""
    matrix = torch.zeros(m, n, dtype=torch.float64)
    for row in range(m):
        start = row * step
        end, cell = start + step, min(step, n - start)
        last = min(math.floor(end), n - 1)
        first = min(math.ceil(start), last)
        if first - start > 1e-3:
            matrix[row, first - 1] = (first - start) / cell
        matrix[row, first:last] = 1 / cell
        if end - last > 1e-3:
            matrix[row, last] = min(end - last, 1.0, cell) / cell
    return matrix


def area_enlarged(n: int, m: int, step: float, scale: float) -> Tensor:
    """OpenCV's ``area`` where a side grows: two taps, most of them on one pixel alone."""
    matrix = torch.zeros(m, n, dtype=torch.float64)
    for row in range(m):
        place = math.floor(row * step)
        share = (row + 1) - (place + 1) * scale
        share = 0.0 if share <= 0 else share - math.floor(share)
        if place >= n - 1:
            place, share = n - 1, 0.0
        matrix[row, place] += 1 - share
        matrix[row, min(place + 1, n - 1)] += share
    return matrix


def torch_step(n: int, m: int, step: float) -> float:
    """torch copies a side that stays, whatever the scale, with bilinear weights and wherever it antialiases."""
    return 1.0 if n == m else step


def averaged(n: int, m: int) -> Tensor:
    """torch's ``area``: the plain mean over all pixels that an output pixel touches."""
    matrix = torch.zeros(m, n, dtype=torch.float64)
    for row in range(m):
        first, last = row * n // m, -(-(row + 1) * n // m)
        matrix[row, first:last] = 1 / (last - first)
    return matrix


def walked(m: int, step: float) -> list[float]:
    """(i + 1/2) step, added up one by one as Pillow does: ties fall as its rounding has it."""
    places = [0.5 * step]
    for _ in range(m - 1):
        places.append(places[-1] + step)
    return places


def _centres(m: int, step: float) -> Tensor:
    """Positions of the output pixels, counted from the centre of input pixel 0."""
    return (torch.arange(m, dtype=torch.float64) + 0.5) * step - 0.5
