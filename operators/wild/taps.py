"""The blur kernels of the published degradation pipelines, as float64 arrays that sum to 1.

A kernel is described by its family, its size and the family's parameters, so that a trace can name it in a line. Taps
lie on integer offsets from the centre tap: x along columns, y along rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from zsir.errors import BadSpec
from zsir.operators.blurs.kernels import LARGEST, shake
from zsir.operators.blurs.low_pass import offsets, sinc
from zsir.rng import check_seed

#: the published pipelines multiply every tap by a random number from this range
JITTER = (0.9, 1.1)


def quadratic(size: int, sx: float, sy: float, angle: float) -> Tensor:
    """``(x, y) Sigma^-1 (x, y)^T`` with ``Sigma = U diag(sx^2, sy^2) U^T`` and U the rotation by ``angle`` radians."""
    x, y = offsets(size)
    c, s = math.cos(angle), math.sin(angle)
    return ((c * x + s * y) / sx) ** 2 + ((c * y - s * x) / sy) ** 2


def gaussian(size: int, sx: float, sy: float, angle: float) -> Tensor:
    """``exp(-d/2)``, d as `quadratic` has it."""
    return torch.exp(-0.5 * quadratic(size, sx, sy, angle))


def generalised(size: int, sx: float, sy: float, angle: float, power: float) -> Tensor:
    """``exp(-d^power / 2)``."""
    return torch.exp(-0.5 * quadratic(size, sx, sy, angle) ** power)


def plateau(size: int, sx: float, sy: float, angle: float, power: float) -> Tensor:
    """``1 / (1 + d^power)``."""
    return 1 / (1 + quadratic(size, sx, sy, angle) ** power)


def defocus(size: int) -> Tensor:
    """A disc: 1 where the offset is shorter than ``size // 2 + 1``; the smallest two sizes lose their corners."""
    x, y = offsets(size)
    disc = (x**2 + y**2 < (size // 2 + 1) ** 2).double()
    if size in (3, 5):
        disc[:: size - 1, :: size - 1] = 0
    return disc


def box(size: int) -> Tensor:
    """Equal taps."""
    return torch.ones(size, size, dtype=torch.float64)


def line(size: int, index: int) -> Tensor:
    """A line one pixel wide through the centre, at angle number ``index`` of ``2 size - 2`` angles in half a turn.

    Bresenham's line, from a pixel on the border to its point reflection.
    """
    if not 0 <= index < 2 * size - 2:
        raise BadSpec(f"A line kernel of {size} pixels has the angles 0 to {2 * size - 3}, got index={index}.")
    half = (size - 1) // 2
    left = [(row, 0) for row in range(half, size)]
    bottom = [(size - 1, column) for column in range(1, size)]
    above = [(row, 0) for row in range(1, half)]
    row, column = [*left, *bottom, *above][index]
    ends = [(row, column), (size - 1 - row, size - 1 - column)]
    # where the line passes midway between two pixels, the direction decides: the original goes down, or to the right
    start, end = sorted(ends) if row == size - 1 else ends
    kernel = torch.zeros(size, size, dtype=torch.float64)
    for r, c in _bresenham(start, end):
        kernel[r, c] = 1
    return kernel


def _bresenham(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """The pixels of a line of integer arithmetic, both ends included."""
    (r, c), (dr, dc) = start, (end[0] - start[0], end[1] - start[1])
    down, right = (1 if dr > 0 else -1), (1 if dc > 0 else -1)
    long, short = max(abs(dr), abs(dc)), min(abs(dr), abs(dc))
    steep = abs(dr) > abs(dc)
    error = 2 * short - long
    pixels = []
    for _ in range(long):
        pixels.append((r, c))
        if error >= 0:
            r, c = (r, c + right) if steep else (r + down, c)
            error -= 2 * long
        r, c = (r + down, c) if steep else (r, c + right)
        error += 2 * short
    return [*pixels, end]


def star(size: int, spread: float) -> Tensor:
    """A stand-in for the measured kernels of cameras under a display: a bright core, a halo and four faint rays.

    The original's measured file is not free to ship. Rays and halo fall off as 1/r; ``spread`` in pixels is the
    distance at which they have half of their height.
    """
    x, y = offsets(size)
    r = torch.sqrt(x**2 + y**2)
    tail = 1 / (1 + r / spread)
    rays = tail * torch.exp(-2 * torch.minimum(x.abs(), y.abs()))
    return torch.exp(-0.5 * r**2) + 0.1 * rays + 0.01 * tail**2


def impulse(size: int) -> Tensor:
    """One tap at the centre."""
    kernel = torch.zeros(size, size, dtype=torch.float64)
    kernel[size // 2, size // 2] = 1
    return kernel


#: family -> (function of the size and of its parameters, names of the parameters)
FAMILIES: dict[str, tuple[Callable[..., Tensor], tuple[str, ...]]] = {
    "gaussian": (gaussian, ("sx", "sy", "angle")),
    "generalised": (generalised, ("sx", "sy", "angle", "power")),
    "plateau": (plateau, ("sx", "sy", "angle", "power")),
    "defocus": (defocus, ()),
    "box": (box, ()),
    "line": (line, ("index",)),
    "shake": (shake, ("intensity", "seed")),
    "sinc": (sinc, ("cutoff",)),
    "star": (star, ("spread",)),
    "impulse": (impulse, ()),
}
#: parameters that are whole numbers
WHOLE = ("index", "seed")
#: parameters that are lengths in pixels or powers, which must be positive
POSITIVE = ("sx", "sy", "power", "cutoff", "spread")


@dataclass(frozen=True)
class Kernel:
    """A kernel by name.

    Attributes:
        family: One of `FAMILIES`.
        size: Pixels a side, odd.
        parameters: The family's parameters: lengths in pixels, angles in radians, cut-offs in radians a pixel.
        jitter: Seed of the random numbers that the taps are multiplied by; None for none.
    """

    family: str
    size: int
    parameters: dict[str, float] = field(default_factory=dict)
    jitter: int | None = None

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise BadSpec(f"There is no kernel family '{self.family}'; known are {', '.join(FAMILIES)}.")
        names = FAMILIES[self.family][1]
        if set(self.parameters) != set(names):
            wanted = ", ".join(names) or "no parameters"
            raise BadSpec(f"A {self.family} kernel takes {wanted}, got {', '.join(self.parameters) or 'none'}.")
        if not (1 <= self.size <= LARGEST and self.size % 2):
            raise BadSpec(f"A kernel's size must be an odd number in 1..{LARGEST - 1} pixels, got {self.size}.")
        if self.jitter is not None:
            check_seed(self.jitter, f"A {self.family} kernel cannot be drawn: jitter")
        wrong = [name for name in POSITIVE if name in self.parameters and not self.parameters[name] > 0]
        if wrong:
            raise BadSpec(f"A {self.family} kernel needs {wrong[0]} > 0, got {self.parameters[wrong[0]]}.")

    @cached_property
    def taps(self) -> Tensor:
        """The weights, (size, size) float64, sum 1."""
        made = FAMILIES[self.family][0](self.size, **self.parameters)
        made = made / made.sum()
        if self.jitter is not None:
            generator = torch.Generator().manual_seed(self.jitter)
            low, high = JITTER
            made = made * (low + (high - low) * torch.rand(made.shape, dtype=torch.float64, generator=generator))
        return made / made.sum()

    def as_json(self) -> dict[str, Any]:
        """The kernel as a dictionary of texts and numbers."""
        found: dict[str, Any] = {"family": self.family, "size": self.size, **self.parameters}
        return found if self.jitter is None else {**found, "jitter": self.jitter}

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> Kernel:
        """The kernel of a dictionary that `as_json` made.

        Args:
            held: The dictionary.

        Returns:
            The kernel.

        Raises:
            BadSpec: The dictionary names no kernel.
        """
        rest = {key: value for key, value in held.items() if key not in ("family", "size", "jitter")}
        numbers = {key: int(value) if key in WHOLE else float(value) for key, value in rest.items()}
        jitter = held.get("jitter")
        return cls(str(held["family"]), int(held["size"]), numbers, None if jitter is None else int(jitter))
