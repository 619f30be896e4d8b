"""Split Gibbs sampling (PnP-DM): likelihood and prior in turn, coupled by a shrinking noise.

Source: Wu et al. 2024 [pnpdm]. For a coupling rho:

    z ~ exp( -||A z - y||^2/(2 noise^2) - ||z - x||^2/(2 rho^2) )         exactly, by perturb and solve
    x ~ p(x0 | x0 + rho n = z)                                            by the diffusion, from level rho to 0

Stationary, x follows the exact posterior of noise ``noise^2 I + rho^2 A A^T``: only rho well below noise over the
largest singular value gives the posterior that was asked for, and mixing slows as rho falls.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from zsir.errors import BadSpec, Incompatible
from zsir.linalg import lanczos_sqrt
from zsir.names.registry import Option, Range
from zsir.problem import Problem
from zsir.protocols import NoiseSource, Prior
from zsir.samplers.chain import Chain, ancestral, denoise
from zsir.samplers.guidance import denoise_with_vjp
from zsir.samplers.initial import ROUNDING, initial_estimate
from zsir.samplers.levels import geometric

FIRST, DECAY = 5.0, 0.9


@dataclass(frozen=True)
class Gibbs:
    """Split Gibbs sampling (PnP-DM): draw from data and coupling, then from prior and coupling, the coupling shrinking.

    z ~ N(prox(x), (A^T A/noise^2 + I/rho^2)^-1),  x ~ p(x0 | x0 + rho n = z),  rho_k = max(last, first q^k)

    q is 0.9, or smaller where few iterations would not reach ``last`` in three quarters of their number.
    The draw from the prior is a short ancestral chain of ``inner`` calls. With ``kernel=covariance`` it is one call
    whose mean and covariance are matched. That is exact for Gaussian priors, at the cost of one backward pass for each
    iteration of Lanczos.
    Source: Wu et al. 2024 [pnpdm]

    Raises:
        BadSpec: An option lies outside its range.
    """

    draws: ClassVar[str] = "limit"

    nfe: Annotated[int, Option("network calls: iterations times inner")] = 400
    inner: Annotated[int, Option("calls per draw from the prior")] = 4
    first: Annotated[
        float | None, Option("first coupling; 5, or the prior's largest level", "[0, 1]", tune=Range(0.3, 10, log=True))
    ] = None
    last: Annotated[
        float | None,
        Option("last coupling; half the noise of y if not given", "[0, 1]", tune=Range(0.005, 0.5, log=True)),
    ] = None
    kernel: Annotated[str, Option("draw from the prior", choices=("ancestral", "covariance"))] = "ancestral"
    lanczos: Annotated[int, Option("iterations of Lanczos with kernel=covariance")] = 8

    def __post_init__(self) -> None:
        if self.inner < 1 or self.nfe < self.inner or self.nfe % self.inner:
            raise BadSpec(f"nfe={self.nfe} must be a multiple of gibbs:inner={self.inner}.")
        if self.kernel not in ("ancestral", "covariance") or (self.kernel == "covariance" and self.inner > 1):
            raise BadSpec("gibbs:kernel is ancestral, or covariance, which draws in one call: write inner=1 with it.")
        if self.lanczos < 1:
            raise BadSpec(f"gibbs:lanczos={self.lanczos}: at least one iteration is needed.")
        if any(value is not None and value <= 0 for value in (self.first, self.last)):
            raise BadSpec("gibbs:first and gibbs:last are couplings above 0, such as first=1,last=0.02.")

    @property
    def needs(self) -> tuple[str, ...]:
        """The data step; gradients for the matched covariance."""
        return ("prox", "gradient") if self.kernel == "covariance" else ("prox",)

    @property
    def steps(self) -> int:
        """Number of iterations."""
        return self.nfe // self.inner

    def init(self, problem: Problem, prior: Prior, rng: NoiseSource) -> Chain:
        """x is the initial estimate."""
        last = self.last or max(problem.noise_std / 2, ROUNDING)
        top = prior.sigma_range[1]
        first = self.first or min(FIRST, top)
        if max(first, last) > top * (1 + 1e-6):
            raise Incompatible(
                f"gibbs:first={max(first, last):g} goes beyond {prior!r}, which is made for noise up to {top:g}; begin "
                "there or below, or use another prior."
            )
        x = initial_estimate(problem)
        decay = min(DECAY, (last / first) ** (1 / max(1, round(0.75 * self.steps))))
        couplings = tuple(max(last, first * decay**k) for k in range(self.steps))
        return Chain(x, x, (*couplings, 0.0))

    def step(self, problem: Problem, prior: Prior, state: Chain, rng: NoiseSource) -> Chain:
        """Data draw, prior draw."""
        rho, noise = state.here, problem.noise_std
        y = problem.y + noise * rng.randn_like(problem.y)
        z = problem.operator.prox(state.x + rho * rng.randn_like(state.x), y, (noise / rho) ** 2)
        x = self._matched(prior, z, rho, rng) if self.kernel == "covariance" else self._chain(prior, z, rho, rng)
        return state.moved(x, x)

    def _chain(self, prior: Prior, x: Tensor, rho: float, rng: NoiseSource) -> Tensor:
        """Ancestral steps from level rho to 0."""
        levels = (*geometric(self.inner, rho, rho / 8), 0.0)
        for s, t in itertools.pairwise(levels):
            x = ancestral(x, denoise(prior, x, s), s, t, rng)
        return x

    def _matched(self, prior: Prior, z: Tensor, rho: float, rng: NoiseSource) -> Tensor:
        """N(D(z), rho^2 J)."""
        d, vjp = denoise_with_vjp(prior, z, rho)
        return d + rho * lanczos_sqrt(vjp, rng.randn_like(z), self.lanczos)
