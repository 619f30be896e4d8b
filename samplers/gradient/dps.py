"""DPS and MCG: walk down the unconditional diffusion, pulled by the gradient of the misfit.

Source: Chung et al. 2023 [dps]; MCG: Chung et al. 2022 [mcg]. With ``d = D(x, s)``, t the next level:

    x' = k x + (1 - k) d + t sqrt(1 - k) n - c grad_x ||y - A d||,     k = (t/s)^2
    MCG: then  x' <- x' - A_r^+ (A x' - (y + t n_y)),   A_r^+ = A^T (A A^T + noise^2 I)^-1; A^+ without noise

The norm is not squared. Published scales belong to VP states on [-1, 1]; here c = scale/2 sqrt((1 + 4 s^2)(1 + 4 t^2)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from zsir.errors import BadSpec
from zsir.names.registry import Option, Range
from zsir.problem import Problem
from zsir.protocols import NoiseSource, Prior
from zsir.samplers.base import BaseSampler, CallsWithGradient, Levels
from zsir.samplers.chain import Chain, ancestral, check_calls
from zsir.samplers.guidance import gradient


@dataclass(frozen=True)
class DPS(BaseSampler):
    """Diffusion posterior sampling: ancestral steps and the gradient of the misfit, for any differentiable operator.

    x' = k x + (1 - k) d + t sqrt(1 - k) n - c grad_x ||y - A d||;  project=true (mcg): then onto the noisy data

    Needs gradients through prior and operator, and of the operator only ``forward``. Each call also costs a backward
    pass, about two more forwards and the memory of all activations. With fewer calls than 1000 raise ``scale``.
    Source: Chung et al. 2023 [dps], 2022 [mcg]; scales of the released code: 0.3, random inpainting 0.5

    Raises:
        BadSpec: An option lies outside its range.
    """

    draws: ClassVar[str] = "approximate"

    nfe: CallsWithGradient = 1000
    scale: Annotated[
        float, Option("step along the gradient, in the published units", tune=Range(0.03, 10, log=True))
    ] = 0.3
    project: Annotated[bool, Option("also project onto the data (MCG; needs pinv)")] = False
    sigmas: Levels = None

    def __post_init__(self) -> None:
        check_calls("dps", self.nfe, self.sigmas)
        if self.scale < 0:
            raise BadSpec(f"dps:scale={self.scale:g} must not be negative; published values are 0.3 to 1.")

    @property
    def needs(self) -> tuple[str, ...]:
        """Gradients; the pseudo-inverse only to project."""
        return ("gradient", "pinv") if self.project else ("gradient",)

    def step(self, problem: Problem, prior: Prior, state: Chain, rng: NoiseSource) -> Chain:
        """Ancestral step, gradient step, projection."""

        def misfit(x0: Tensor) -> Tensor:
            # the smallest float keeps the slope of the norm finite where the misfit is exactly zero
            return ((problem.operator.forward(x0) - problem.y).flatten(1).square().sum(1) + 1e-30).sqrt()

        s, t = state.here, state.next
        d, slope = gradient(prior, state.x, s, misfit)
        c = self.scale / 2 * math.sqrt((1 + 4 * s**2) * (1 + 4 * t**2))
        x = ancestral(state.x, d, s, t, rng) - c * slope
        if self.project:
            y_t = problem.y + t * rng.randn_like(problem.y)
            x = x - problem.operator.pinv(problem.operator.forward(x) - y_t, problem.noise_std**2)
        return state.moved(x, x if t == 0 else d)
