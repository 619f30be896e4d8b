"""RDMD: two regularisers from one diffusion model, and one knob between fidelity and texture.

Source: Wang et al. 2025 [rdmd]. The deterministic regulariser denoises the estimate z itself, the stochastic one a
diffusion state x; ``tau`` in [0, 1] divides the weight between them. With levels m_i (DPIR's ladder) and s_i
(DiffPIR's):

    u  = D(z, m_i)                  L   = lam (1 - tau) noise^2/(87 m_i^2)
    x0 = D(x, s_i)                  rho = lam tau noise^2/(4 s_i^2)
    z  = argmin 1/2 ||A z - y||^2 + L/2 ||z - u||^2 + rho/2 ||z - x0||^2
    x  = z + s_{i+1} ( sqrt(1 - zeta) (x - z)/s_i + sqrt(zeta) n )

The result is the last x0, or u where tau = 0. With lam = 20, tau = 0 is HQS with DPIR's weights (0.23 = 20/87)
and its turning of the picture before every denoising, tau = 1 is DiffPIR. ``recipe=paper`` is the released iteration
instead, without turning and with the constant L = lam (1 - tau) noise^2:

    u is the network's answer to z taken for a VP state (not scaled up), at the nearest level of DDPM's table
    z <- z - [ A^T (A z - y) + L (z - u) + rho (z - x0) ] / (1 + L + rho)

where the data step is as short for x8 super-resolution, ||A||^2 = 1/64, as for a blur; L vanishes without noise, and is
too small to keep noise out where tau = 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

from torch import Tensor

from zsir.errors import BadSpec
from zsir.names.registry import Option, Range
from zsir.problem import Problem
from zsir.protocols import NoiseSource, Prior
from zsir.samplers.base import FreshNoise
from zsir.samplers.chain import DDPM, Chain, abar, begin, check_calls, check_share, ddim, denoise
from zsir.samplers.initial import GREY
from zsir.samplers.plug_and_play.hqs import dpir_ladder, turned, turned_back

#: noise counted at least as this: DPIR's and DiffPIR's floor
LEAST_NOISE = 0.001
#: lam = 20 gives the deterministic branch DPIR's weight, 0.23 noise^2/m^2
OVER_DPIR = 20 / 0.23


@dataclass(frozen=True)
class RDMDState(Chain):
    """``z`` the estimate of the deterministic branch, ``ms`` its levels; the chain's x is the stochastic branch's."""

    z: Tensor = field(repr=False, kw_only=True)
    ms: tuple[float, ...] = ()


@dataclass(frozen=True)
class RDMD:
    """Two regularisers of one diffusion model: ``tau`` 0 is closest to the truth, 1 has most texture.

    z <- argmin ||A z - y||^2 + L ||z - D(z, m)||^2 + R ||z - D(x, s)||^2,
    L = lam (1 - tau) noise^2/(87 m^2),  R = lam tau noise^2/(4 s^2)

    Two calls a step; one where tau is 0 or 1. ``recipe=paper`` takes the released gradient step, scaling and result
    (``output`` x0 for its deblurring, z for its super-resolution) instead of the exact data step.
    Source: Wang et al. 2025 [rdmd], and the code released with it

    Raises:
        BadSpec: An option lies outside its range.
    """

    draws: ClassVar[str] = "approximate"

    nfe: Annotated[int, Option("network calls, two a step where 0 < tau < 1")] = 200
    tau: Annotated[float, Option("0: fidelity, 1: texture", "0..1", tune=Range(0, 1))] = 0.5
    lam: Annotated[float, Option("weight of the regularisers against the data", tune=Range(2, 200, log=True))] = 20.0
    zeta: FreshNoise = 0.3
    recipe: Annotated[str, Option("data step: exact, or as released", choices=("exact", "paper"))] = "exact"
    output: Annotated[str, Option("result of recipe=paper", choices=("x0", "z"))] = "x0"
    turns: Annotated[bool, Option("give the deterministic branch another flip or rotation at every step")] = True
    last: Annotated[float | None, Option("last level of the deterministic branch", "[0, 1]")] = None
    sigmas: Annotated[tuple[float, ...] | None, Option("levels of the stochastic branch", "[0, 1]")] = None

    def __post_init__(self) -> None:
        check_share("rdmd:tau", self.tau)
        check_share("rdmd:zeta", self.zeta)
        if self.nfe < self.per_step or self.nfe % self.per_step:
            raise BadSpec(f"nfe={self.nfe}: rdmd calls the network {self.per_step} times a step here; give a multiple.")
        check_calls("rdmd", self.steps, self.sigmas)
        if self.lam <= 0:
            raise BadSpec(f"rdmd:lam={self.lam:g} must be positive; the published value is 20.")
        if self.last is not None and not 0 < self.last <= 1:
            raise BadSpec(f"rdmd:last={self.last:g} must lie in (0, 1]; by default it is the noise of y.")
        if self.recipe not in ("exact", "paper") or self.output not in ("x0", "z"):
            raise BadSpec(f"rdmd:recipe={self.recipe},output={self.output}: choose exact or paper, x0 or z.")

    @property
    def needs(self) -> tuple[str, ...]:
        """What the data step needs."""
        return ("prox",) if self.recipe == "exact" else ("adjoint",)

    @property
    def branches(self) -> tuple[bool, bool]:
        """Whether the deterministic and the stochastic branch are computed: not where their weight is zero."""
        shown = self.recipe == "paper" and self.output == "x0"  # the released deblurring returns x0 whatever tau is
        return self.tau < 1, self.tau > 0 or shown

    @property
    def per_step(self) -> int:
        """Number of network calls a step."""
        return sum(self.branches)

    @property
    def steps(self) -> int:
        """Number of iterations."""
        return self.nfe // self.per_step

    def init(self, problem: Problem, prior: Prior, rng: NoiseSource) -> RDMDState:
        """z is the initial estimate, x the same with noise."""
        chain = begin(problem, prior, rng, self.steps, self.sigmas, "quadratic")
        ms = dpir_ladder(problem, self.steps, last=self.last, rising=self.recipe == "paper")
        return RDMDState(chain.x, chain.x0, chain.sigmas, z=chain.x0, ms=ms)

    def step(self, problem: Problem, prior: Prior, state: RDMDState, rng: NoiseSource) -> RDMDState:
        """Both denoisers, data step, noise back."""
        s, t, m = state.here, state.next, state.ms[state.step]
        steady, stochastic = self.branches
        u = self._deterministic(prior, state.z, m, state.step) if steady else None
        x0 = denoise(prior, state.x, s) if stochastic else None
        if t == 0:
            return replace(state, x0=self._result(state.z, u, x0), step=state.step + 1)
        z = self._data_step(problem, state, u, x0)
        x = state.x if x0 is None else ddim(z, (state.x - z) / s, t, math.sqrt(self.zeta), rng)
        return replace(state, x=x, x0=z, z=z, step=state.step + 1)

    def _deterministic(self, prior: Prior, z: Tensor, m: float, step: int) -> Tensor:
        if self.recipe == "exact":
            step = step if self.turns else 0
            # another flip or rotation at every step, as DPIR: what a network adds to its own output does not build up
            return turned_back(denoise(prior, turned(z, step), m), step)
        level = DDPM.nearest(2 * m) / 2
        # z is handed to a network that expects sqrt(abar) z + ...: on the VE scale it is z / sqrt(abar)
        return denoise(prior, GREY + (z - GREY) / math.sqrt(abar(level)), level)

    def _data_step(self, problem: Problem, state: RDMDState, u: Tensor | None, x0: Tensor | None) -> Tensor:
        z, floor = state.z, max(problem.noise_std, LEAST_NOISE)
        if self.recipe == "paper":
            steady = self.lam * (1 - self.tau) * problem.noise_std**2
        else:
            steady = self.lam * (1 - self.tau) / OVER_DPIR * (floor / state.ms[state.step]) ** 2
        rising = self.lam * self.tau * (floor / (2 * state.here)) ** 2
        total = steady + rising
        # a branch that is not computed has weight zero, whatever stands in for it
        pull = steady * (z if u is None else u) + rising * (z if x0 is None else x0)
        if self.recipe == "exact":
            return problem.operator.prox(pull / total, problem.y, total)
        misfit = problem.operator.adjoint(problem.operator.forward(z) - problem.y)
        return z - (misfit + total * z - pull) / (1 + total)

    def _result(self, z: Tensor, u: Tensor | None, x0: Tensor | None) -> Tensor:
        """The stochastic branch's estimate; without that branch the deterministic one's."""
        if self.recipe == "paper" and self.output == "z":
            return z
        final = u if x0 is None else x0
        return z if final is None else final
