"""Masks from files: painted in any program, hard or soft, white on the picture or white on the damage."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from zsir.errors import BadSpec, ShapeError
from zsir.linalg import per_picture, ridge_inverse
from zsir.names.registry import Option
from zsir.operators.base import Operator
from zsir.operators.mask import Mask, trivial_svd
from zsir.operators.plans import SVD, Plans
from zsir.protocols import Shape

#: a pixel counts as observed from this share of the mask's white on: what is painted over in part is no data, but the
#: ripples of a mask that was saved as JPEG do no harm
WHITE = 0.9
#: a mask whose brightest value is below this has no white at all
DIM = 0.5
#: soft weights below this count as 0: the pixel behind would be mostly rounding error
LEAST_WEIGHT = 0.1


@dataclass(frozen=True, eq=False)
class SoftMask(Operator):
    """Every pixel times a weight from 0 to 1: a picture painted over with black of some opacity.

    forward ``A x = w * x``; adjoint ``A^T y = w * y``; pinv ``w * y / (w^2 + ridge)``, 0 where w is 0.

    Attributes:
        in_shape: (channels, height, width) of one picture.
        weights: 1 where a pixel is observed as it is, 0 where it is missing; (height, width) or
            (channels, height, width).

    Raises:
        BadSpec: A weight lies outside [0, 1].
        ShapeError: ``weights`` has another size than the picture.
    """

    in_shape: Shape
    weights: Tensor = field(repr=False)

    def __post_init__(self) -> None:
        if tuple(self.weights.shape) not in (self.in_shape, self.in_shape[1:]):
            raise ShapeError(
                f"The mask has shape {tuple(self.weights.shape)}, the picture {self.in_shape}: give a mask of "
                f"{self.in_shape[2]}x{self.in_shape[1]} pixels (width x height)."
            )
        if not self.weights.is_floating_point() or not bool(((self.weights >= 0) & (self.weights <= 1)).all()):
            raise BadSpec("The weights of a soft mask are floats in [0, 1]; divide 8-bit values by 255.")

    @property
    def known(self) -> Tensor:
        """True where a weight is not 0."""
        return self.weights > 0

    @property
    def seen(self) -> Tensor:
        """True where a weight is not 0."""
        return self.known

    @property
    def measurements(self) -> int:
        """Pixels with a weight above 0, times channels."""
        return int(self.known.sum()) * (self.in_shape[0] if self.weights.ndim == 2 else 1)

    @cached_property
    def _plans(self) -> Plans:
        return Plans({"w": self.weights.double()})

    def forward(self, x: Tensor) -> Tensor:
        """w * x."""
        self.check_input(x, self.in_shape)
        return x * self._plans.like(x)["w"]

    def adjoint(self, y: Tensor) -> Tensor:
        """w * y."""
        return self.forward(y)

    def pinv(self, y: Tensor, ridge: float | Tensor = 0.0) -> Tensor:
        """w * y / (w^2 + ridge)."""
        self.check_input(y, self.in_shape)
        return y * ridge_inverse(self._plans.like(y)["w"], per_picture(ridge, y))

    def svd(self, like: Tensor) -> SVD:
        """The trivial decomposition: U = V = I, s = w."""
        return trivial_svd(self._plans.like(like)["w"].expand(self.in_shape))

    @property
    def T(self) -> Operator:
        """A^T = A: the operator is symmetric."""
        return self

    def after(self, inner: Operator) -> Operator | None:
        """Two masks are one, with the products of their weights."""
        weights = _weights_of(inner)
        return None if weights is None else SoftMask(self.in_shape, self.weights.double() * weights)

    def before(self, outer: Operator) -> Operator | None:
        """Two masks are one, with the products of their weights."""
        weights = _weights_of(outer)
        return None if weights is None else SoftMask(self.in_shape, self.weights.double() * weights)

    def uncovered(self, y: Tensor, colour: Tensor | None = None) -> Tensor:
        """The observation of a picture that was painted over with another colour than black.

        Such a picture is ``w x + (1 - w) colour``; this takes the second part away.

        Args:
            y: Observations, (batch, channels, height, width).
            colour: The colour of the paint, (channels,). By default the median of the pixels with weight 0, and black
                where there is none.

        Returns:
            The observations as painted over with black, in the shape of ``y``.
        """
        self.check_input(y, self.in_shape)
        w = self._plans.like(y)["w"].expand(self.in_shape)
        if colour is not None:
            paint = colour.to(y).view(1, -1, 1, 1)
        else:
            covered = (w == 0).all(0)
            hidden = y[..., covered]
            paint = hidden.median(-1).values[..., None, None] if hidden.shape[-1] else torch.zeros_like(y[..., :1, :1])
        return y - (1 - w) * paint


def file_mask(
    in_shape: Shape,
    path: Annotated[str, Option("picture or .npy file; white is observed, what is not quite white is missing")],
    invert: Annotated[bool, Option("the mask is white on the damage, as for OpenCV, LaMa or Stable Diffusion")] = False,
    dilate: Annotated[int, Option("the missing part grows by this on every side", "pixels")] = 0,
    soft: Annotated[bool, Option("values between black and white are weights, as of black paint")] = False,
) -> Mask | SoftMask:
    """Pixels that are white in a picture are observed, all others are missing.

    forward ``A x = m * x``; adjoint ``A^T y = m * y``; pinv ``m * y / (m^2 + ridge)``, m the mask, 0 or 1.
    A pixel at the soft edge of a stroke is part picture, part paint, and counts as missing. With ``soft=true``, m is
    the value of the mask itself: the observation is then taken to be the picture under black paint. Where the mask is
    transparent, it counts as black.

    Args:
        in_shape: (channels, height, width) of the picture.

    Returns:
        The mask.

    Raises:
        BadInput: The file cannot be read.
        BadSpec: No pixel is observed, the mask has no white, or an option lies outside its range.
        ShapeError: The file has another size than the picture.
    """
    if not 0 <= dilate <= max(in_shape[1:]):
        raise BadSpec(f"mask-file:dilate={dilate} counts pixels: give 0 up to the side of the picture.")
    values, transparent = painted(path)
    brightest = float(values.max())
    if 0 < brightest < DIM and (invert or not soft):
        raise BadSpec(
            f"mask-file:path={path}: no pixel is white (the brightest value is {255 * brightest:.0f}/255); multiply "
            "the mask so that it becomes 255."
        )
    if brightest >= DIM:
        values = (values / brightest).clamp(0, 1)
    weights = 1 - values if invert else values
    if dilate:
        grown = torch.nn.functional.max_pool2d((1 - weights)[None], (2 * dilate + 1, 1), 1, (dilate, 0))
        weights = 1 - torch.nn.functional.max_pool2d(grown, (1, 2 * dilate + 1), 1, (0, dilate))[0]
    mask: Mask | SoftMask
    if soft:
        mask = SoftMask(in_shape, torch.where(weights < LEAST_WEIGHT, 0.0, weights))
    else:
        mask = Mask(in_shape, weights >= WHITE)
    if not mask.measurements:
        raise BadSpec(_nothing(path, invert, transparent))
    return mask


def painted(path: str) -> tuple[Tensor, bool]:
    """The values of a mask (height, width), float64, and whether transparency had a part in them."""
    from zsir.pictures import read, read_gray

    values = torch.from_numpy(np.asarray(read_gray(path)))
    if bool((values < 0).any()):
        raise BadSpec(f"mask-file:path={path}: a mask has no negative values; 1 is observed, 0 is missing.")
    alpha = None if Path(path).suffix.lower() == ".npy" else read(path).alpha
    if alpha is None:
        return values, False
    return values * alpha[0, 0].double(), bool((alpha < 1).any())


def _weights_of(operator: Operator) -> Tensor | None:
    if isinstance(operator, SoftMask):
        return operator.weights.double()
    return operator.known.double() if isinstance(operator, Mask) else None


def _nothing(path: str, invert: bool, transparent: bool) -> str:
    """What to say of a mask that leaves nothing."""
    if invert:
        return f"mask-file:path={path},invert=true: all of the mask is white, so nothing is observed; leave invert out."
    text = f"mask-file:path={path}: no pixel is white, so nothing is observed; white means observed"
    if transparent:
        return f"{text}, transparent means missing: fill the mask's background with white."
    return f"{text}. If the damage is white and is all that was painted, add invert=true."


def scratches(in_shape: Shape) -> Mask:
    """Damage of pure white or black, such as scratches or painted-out parts, found in the picture that is restored.

    forward ``A x = m * x``; adjoint ``A^T y = m * y``; pinv ``m * y / (1 + ridge)``, m found in the observation.

    Args:
        in_shape: (channels, height, width) of the picture.

    Returns:
        Nothing: without an observation there is no mask.

    Raises:
        BadSpec: Always; `zsir solve` and `zsir.restore` put the mask that they find in its place.
    """
    raise BadSpec("scratches are found in the picture that is restored; to degrade one use mask, box or mask-file.")
