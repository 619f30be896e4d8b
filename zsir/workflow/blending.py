"""How much of a restoration is kept: its strength, the observation's own grain, and a region that stays as it was."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from zsir import pictures
from zsir.capabilities import cut, data_of, makes_pictures
from zsir.errors import BadSpec, ShapeError
from zsir.pictures import Picture, PictureLike, as_picture
from zsir.processes import process_of, recorded
from zsir.rng import PictureNoise
from zsir.workflow.pose import Posed
from zsir.workflow.result import Restored

#: standard deviation in pixels of the Gaussian below which the misfit of a result is no grain but light and colour
GRAIN_SCALE = 2.0


@dataclass(frozen=True)
class Blend:
    """How much of the result is kept.

    - ``strength``: 1 for the full result, 0 for the observation, in between the weighted mean of both
    - ``grain``: share of the observation's own grain that is added to it, 0 to 1
    - ``protect``: a picture of the result's size; where it is white the observation stays, grey is a soft edge
    """

    strength: float = 1.0
    grain: float = 0.0
    protect: Picture | None = field(default=None, repr=False)

    @property
    def changes(self) -> bool:
        """Whether anything is done at all."""
        return self != Blend()

    def settings(self) -> dict[str, Any]:
        """The keyword arguments of `zsir.restore` as JSON-able values."""
        protected = None if self.protect is None else str(self.protect.path)
        return {"strength": self.strength, "grain": self.grain, "protect": protected}

    def check(self, posed: Posed) -> None:
        """Raise `BadSpec` or `ShapeError` where the problem does not allow this; to be called before it is solved."""
        if not self.changes:
            return
        operator = posed.problem.operator
        channels, height, width = cut(operator, torch.empty(1, *operator.in_shape, device="meta")).shape[1:]
        seen = tuple(posed.observation.shape[1:])
        if seen[0] not in (1, channels):
            raise BadSpec(
                f"--strength, --grain and --protect mix the result with the observation, but that has {seen[0]} "
                f"channels where the result has {channels}; leave them out."
            )
        if self.grain and seen[1:] != (height, width):
            raise BadSpec(
                f"--grain {self.grain:g} is for observations of the size of the result; this one has "
                f"{seen[2]}x{seen[1]} pixels and the result {width}x{height}. Leave it out, or use --strength."
            )
        if self.protect is not None and tuple(self.protect.pixels.shape[-2:]) != (height, width):
            h, w = self.protect.pixels.shape[-2:]
            raise ShapeError(
                f"--protect {self.protect.path} has {w}x{h} pixels, but the result has {width}x{height}; give a mask "
                "of the size of the result."
            )

    def applied(self, result: Restored, posed: Posed) -> Restored:
        """The result with its picture blended; everything else is that of the full result."""
        if not self.changes:
            return result
        x = result.x
        plain = pictures.enlarge(posed.observation, (x.shape[-2], x.shape[-1])).to(x).expand_as(x)
        mixed = plain if self.strength == 0 else torch.lerp(plain, x, self.strength)
        if self.grain:
            mixed = mixed + self.grain * grain_of(posed, result.solution.x[:1]).to(x)
        if self.protect is not None:
            weight = self.protect.pixels.mean(dim=1, keepdim=True).to(x)
            mixed = torch.where(weight == 1, plain, torch.lerp(mixed, plain, weight))
        return replace(result, x=mixed.clamp(0, 1), settings={**result.settings, **self.settings()})


def load_blend(strength: float = 1.0, grain: float = 0.0, protect: PictureLike | None = None) -> Blend:
    """Check the shares and read the mask.

    Args:
        strength: Share of the result, 0 to 1.
        grain: Share of the grain, 0 to 1.
        protect: The mask, whatever `zsir.read` or `zsir.restore` take as a picture; None for no mask.

    Returns:
        The blend.

    Raises:
        BadSpec: A share lies outside 0 to 1.
        BadInput: The mask cannot be read.
    """
    return Blend(_share("strength", strength), _share("grain", grain), None if protect is None else as_picture(protect))


def grain_of(posed: Posed, x: Tensor) -> Tensor:
    """The grain of the observation (1, C, height, width): what of it the result x (1, *in_shape) does not explain.

    It is the misfit ``y - A x`` without its low frequencies, which are light and colour. Where the operator hides a
    pixel there is none.
    """
    problem = posed.problem
    if makes_pictures(problem.operator):
        misfit = data_of(problem.operator, problem.y[:1] - problem.operator.forward(x))
    elif process_of(problem.operator) is not None:
        seen = recorded(problem.operator, x, PictureNoise(0, [0], "observation"))[1]
        misfit = posed.observation.to(seen) - seen
    else:
        raise BadSpec("--grain is for observations that are pictures; leave it out.")
    return (misfit - smoothed(misfit, GRAIN_SCALE)).cpu()


def smoothed(x: Tensor, std: float) -> Tensor:
    """x (batch, C, height, width) after a Gaussian blur of ``std`` pixels; beyond the border its edge goes on."""
    radius = math.ceil(3 * std)
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=torch.float64) / std) ** 2).to(x)
    taps = (taps / taps.sum()).expand(x.shape[1], 1, 1, -1)
    rows = conv2d(pad(x, (radius, radius, 0, 0), mode="replicate"), taps, groups=x.shape[1])
    return conv2d(pad(rows, (0, 0, radius, radius), mode="replicate"), taps.mT, groups=x.shape[1])


def _share(name: str, value: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1:
        raise BadSpec(f"{name}={value}: a number from 0 to 1 is needed.")
    return number
