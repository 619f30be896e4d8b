"""DAPS: decoupled annealing. Solve the ODE to a clean picture, fit it to the data, add the noise of the next level.

Source: Zhang et al. 2025 [daps]. For levels s > t, with the ODE dx/ds = (x - D(x, s))/s run from s to 0 in ``inner``
steps:

    x0h ~ ODE(x),   x0 ~ exp( -||y - A x0||^2/(2 noise^2) - ||x0 - x0h||^2/(2 r^2) ),  r = ratio s,   x' = x0 + t n

For linear operators the middle step is drawn exactly (perturb and solve) instead of by Langevin steps. With r = s, the
published choice, it spreads about twice as much as the posterior when drawn exactly.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from zsir.errors import BadSpec
from zsir.names.registry import Option, Range
from zsir.problem import Problem
from zsir.protocols import NoiseSource, Prior
from zsir.samplers.chain import Chain, begin_at, denoise
from zsir.samplers.levels import karras

FIRST, LAST = 50.0, 0.01


@dataclass(frozen=True)
class DAPS:
    """Decoupled annealing posterior sampling: ODE to a clean picture, draw from data and that picture, add noise.

    x0 ~ N( argmin ||A x - y||^2/noise^2 + ||x - x0h||^2/r^2 , (A^T A/noise^2 + I/r^2)^-1 ),  x' = x0 + t n

    Levels fall from 50 (or the prior's largest) to 0.01 by the rule of EDM.
    Source: Zhang et al. 2025 [daps]

    Raises:
        BadSpec: An option lies outside its range.
    """

    needs: ClassVar[tuple[str, ...]] = ("prox",)
    draws: ClassVar[str] = "approximate"

    nfe: Annotated[int, Option("network calls: annealing steps times inner")] = 1000
    inner: Annotated[int, Option("calls of each ODE")] = 5
    ratio: Annotated[float, Option("r over the level s", tune=Range(0.1, 10, log=True))] = 1.0

    def __post_init__(self) -> None:
        if self.inner < 1 or self.nfe < self.inner or self.nfe % self.inner:
            raise BadSpec(
                f"nfe={self.nfe} must be a multiple of daps:inner={self.inner}; write nfe="
                f"{max(1, self.nfe // max(1, self.inner)) * max(1, self.inner)}."
            )
        if self.ratio <= 0:
            raise BadSpec(f"daps:ratio={self.ratio:g} must be positive.")

    @property
    def steps(self) -> int:
        """Number of annealing steps."""
        return self.nfe // self.inner

    def init(self, problem: Problem, prior: Prior, rng: NoiseSource) -> Chain:
        """x = x_init + sigma_1 n."""
        first = min(FIRST, prior.sigma_range[1])
        return begin_at(problem, rng, (*karras(self.steps, first, min(LAST, first)), 0.0))

    def step(self, problem: Problem, prior: Prior, state: Chain, rng: NoiseSource) -> Chain:
        """ODE, draw, noise."""
        s, t, noise = state.here, state.next, problem.noise_std
        x0 = self._ode(prior, state.x, s)
        r = self.ratio * s
        y = problem.y + noise * rng.randn_like(problem.y)
        x0 = problem.operator.prox(x0 + r * rng.randn_like(x0), y, (noise / r) ** 2)
        return state.moved(x0 + t * rng.randn_like(x0) if t > 0 else x0, x0)

    def _ode(self, prior: Prior, x: Tensor, s: float) -> Tensor:
        """Euler's steps from level s to 0."""
        levels = (*karras(self.inner, s, min(LAST / 2, s / 2)), 0.0)
        for a, b in itertools.pairwise(levels):
            x0 = denoise(prior, x, a)
            x = x0 + b / a * (x - x0)
        return x
