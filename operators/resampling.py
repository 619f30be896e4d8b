"""Reduction by a whole factor with an antialiasing kernel, as separable matrices.

Two rules are in use in the world, and they differ at the borders and where the factor does not divide the size:

``pillow``  Pillow's ``Image.resize``: the picture is stretched onto the output grid (scale = in/out), the kernel is
            cut off at the border and what is left is normalised. Also torch's ``interpolate(antialias=True)``.
``matlab``  MATLAB's ``imresize(x, 1/f)``: the scale is exactly f, the picture is mirrored at the border
            (half-sample symmetric). The rule of the super-resolution literature and of CM4IR's operator.

``pillow`` is the default, because users' files come from Pillow and its relatives far more often than from MATLAB.
The operator ``resize`` has the rules of OpenCV and torch too, and any size (see `zsir.operators.sizes.resizing`).
The output has ceil(n / f) pixels on a side under both rules.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any

import torch
from torch import Tensor

from zsir.errors import BadSpec, ShapeError
from zsir.names.registry import Option
from zsir.operators.separable import Separable
from zsir.protocols import Shape


def cubic(t: Tensor) -> Tensor:
    """Keys' cubic convolution kernel with a = -1/2 (Keys 1981, eq. 15)."""
    t = t.abs()
    inner = (1.5 * t - 2.5) * t**2 + 1
    outer = ((-0.5 * t + 2.5) * t - 4) * t + 2
    return torch.where(t < 1, inner, torch.where(t < 2, outer, 0.0))


def box(t: Tensor) -> Tensor:
    """1 on (-1/2, 1/2]."""
    return ((t > -0.5) & (t <= 0.5)).to(t.dtype)


def lanczos(t: Tensor) -> Tensor:
    """sinc(t) sinc(t/3) on (-3, 3)."""
    return torch.where(t.abs() < 3, torch.sinc(t) * torch.sinc(t / 3), 0.0)


def gaussian(t: Tensor) -> Tensor:
    """Gaussian with standard deviation 1/2 output pixel, cut off at 2 output pixels."""
    return torch.where(t.abs() < 2, torch.exp(-2 * t**2), 0.0)


#: kernel name -> (function of the distance in output pixels, half-width in output pixels)
KERNELS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "bicubic": (cubic, 2.0),
    "box": (box, 0.5),
    "gaussian": (gaussian, 2.0),
    "lanczos": (lanczos, 3.0),
}


def pillow_matrix(n: int, factor: int, kernel: str) -> Tensor:
    """(ceil(n/factor), n) resampling matrix of Pillow's rule, float64."""
    function, support = KERNELS[kernel]
    m = math.ceil(n / factor)
    scale = n / m
    centres = (torch.arange(m, dtype=torch.float64) + 0.5) * scale
    pixels = torch.arange(n, dtype=torch.float64) + 0.5
    first = (centres - support * scale + 0.5).floor().clamp_min(0)
    last = (centres + support * scale + 0.5).floor().clamp_max(n)
    inside = (pixels[None] > first[:, None]) & (pixels[None] < last[:, None])
    weights = torch.where(inside, function((pixels[None] - centres[:, None]) / scale), 0.0)
    return weights / weights.sum(1, keepdim=True)


def matlab_matrix(n: int, factor: int, kernel: str) -> Tensor:
    """(ceil(n/factor), n) resampling matrix of MATLAB's imresize rule, float64."""
    function, support = KERNELS[kernel]
    m = math.ceil(n / factor)
    centres = (torch.arange(m, dtype=torch.float64) + 0.5) * factor - 0.5
    taps = math.ceil(2 * support * factor) + 2
    first = (centres - support * factor).floor()
    index = first[:, None] + torch.arange(taps, dtype=torch.float64)
    weights = function((index - centres[:, None]) / factor)
    return folded(weights / weights.sum(1, keepdim=True), index, n)


def folded(weights: Tensor, index: Tensor, n: int) -> Tensor:
    """The (m, n) matrix of weights (m, taps) at places (m, taps) of n pixels, mirrored with their edge repeated."""
    places = index.long() % (2 * n)
    places = torch.where(places < n, places, 2 * n - 1 - places)
    return torch.zeros(len(weights), n, dtype=torch.float64).scatter_add_(1, places, weights)


RULES = {"pillow": pillow_matrix, "matlab": matlab_matrix}


def downsample(
    in_shape: Shape,
    factor: Annotated[int, Option("reduction of each side", "pixels")] = 4,
    kernel: Annotated[str, Option("antialiasing kernel", choices=tuple(KERNELS))] = "bicubic",
    rule: Annotated[str, Option("how borders and odd sizes are treated", choices=tuple(RULES))] = "pillow",
) -> Separable:
    """Antialiased reduction of both sides by a whole factor; super-resolution undoes it.

    forward ``A X = M_h X M_w^T``; adjoint ``A^T Y = M_h^T Y M_w``; pinv, prox and SVD from the SVDs of M_h and M_w.
    The rows of M hold the kernel stretched by the factor and normalised to sum 1.
    Source: Keys 1981 [keys]

    Args:
        in_shape: (channels, height, width) of the picture.

    Returns:
        The operator, from the picture to one with ceil(side / factor) pixels on each side.

    Raises:
        BadSpec: An option lies outside its range.
        ShapeError: The factor is larger than a side of the picture.
    """
    channels, h, w = in_shape
    if factor < 1:
        raise BadSpec(f"downsample:factor={factor} must be a whole number of at least 1, such as 4.")
    if factor > min(h, w):
        raise ShapeError(f"downsample:factor={factor} is larger than the picture ({w}x{h}); choose a smaller factor.")
    for name, value, known in (("kernel", kernel, KERNELS), ("rule", rule, RULES)):
        if value not in known:
            raise BadSpec(f"downsample:{name}={value}: choose one of {', '.join(known)}.")
    matrix = RULES[rule]
    return Separable(
        channels,
        matrix(h, factor, kernel),
        matrix(w, factor, kernel),
        f"downsample x{factor} {kernel} {rule} {w}x{h}",
    )


def picture_shape(out_shape: Shape, options: dict[str, Any]) -> Shape:
    """The picture that an observation of ``out_shape`` is taken to come from: both sides times the factor."""
    channels, h, w = out_shape
    factor = int(options.get("factor", 4))
    return (channels, h * factor, w * factor)
