"""Blurs by name. `convolution` picks the representation of a kernel that has every inverse in closed form.

A blur is a true convolution, ``y[i] = sum_j kernel[j] x[i - (j - centre)]``, with the centre at tap ``taps // 2``.
Borders: ``reflect`` (the picture mirrored, edge repeated), ``circular`` (continued periodically), ``zero``, or
``unknown`` (x has margins, and the observation is the part that needs nothing beyond them).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from inspect import signature
from typing import Annotated, Any, Literal, cast

import torch
from torch import Tensor

from zsir.errors import BadSpec, PictureWarning
from zsir.names.registry import Option
from zsir.operators.base import Operator
from zsir.operators.blurs import kernels
from zsir.operators.blurs.bounded import BoundedBlur
from zsir.operators.blurs.cosine import CosineBlur
from zsir.operators.blurs.fourier import CircularBlur
from zsir.operators.blurs.lines import line_matrices
from zsir.operators.blurs.low_pass import low_pass
from zsir.operators.blurs.measured import prepared
from zsir.operators.blurs.unknown import ValidBlur, extended
from zsir.operators.separable import Separable
from zsir.protocols import Shape

BOUNDARIES = ("reflect", "circular", "zero", "unknown")
Boundary = Annotated[str, Option("how the picture goes on beyond its border", choices=BOUNDARIES)]


def convolution(in_shape: Shape, kernel: Tensor, boundary: str = "reflect", label: str = "blur") -> Operator:
    """Convolution with a kernel, in its best representation.

    - circular: FFT
    - reflect, and a kernel symmetric in both axes: DCT
    - reflect or zero, and a separable kernel: two matrices
    - unknown: two matrices for a separable kernel and a picture of at most 1024 pixels a side; else conjugate
      gradients on the strips around the picture
    - else, such as for an oblique motion path: forward and adjoint by FFT, the inverse by conjugate gradients

    Args:
        in_shape: (channels, height, width) of the picture; with ``unknown``, of the picture with its margins.
        kernel: The weights, (rows, columns), centre at ``n // 2``. They are normalised to sum 1.
        boundary: How the picture goes on beyond its border: ``reflect`` (mirrored, edge repeated; the default),
            ``circular``, ``zero`` or ``unknown``. With ``unknown`` the observation is smaller than x by as many pixels
            as the kernel reaches.
        label: Name in messages. By default ``blur``.

    Returns:
        The operator.

    Raises:
        BadSpec: The boundary is not known, or the kernel is no blur.
        ShapeError: The kernel is not two-dimensional; or with ``unknown``, it reaches as far as the picture is large.
    """
    if boundary not in BOUNDARIES:
        raise BadSpec(f"{label}:boundary={boundary}: choose one of {', '.join(BOUNDARIES)}.")
    kernel = kernels.normalised(kernel, label)
    text = f"{label} {kernel.shape[1]}x{kernel.shape[0]} {boundary}"
    if boundary == "circular":
        return CircularBlur(in_shape, kernel, text)
    if boundary == "unknown":
        return ValidBlur(in_shape, kernel, text)
    if boundary == "reflect" and is_symmetric(kernel):
        return CosineBlur(in_shape, kernel, text)
    matrices = line_matrices(kernel, in_shape, boundary)
    if matrices is not None:
        return Separable(in_shape[0], *matrices, text)
    return BoundedBlur(in_shape, kernel, cast(Literal["reflect", "zero"], boundary), text)


def is_symmetric(kernel: Tensor) -> bool:
    """Odd-sized and equal to its mirrored copies in both axes."""
    odd = all(n % 2 for n in kernel.shape)
    return odd and torch.equal(kernel, kernel.flip(0)) and torch.equal(kernel, kernel.flip(1))


def gaussian_blur(
    in_shape: Shape,
    sigma: Annotated[float, Option("standard deviation of the Gaussian", "pixels")] = 3.0,
    boundary: Boundary = "reflect",
    taps: Annotated[
        int | None,
        Option("side of the kernel, odd; by default up to 4 sigma on each side, 8 if power is not 2", "pixels"),
    ] = None,
    power: Annotated[float, Option("2 is a Gaussian; less has longer tails, more ends more sharply", "1..8")] = 2.0,
) -> Operator:
    """Gaussian blur, or the family of Lévy blurs with the transfer function ``exp(-(2 pi sigma f)^power / 2)``.

    Below power 2 these are the blurs of many optical systems, with long tails; above 2 they keep middle detail and end
    sharply, with negative lobes, as the filters of resampling do. The Gaussian itself is sampled at the pixels, so that
    below a sigma of half a pixel it is narrower than its transfer function says.
    Source: Carasso 2001 [apex]

    forward ``A x = k * x``; adjoint ``A^T y = k~ * y``; pinv and prox exact in the cosine (reflect) or Fourier
    (circular) domain, or from the SVDs of two matrices (zero, for power 2; else by conjugate gradients).

    Args:
        in_shape: (channels, height, width) of the picture.

    Returns:
        The operator.

    Raises:
        BadSpec: An option lies outside its range.
    """
    return convolution(in_shape, kernels.levy(sigma, power, taps), boundary, "blur")


def uniform_blur(
    in_shape: Shape,
    size: Annotated[int, Option("side of the box", "pixels")] = 9,
    boundary: Boundary = "reflect",
) -> Operator:
    """Mean over a square of pixels; of an even square, the centre is pixel ``size // 2``.

    forward ``A x = k * x``; adjoint ``A^T y = k~ * y``; pinv and prox exact for every boundary.

    Args:
        in_shape: (channels, height, width) of the picture.

    Returns:
        The operator.

    Raises:
        BadSpec: An option lies outside its range.
    """
    return convolution(in_shape, kernels.uniform(size), boundary, "uniform")


def disc_blur(
    in_shape: Shape,
    radius: Annotated[float, Option("radius of the disc", "pixels")] = 4.0,
    boundary: Boundary = "reflect",
) -> Operator:
    """Defocus: a point becomes a disc.

    forward ``A x = k * x``; adjoint ``A^T y = k~ * y``; pinv and prox exact in the cosine (reflect) or Fourier
    (circular) domain, by conjugate gradients else.

    Args:
        in_shape: (channels, height, width) of the picture.

    Returns:
        The operator.

    Raises:
        BadSpec: An option lies outside its range.
    """
    return convolution(in_shape, kernels.disc(radius), boundary, "disc")


def sinc_blur(
    in_shape: Shape,
    cutoff: Annotated[float, Option("frequency where the picture ends", "radians a pixel, at most pi")] = 1.5,
    size: Annotated[int, Option("side of the kernel, odd", "pixels")] = 21,
    boundary: Boundary = "reflect",
) -> Operator:
    """Low pass with a sharp end, and ringing: the ideal circular one, cut to a square.

    Below ``cutoff`` little is lost, above it nearly everything; the larger ``size``, the sharper the end between them,
    which is about 6 / size radians wide. Filters of resampling are of this kind, and the pipelines of Real-ESRGAN end
    with one.
    Source: Wang et al. 2021, section 3.3 [realesrgan]

    forward ``A x = k * x``; adjoint ``A^T y = k~ * y``; pinv and prox exact in the cosine (reflect) or Fourier
    (circular) domain, by conjugate gradients else.

    Args:
        in_shape: (channels, height, width) of the picture.

    Returns:
        The operator.

    Raises:
        BadSpec: An option lies outside its range.
    """
    return convolution(in_shape, low_pass(size, cutoff), boundary, "sinc")


def motion_blur(
    in_shape: Shape,
    length: Annotated[float, Option("length of the path", "pixels")] = 15.0,
    angle: Annotated[float, Option("direction, counter-clockwise from the horizontal", "degrees")] = 30.0,
    boundary: Boundary = "reflect",
) -> Operator:
    """Straight motion at constant speed.

    forward ``A x = k * x``; adjoint ``A^T y = k~ * y``; pinv and prox exact for circular borders and for paths along
    an axis, by conjugate gradients else.

    Args:
        in_shape: (channels, height, width) of the picture.

    Returns:
        The operator.

    Raises:
        BadSpec: An option lies outside its range.
    """
    return convolution(in_shape, kernels.motion(length, angle), boundary, "motion")


def shake_blur(
    in_shape: Shape,
    size: Annotated[int, Option("side of the kernel, odd", "pixels")] = 31,
    intensity: Annotated[float, Option("0 nearly straight, 1 wanders freely", "0..1")] = 0.5,
    seed: Annotated[int, Option("which path")] = 0,
    boundary: Boundary = "reflect",
) -> Operator:
    """A random hand-shake path: heading that drifts and sometimes jerks, constant speed.

    forward ``A x = k * x``; adjoint ``A^T y = k~ * y``; pinv and prox exact for circular borders, by conjugate
    gradients else.

    Args:
        in_shape: (channels, height, width) of the picture.

    Returns:
        The operator.

    Raises:
        BadSpec: An option lies outside its range.
    """
    return convolution(in_shape, kernels.shake(size, intensity, seed), boundary, "shake")


def kernel_blur(
    in_shape: Shape,
    path: Annotated[str, Option("grey picture, .npy, .npz, .mat or text file; it is normalised to sum 1")],
    boundary: Boundary = "reflect",
    name: Annotated[str, Option("which array, of a file that holds several")] = "",
    background: Annotated[str, Option("constant to take off: keep, auto or a number, in the file's units")] = "keep",
    negative: Annotated[str, Option("what becomes of negative weights", choices=("keep", "clip"))] = "keep",
    centre: Annotated[str, Option("whether the centre of mass becomes the centre", choices=("keep", "mass"))] = "keep",
    flip: Annotated[bool, Option("mirror the kernel in both axes, for a file that holds a correlation")] = False,
) -> Operator:
    """Blur with a kernel from a file; the centre is pixel (height // 2, width // 2), also of an even-sized kernel.

    A kernel that stands on a constant, has negative weights, or has its centre of mass elsewhere is used as it is, and
    a warning says so. The options correct it.

    forward ``A x = k * x``; adjoint ``A^T y = k~ * y``; pinv and prox exact for circular borders and for symmetric
    or separable kernels, by conjugate gradients else.

    Args:
        in_shape: (channels, height, width) of the picture.

    Returns:
        The operator.

    Raises:
        BadInput: The file cannot be read.
        BadSpec: The file holds no blur.
    """
    from zsir.pictures import read_gray

    label = f"kernel {path}"
    kernel = torch.as_tensor(read_gray(path, name))
    kernel = prepared(kernel, label, background=background, negative=negative, centre=centre, flip=flip)
    return convolution(in_shape, kernel, boundary, label)


def picture_shape(maker: Callable[..., Operator]) -> Callable[[Shape, dict[str, Any]], Shape]:
    """``(out_shape, options) -> in_shape`` of one of the makers above: with boundary=unknown, x has margins."""
    default = signature(maker).parameters["boundary"].default

    def rule(out_shape: Shape, options: dict[str, Any]) -> Shape:
        if options.get("boundary", default) != "unknown":
            return out_shape
        with warnings.catch_warnings():  # what is to be said of a kernel is said when the operator itself is made
            warnings.simplefilter("ignore", PictureWarning)
            probe = maker((1, 1, 1), **{**options, "boundary": "circular"})
        return extended(out_shape, cast(CircularBlur, probe).kernel)

    return rule


gaussian_shape = picture_shape(gaussian_blur)
uniform_shape = picture_shape(uniform_blur)
disc_shape = picture_shape(disc_blur)
sinc_shape = picture_shape(sinc_blur)
motion_shape = picture_shape(motion_blur)
shake_shape = picture_shape(shake_blur)
kernel_shape = picture_shape(kernel_blur)
