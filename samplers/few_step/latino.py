"""LATINO's iteration: a stochastic auto-encoder, then the data, noise level falling.

Source: Spagnoletti et al. 2025 [latino], an implicit Langevin step in two halves. For levels sigma_1 > ... > sigma_N:

    u_k = D(x_{k-1}, sigma_k)                                                  prior: encode, noise, denoise, decode
    x_k = argmin_x ||A x - y||^2/(2 noise_std^2) + ||x - u_k||^2/(2 delta_k)   data

The result is the last x, which fits the data. The levels and the weights delta_k = sigma_k^2/lam, by DPIR's rule, are
ours, not the paper's settings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from torch import Tensor

from zsir.errors import BadSpec
from zsir.names.registry import Option, Range
from zsir.problem import Problem
from zsir.protocols import NoiseSource, Prior
from zsir.samplers.base import BaseSampler, Calls
from zsir.samplers.chain import denoise
from zsir.samplers.initial import ROUNDING, initial_estimate
from zsir.samplers.levels import geometric


@dataclass(frozen=True)
class LatinoState:
    """``x0`` the latest picture after its data step (batch, c, h, w)."""

    x0: Tensor = field(repr=False)
    sigma: float
    step: int


@dataclass(frozen=True)
class LATINO(BaseSampler):
    """Latent consistency inverse solver: stochastic auto-encoder and data step in turn, the data step last.

    u_k = D(x_{k-1}, sigma_k),  x_k = argmin ||A x - y||^2 + rho_k ||x - u_k||^2,  rho_k = lam noise_std^2/sigma_k^2

    Made for the prior ``latent``, which adds the noise itself. Levels and lam are not tuned.
    Source: Spagnoletti et al. 2025 [latino]

    Raises:
        BadSpec: An option lies outside its range.
    """

    needs: ClassVar[tuple[str, ...]] = ("prox",)
    draws: ClassVar[str] = "approximate"

    nfe: Calls = 8
    first: Annotated[float, Option("first noise level", "[0, 1]", tune=Range(0.1, 2, log=True))] = 1.0
    last: Annotated[float, Option("last noise level", "[0, 1]", tune=Range(0.01, 0.1, log=True))] = 0.05
    lam: Annotated[float, Option("weight of the prior against the data", tune=Range(0.02, 2, log=True))] = 0.23

    def __post_init__(self) -> None:
        if self.nfe < 1 or self.lam <= 0:
            raise BadSpec(f"latino:nfe={self.nfe},lam={self.lam:g}: both must be positive; write nfe=8,lam=0.23.")
        if not 0 < self.last <= self.first:
            raise BadSpec(f"latino:first={self.first:g},last={self.last:g}: levels must be positive and fall.")

    def init(self, problem: Problem, prior: Prior, rng: NoiseSource) -> LatinoState:
        """x_0 is the initial estimate."""
        return LatinoState(initial_estimate(problem, self._weight(problem, self.first)), self.first, 0)

    def step(self, problem: Problem, prior: Prior, state: LatinoState, rng: NoiseSource) -> LatinoState:
        """Prior, then data step."""
        sigma = geometric(self.nfe, self.first, self.last)[state.step]
        u = denoise(prior, state.x0, sigma)
        x = problem.operator.prox(u, problem.y, self._weight(problem, sigma))
        return LatinoState(x, sigma, state.step + 1)

    def _weight(self, problem: Problem, sigma: float) -> float:
        return self.lam * (max(problem.noise_std, ROUNDING) / sigma) ** 2
