"""Kernels as they come from a measurement or from a file: pedestals, negative lobes, centres that lie elsewhere."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from zsir.errors import BadSpec, PictureWarning
from zsir.names.registry import number
from zsir.operators.blurs.fourier import odd_sized
from zsir.operators.blurs.kernels import normalised

#: a share of the kernel's weight that is at the wrong place shifts an observation by about as much of the contrast of a
#: photograph (standard deviation 1/4). At this share that is the rounding of an 8-bit file, 1/255/sqrt(12)
VISIBLE = 0.005
#: a frame of one value is a pedestal if the peak stands as many times above it. A box or a Gaussian that is cut off
#: early fills its array; it has no such peak
PEAK = 4
#: the values of a pedestal's frame (10 to 90 percent of them) lie together within this share of it. Those of a
#: Gaussian that is cut off do not, because corners are farther from the centre
EVEN = 0.5
#: the least side of an array that has a frame and something inside
LEAST_SIDE = 5
#: a centre of mass so far from the centre, as a share of the side, is told; it is at least one pixel
ASIDE = 1 / 8


@dataclass(frozen=True)
class Flaws:
    """What is odd about a kernel.

    Attributes:
        background: The value of its pedestal, in its own units; 0 for none.
        share: The pedestal's share of the sum.
        negative: The share of negative weights in the sum of all sizes.
        offset: Pixels from the centre to the centre of mass, down and to the right, the pedestal removed.
    """

    background: float
    share: float
    negative: float
    offset: tuple[float, float]


def flaws_of(kernel: Tensor) -> Flaws:
    """Look for a pedestal, negative weights and a centre of mass aside.

    Args:
        kernel: The weights, (rows, columns) float64, in any units.

    Returns:
        What was found.
    """
    background = pedestal(kernel)
    rest = kernel - background
    size = float(kernel.abs().sum())
    weights = rest.clamp_min(0)
    offset = [
        float((weights.sum(1 - axis) * (torch.arange(n) - n // 2)).sum() / weights.sum().clamp_min(1e-300))
        for axis, n in enumerate(kernel.shape)
    ]
    return Flaws(
        background,
        background * kernel.numel() / (float(kernel.sum()) or 1e-300) if background else 0.0,
        float(kernel.clamp_max(0).sum().abs()) / size if size else 0.0,
        (offset[0], offset[1]),
    )


def pedestal(kernel: Tensor) -> float:
    """The constant that a kernel stands on: the median of its outermost frame, if that is even, and the peak high.

    Args:
        kernel: The weights, (rows, columns) float64.

    Returns:
        The constant in the kernel's units; 0 where there is none that matters.
    """
    if min(kernel.shape) < LEAST_SIDE:
        return 0.0
    frame = torch.cat([kernel[0], kernel[-1], kernel[1:-1, 0], kernel[1:-1, -1]])
    low, level, high = (float(q) for q in frame.quantile(torch.tensor([0.1, 0.5, 0.9], dtype=kernel.dtype)))
    even = high - low <= EVEN * abs(level)
    total = float(kernel.sum())
    matters = abs(level) * kernel.numel() > VISIBLE * abs(total)
    return level if even and matters and float(kernel.max()) >= PEAK * abs(level) else 0.0


def prepared(
    kernel: Tensor,
    name: str,
    *,
    background: str = "keep",
    negative: str = "keep",
    centre: str = "keep",
    flip: bool = False,
) -> Tensor:
    """A kernel from a file, corrected as the options say; what is odd and kept is said in a `PictureWarning`.

    Args:
        kernel: The weights, (rows, columns) float64, in any units.
        name: What messages call it.
        background: ``keep``, ``auto`` (the pedestal that is found is taken off) or a number to take off.
        negative: ``keep`` or ``clip`` (negative weights become 0).
        centre: ``keep`` or ``mass`` (the pixel of the centre of mass becomes the centre).
        flip: Mirror the kernel in both axes first, for a file that holds a correlation.

    Returns:
        The weights with sum 1.

    Raises:
        BadSpec: An option has a value that is not known, or nothing positive is left.
        ShapeError: The kernel is not two-dimensional.
    """
    # refuses what is no kernel before anything is looked for; a pedestal below 0 may still be taken off
    normalised(kernel if background == "keep" or kernel.ndim != 2 else kernel - kernel.min() + 1, name)
    kernel = odd_sized(kernel).flip(0, 1) if flip else kernel
    found = flaws_of(kernel)
    if background == "auto":
        kernel = kernel - found.background
    elif background != "keep":
        kernel = kernel - _level(background)
    elif found.background:
        _say(
            f"{name}: the kernel stands on a constant of {found.background:.3g}, {found.share:.0%} of its sum, which "
            "acts as a wide haze. Add background=auto to take it off."
        )
    normalised(kernel, name)  # where nothing positive is left, that is what is said
    after = flaws_of(kernel)
    if negative == "clip":
        kernel = kernel.clamp_min(0)
    elif after.negative > VISIBLE:
        _say(
            f"{name}: {after.negative:.1%} of the kernel's weight is negative, which a blur by optics or motion never "
            "is. Add negative=clip to set it to 0."
        )
    aside = [abs(d) > max(1.0, ASIDE * n) for d, n in zip(after.offset, kernel.shape, strict=True)]
    if centre == "mass":
        kernel = centred(kernel, after.offset)
    elif any(aside):
        down, right = (-d for d in after.offset)
        _say(
            f"{name}: the kernel's centre of mass lies {after.offset[0]:+.1f} pixels down and {after.offset[1]:+.1f} "
            f"to the right of its centre. A restored picture is shifted by {down:+.1f} and {right:+.1f} pixels against "
            "the observation. Add centre=mass to leave it where it is."
        )
    return normalised(kernel, name)


def centred(kernel: Tensor, offset: tuple[float, float]) -> Tensor:
    """A kernel whose centre is ``offset`` from the old one, to the next pixel; zeros are added around it.

    Args:
        kernel: The weights, (rows, columns).
        offset: Pixels down and to the right.

    Returns:
        The same weights in an odd-sized array.
    """
    (top, bottom), (left, right) = (_padding(n, n // 2 + round(d)) for n, d in zip(kernel.shape, offset, strict=True))
    return torch.nn.functional.pad(kernel, (left, right, top, bottom))


def _padding(n: int, middle: int) -> tuple[int, int]:
    """Zeros before and after n taps such that tap ``middle`` is the centre."""
    half = max(middle, n - 1 - middle)
    return half - middle, half - (n - 1 - middle)


def _level(text: str) -> float:
    try:
        return number(text)
    except BadSpec:
        raise BadSpec(f"kernel:background={text}: write auto, keep or a number in the units of the file.") from None


def _say(sentence: str) -> None:
    warnings.warn(sentence, PictureWarning, stacklevel=4)
