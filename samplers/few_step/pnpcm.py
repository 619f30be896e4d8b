"""PnP-CM: consistency models in plug-and-play ADMM with noise injection and momentum.

Source: Gulle et al. 2026 [pnpcm], written from notes on the released code. Levels tau_k, ramp of penalties rho_k,
momentum mu_k = mu_0/k; for k = 1..N with extrapolations ``xm = x + mu_k (x - x_old)``, ``um = u + mu_k (u - u_old)``:

    z  = argmin ||A z - y||^2 + rho_k ||z - (xm - um)||^2
    nu = z + um + tau_k n
    x  = f(nu, (1 + delta_k) tau_k)
    u  = um + z - x

The noise of y enters only through the choice of rho_k, the softplus of evenly spaced numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

import numpy as np
from torch import Tensor

from zsir.errors import BadSpec
from zsir.names.registry import Option, Range
from zsir.problem import Problem
from zsir.protocols import NoiseSource, Prior
from zsir.samplers.base import BaseSampler, Calls
from zsir.samplers.chain import Chain, check_calls, check_reach, check_share, levels
from zsir.samplers.few_step.cm4ir import CM4IR, Gamma, Start
from zsir.samplers.initial import initial_estimate


@dataclass(frozen=True)
class PnPCMState(Chain):
    """``x0`` the picture, ``u`` the running sum, both with their predecessors (batch, c, h, w)."""

    u: Tensor = field(repr=False, kw_only=True)
    x_old: Tensor = field(repr=False, kw_only=True)
    u_old: Tensor = field(repr=False, kw_only=True)


@dataclass(frozen=True)
class PnPCM(BaseSampler):
    """Few-step ADMM with a consistency model: data step, noise, network, running sum, momentum.

    z = argmin ||A z - y||^2 + rho_k ||z - (xm - um)||^2;  x = f(z + um + tau_k n, (1 + delta_k) tau_k);  u = um + z - x

    Levels are those of CM4IR with a denoiser: by rule, or the published ones with ``start`` and ``gamma``.
    ``rho_first`` and ``rho_last`` are exponents, rho_k = ln(1 + e^r): published are -4 to 4 (super-resolution), -4 to
    6.5 (blur), -6 to 12 (missing pixels). Reconstructed from notes, not compared with a recorded run.
    Source: Gulle et al. 2026 [pnpcm]

    Raises:
        BadSpec: An option lies outside its range.
    """

    needs: ClassVar[tuple[str, ...]] = ("prox",)
    draws: ClassVar[str] = "approximate"

    nfe: Calls = 4
    start: Start = None
    gamma: Gamma = 0.2
    rho_first: Annotated[float, Option("exponent of the first penalty", tune=Range(-6, 0))] = -4.0
    rho_last: Annotated[float, Option("exponent of the last penalty", tune=Range(0, 6))] = 4.0
    momentum: Annotated[float, Option("mu_0", "0..1", tune=Range(0, 1))] = 0.2
    deltas: Annotated[tuple[float, ...] | None, Option("inflation of the level per step: 0.3+0.05+0.2+0.2")] = None

    def __post_init__(self) -> None:
        check_calls("pnp-cm", self.nfe, None)
        if self.deltas is not None and len(self.deltas) != self.nfe:
            raise BadSpec(f"pnp-cm:deltas has {len(self.deltas)} values for nfe={self.nfe}; give one per step.")
        if self.deltas is not None and min(self.deltas) <= -1:
            raise BadSpec("pnp-cm:deltas must lie above -1: the network is told (1 + delta) times the level.")
        check_share("pnp-cm:momentum", self.momentum)
        if self.start is not None and not 0 <= self.start <= 998:
            raise BadSpec(f"pnp-cm:start={self.start} must lie in 0..998, an index into the DDPM table.")
        if self.gamma < 0:
            raise BadSpec(f"pnp-cm:gamma={self.gamma:g} must not be negative.")

    def init(self, problem: Problem, prior: Prior, rng: NoiseSource) -> PnPCMState:
        """x is the initial estimate, u zero."""
        sigmas = CM4IR(self.nfe, self.start, self.gamma).plan(problem, prior.sigma_range[1]).sigmas
        check_reach(prior, sigmas[0])
        x = initial_estimate(problem)
        zero = x.new_zeros(x.shape)
        return PnPCMState(x, x, (*sigmas, 0.0), u=zero, x_old=x, u_old=zero)

    def step(self, problem: Problem, prior: Prior, state: PnPCMState, rng: NoiseSource) -> PnPCMState:
        """Extrapolate, data step, noise, network, running sum."""
        k, tau = state.step, state.here
        delta = self.deltas[k] if self.deltas else 0.0
        mu = self.momentum / (k + 1)
        xm = state.x0 + mu * (state.x0 - state.x_old)
        um = state.u + mu * (state.u - state.u_old)
        exponent = float(np.linspace(self.rho_first, self.rho_last, self.nfe)[k])
        z = problem.operator.prox(xm - um, problem.y, float(np.logaddexp(0, exponent)))
        nu = z + um + tau * rng.randn_like(z)
        x = prior.denoise(nu, levels(nu, (1 + delta) * tau))
        return replace(state, x=nu, x0=x, u=um + z - x, x_old=state.x0, u_old=state.u, step=k + 1)
