"""What is to be solved: an observation, the operator it came through and the noise level it carries."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from zsir.capabilities import data_of, makes_pictures
from zsir.errors import BadInput, ShapeError
from zsir.protocols import LinearOperator


@dataclass(frozen=True)
class Residual:
    """Misfit of pictures and observations, one number for each.

    Attributes:
        rms: Root of the mean square of ``A x - y`` over the measured numbers, on the [0, 1] scale.
        relative: ``rms / noise_std``, near 1 for a picture that fits as the noise allows. Without noise it is ``||A x -
            y|| / ||y||``.
    """

    rms: list[float]
    relative: list[float]


@dataclass(frozen=True, eq=False)
class Problem:
    """``y = A x + noise_std * n`` for a batch of pictures in [0, 1].

    Attributes:
        y: The observations, float32 or float64, (batch, *operator.out_shape).
        operator: The operator A that the pictures came through.
        noise_std: Standard deviation of the noise, 0 to 1, on the scale of the pictures: 5/255, not 5. Where
            observations are no pictures, it is in their own unit. By default 0.
        x_init: Where samplers begin, (batch, *operator.in_shape), in the dtype and on the device of ``y``. By default
            samplers make an initial estimate of their own.

    Raises:
        ShapeError: ``y`` or ``x_init`` does not have the operator's shape.
        BadInput: A value is not finite, or has a dtype or device that cannot be used; or a picture that was observed
            is not on the [0, 1] scale.
    """

    y: Tensor = field(repr=False)
    operator: LinearOperator
    noise_std: float = 0.0
    x_init: Tensor | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.y.is_floating_point():
            raise BadInput(f"The observation has dtype {self.y.dtype}; give floats in [0, 1]: y.float() / 255.")
        if self.y.dtype not in (torch.float32, torch.float64):
            raise BadInput(
                f"The observation has dtype {self.y.dtype}; solve in float32 or float64 (half precision belongs inside "
                "the network)."
            )
        if self.y.ndim < 2 or self.y.shape[0] == 0 or tuple(self.y.shape[1:]) != tuple(self.operator.out_shape):
            raise ShapeError(
                f"The observation has shape {tuple(self.y.shape)}, but {self.operator!r} gives "
                f"(batch, {', '.join(map(str, self.operator.out_shape))}); build the operator for this size."
            )
        if not self.noise_std >= 0:
            raise BadInput(
                f"noise_std={self.noise_std:g} must be a number that is not negative, such as 0.02 or 5/255."
            )
        if self.noise_std > 1 and makes_pictures(self.operator):
            raise BadInput(
                f"noise_std={self.noise_std:g} is not on the [0, 1] scale; for a level meant on the 0..255 scale "
                f"write {self.noise_std:g}/255."
            )
        if not bool(torch.isfinite(self.y).all()):
            raise BadInput("The observation holds NaN or infinite values; remove them or mask them out.")
        if self.x_init is not None:
            wanted = (self.y.shape[0], *self.operator.in_shape)
            if self.x_init.device != self.y.device or not bool(torch.isfinite(self.x_init).all()):
                raise BadInput(
                    f"x_init must hold finite values on the device of the observation, {self.y.device}; it is on "
                    f"{self.x_init.device}."
                )
            if tuple(self.x_init.shape) != wanted or self.x_init.dtype != self.y.dtype:
                raise ShapeError(
                    f"x_init has shape {tuple(self.x_init.shape)} and dtype {self.x_init.dtype}, but the pictures are "
                    f"{wanted} in {self.y.dtype}; give one initial picture per observation."
                )
        limit = 3 + 8 * self.noise_std
        if makes_pictures(self.operator) and self.y.numel() and float(self.y.abs().max()) > limit:
            raise BadInput(
                f"The observation reaches {float(self.y.abs().max()):.3g}, far outside [0, 1]; divide 8-bit values by "
                "255 and 16-bit values by 65535."
            )

    def residual(self, x: Tensor) -> list[float]:
        """How far ``A x`` is from the observation, without a unit.

        Args:
            x: The pictures, (batch, *operator.in_shape).

        Returns:
            For each picture ``||y - A x|| / (noise_std sqrt(m))``, near 1 for a picture that fits as the noise allows.
            Without noise it is the relative residual ``||y - A x|| / ||y||``.
        """
        return residual(self, x).relative

    @property
    def data(self) -> Tensor:
        """The observation with zeros where a mask saw nothing."""
        return data_of(self.operator, self.y)


def residual(problem: Problem, x: Tensor) -> Residual:
    """How far ``A x`` is from the observation.

    Where a mask saw nothing there is no data, whatever the observation holds there.

    Args:
        problem: The observations, their operator and their noise.
        x: The pictures, (batch, *in_shape), one for each observation.

    Returns:
        The misfit of each picture, on the [0, 1] scale and relative to the noise.

    Raises:
        ShapeError: The numbers of pictures and observations differ.
    """
    if x.shape[:1] != problem.y.shape[:1]:
        raise ShapeError(f"There are {len(x)} pictures for {len(problem.y)} observations; give one for each.")
    y = problem.data
    misfit = (y - problem.operator.forward(x)).flatten(1).double().norm(dim=1)
    rms = misfit / max(1, problem.operator.measurements) ** 0.5
    if problem.noise_std > 0:
        relative = rms / problem.noise_std
    else:
        relative = misfit / y.flatten(1).double().norm(dim=1).clamp_min(1e-12)
    return Residual(rms.tolist(), relative.tolist())
