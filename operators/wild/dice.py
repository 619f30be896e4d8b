"""Random choices out of one generator, and the kernels that the published pipelines draw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from zsir.operators.wild.taps import Kernel

Choice = TypeVar("Choice")

#: sizes of hand-shake kernels, which take the place of the 100 stored ones of wild-IR; those have these sizes
SHAKES = range(5, 30, 2)
#: families of kernels that are anisotropic
OBLIQUE = ("aniso", "generalised-aniso", "plateau-aniso")
#: from this size on, a sinc kernel may have a lower cut-off
LARGE_SINC = 13


class Dice:
    """Random choices, all from one generator, in the order in which they are asked for."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * float(torch.rand((), dtype=torch.float64, generator=self._generator))

    def chance(self, probability: float) -> bool:
        """True with a probability."""
        return self.uniform(0, 1) < probability

    def pick(self, choices: Sequence[Choice]) -> Choice:
        """One of several, all alike."""
        return choices[int(torch.randint(len(choices), (), generator=self._generator))]

    def weighted(self, weights: Mapping[str, float]) -> str:
        """A key, with the probability of its value; the values sum to 1."""
        left = self.uniform(0, sum(weights.values()))
        for key, weight in weights.items():
            left -= weight
            if left < 0:
                return key
        return key

    def shuffled(self, choices: Sequence[Choice]) -> list[Choice]:
        """All of them, every order alike."""
        return [choices[k] for k in torch.randperm(len(choices), generator=self._generator).tolist()]

    def seed(self) -> int:
        """A seed for random numbers of their own; it fits the numbers that JSON keeps exactly."""
        return int(torch.randint(2**53, (), generator=self._generator))


@dataclass(frozen=True)
class Mix:
    """How a pipeline draws the kernel of a blur.

    Attributes:
        weights: Probability of every family, when it is no sinc kernel.
        sizes: The sizes in pixels, all alike.
        sinc: Probability of a sinc kernel.
        sigma: Range of widths in pixels.
        generalised: Range of the power of generalised Gaussians, around 1.
        plateau: Range of the power of plateaus, from at most 1 to at least 1.
        jitter: Whether the taps of Gaussians, plain or generalised, are multiplied by random numbers.
    """

    weights: Mapping[str, float]
    sizes: Sequence[int]
    sinc: float
    sigma: tuple[float, float]
    generalised: tuple[float, float]
    plateau: tuple[float, float]
    jitter: bool


def draw_kernel(dice: Dice, mix: Mix) -> tuple[Kernel, int]:
    """A kernel, and the size that was drawn for it, which some families change."""
    size = dice.pick(mix.sizes)
    if dice.chance(mix.sinc):
        return draw_sinc(dice, size, math.pi / 3 if size < LARGE_SINC else math.pi / 5), size
    family = dice.weighted(mix.weights)
    if family in ("defocus", "box"):
        return Kernel(family, size), size
    if family == "line":
        side = size - 10 if size > 15 else size
        return Kernel("line", side, {"index": dice.pick(range(2 * side - 2))}), size
    if family == "shake":
        return Kernel("shake", dice.pick(SHAKES), {"intensity": dice.uniform(0, 1), "seed": dice.seed()}), size
    return _gaussian(dice, mix, family, size), size


def draw_sinc(dice: Dice, size: int, lowest: float) -> Kernel:
    """A sinc kernel whose cut-off lies between ``lowest`` and pi."""
    return Kernel("sinc", size, {"cutoff": dice.uniform(lowest, math.pi)})


def _gaussian(dice: Dice, mix: Mix, family: str, size: int) -> Kernel:
    sx = dice.uniform(*mix.sigma)
    sy, angle = (dice.uniform(*mix.sigma), dice.uniform(-math.pi, math.pi)) if family in OBLIQUE else (sx, 0.0)
    shape = {"sx": sx, "sy": sy, "angle": angle}
    if family.startswith("plateau"):
        return Kernel("plateau", size, {**shape, "power": _power(dice, mix.plateau)})
    jitter = dice.seed() if mix.jitter else None
    if family.startswith("generalised"):
        return Kernel("generalised", size, {**shape, "power": _power(dice, mix.generalised)}, jitter)
    return Kernel("gaussian", size, shape, jitter)


def _power(dice: Dice, limits: tuple[float, float]) -> float:
    """Below 1 in half of the cases, above 1 else."""
    low, high = limits
    return dice.uniform(low, 1) if dice.chance(0.5) else dice.uniform(1, high)
