"""IR-SDE: posterior sampling along a mean-reverting diffusion, in the coordinates of its noise.

Source: Luo et al. 2023 [irsde], and 2024 [irsde-posterior] for the posterior steps. The forward process pulls the
picture towards mu, a degraded version of it: ``x_t = mu + m_t (x0 - mu) + lambda sqrt(1 - m_t^2) n``. In the view
``u = mu + (x_t - mu)/m_t = x0 + sigma_t n`` it is variance exploding, whatever mu is, and a step from time t to s < t
is, with ``d`` the estimate of x0, ``k = (sigma_s/sigma_t)^2``, ``h = ln(m_s/m_t)``:

    posterior   u_s = k u + (1 - k) d + sqrt(sigma_s^2 (1 - k) + (1 - k)^2 r^2) n                   (r = 0 as published)
    sde         x_s = x + h (x - mu) - 2 lambda^2 h eps/sqrt(v) - lambda sqrt(2 h) n
    ode         x_s = x + h (x - mu) -   lambda^2 h eps/sqrt(v),         eps/sqrt(v) = m_t (u - d)/v_t

Fewer calls than times take a subset of the times and the same formulas. ``r^2 = sigma_t^2 div D/dim`` restores the
variance of x0 given u, which a step to d alone leaves out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

import numpy as np
from torch import Tensor

from zsir.capabilities import is_conditional, offers
from zsir.errors import BadSpec, Incompatible
from zsir.names.registry import Option, Range
from zsir.problem import Problem
from zsir.protocols import NoiseSource, Prior
from zsir.samplers.base import BaseSampler
from zsir.samplers.chain import Chain, denoise
from zsir.samplers.guidance import denoise_with_vjp
from zsir.samplers.initial import initial_estimate
from zsir.timetables import IRSDESchedule

MODES = ("posterior", "sde", "ode")
GUIDANCE = ("auto", "none", "prox")
#: standard deviation of a pixel of a photograph: what is left unknown of x0 when nothing is known
SPREAD = 0.25


@dataclass(frozen=True)
class IRSDEState(Chain):
    """``x`` is u; ``mu`` the mean (batch, c, h, w)."""

    mu: Tensor = field(repr=False, kw_only=True)


@dataclass(frozen=True)
class IRSDE(BaseSampler):
    """Posterior sampling of IR-SDE, or its SDE and ODE steps, on its schedule; any prior.

    u_s = k u + (1 - k) d + sigma_s sqrt(1 - k) n,  k = (sigma_s/sigma_t)^2,  u = mu + (x - mu)/m_t

    With a network trained for the task (the prior irsde-net) d is its answer; with any other prior it is pulled to the
    data (``guidance``): d <- argmin ||A x - y||^2 + noise^2/r^2 ||x - d||^2 with 1/r^2 = 1/sigma^2 + 1/0.25^2.
    mu is the initial estimate. ``dispersion`` adds the variance of x0 given u (a gradient through the prior a step).
    Source: Luo et al. 2023 [irsde], 2024 [irsde-posterior], and the code released with them

    Raises:
        BadSpec: An option lies outside its range.
    """

    draws: ClassVar[str] = "approximate"

    nfe: Annotated[int, Option("network calls, at most times")] = 100
    mode: Annotated[str, Option("kind of step", choices=MODES)] = "posterior"
    times: Annotated[int, Option("times of the schedule that the network was trained with")] = 100
    max_sigma: Annotated[
        float, Option("lambda: noise level of the far end", "[0, 1]", tune=Range(0.05, 1, log=True))
    ] = 50 / 255
    eps: Annotated[float, Option("share of x0 - mu left at the far end", "0..1")] = 0.005
    schedule: Annotated[str, Option("shape of the schedule", choices=("cosine", "linear", "constant"))] = "cosine"
    guidance: Annotated[
        str, Option("pull estimates to the data: auto leaves networks trained for it alone", choices=GUIDANCE)
    ] = "auto"
    dispersion: Annotated[bool, Option("add the variance that few posterior steps lack")] = False

    def __post_init__(self) -> None:
        IRSDESchedule(self.times, self.max_sigma, self.eps, self.schedule)  # type: ignore[arg-type]
        if not 1 <= self.nfe <= self.times:
            raise BadSpec(f"nfe={self.nfe} must lie in 1..{self.times}, the times of the schedule (irsde:times=...).")
        if self.mode not in MODES or self.guidance not in GUIDANCE:
            raise BadSpec(
                f"irsde:mode={self.mode},guidance={self.guidance}: modes are {', '.join(MODES)}; "
                f"guidance is one of {', '.join(GUIDANCE)}."
            )
        if self.dispersion and self.mode != "posterior":
            raise BadSpec("irsde:dispersion belongs to mode=posterior; the other modes spread by themselves.")

    @property
    def needs(self) -> tuple[str, ...]:
        """The data step where it is asked for, and gradients for the dispersion."""
        return ("prox",) * (self.guidance == "prox") + ("gradient",) * self.dispersion

    @property
    def plan(self) -> IRSDESchedule:
        """Times and levels of the SDE."""
        return IRSDESchedule(self.times, self.max_sigma, self.eps, self.schedule)  # type: ignore[arg-type]

    def init(self, problem: Problem, prior: Prior, rng: NoiseSource) -> IRSDEState:
        """x_T = mu + lambda n, that is u = mu + (lambda/m_T) n; a prior that knows less noise begins at its own
        largest level."""
        if self._guided(prior) and not offers(problem.operator, "prox"):
            raise Incompatible(
                f"IRSDE pulls the estimates of {prior!r} to the data by a proximal step (prox), which "
                f"{problem.operator!r} does not offer; use dps, or a network trained for the task."
            )
        table, top = self.plan, prior.sigma_range[1]
        last = int((table.sigma <= top * (1 + 1e-6)).sum()) - 1
        if last < 1:
            raise Incompatible(f"{prior!r} is made for noise up to {top:g}, below the first level of this schedule.")
        times = np.linspace(last, 0, self.nfe + 1)
        if is_conditional(prior) or last >= self.nfe:
            times = np.round(times)  # a network of this schedule has seen whole times only
        mu = initial_estimate(problem)
        first = table.max_sigma / table.m[last] if last == self.times else table.sigma[last]
        u = mu + float(first) * rng.randn_like(mu)
        decay = np.interp(times, np.arange(self.times + 1), np.cumsum(table.h))
        sigmas = tuple((table.max_sigma * np.sqrt(np.expm1(2 * decay))).tolist())
        return IRSDEState(u, mu, sigmas, mu=mu)

    def step(self, problem: Problem, prior: Prior, state: IRSDEState, rng: NoiseSource) -> IRSDEState:
        """Estimate, data, move."""
        u, s = state.x, state.here
        r: Tensor | float = 0.0
        if self.dispersion:
            n = rng.randn_like(u)
            d, vjp = denoise_with_vjp(prior, u, s)
            share = (n * vjp(n)).flatten(1).mean(1).clamp(0, 1)
            r = (s * share.sqrt()).view(-1, 1, 1, 1)
        else:
            d = denoise(prior, u, s)
        if self._guided(prior):
            d = problem.operator.prox(d, problem.y, problem.noise_std**2 * (1 / s**2 + 1 / SPREAD**2))
        moved = self._posterior(state, d, r, rng) if self.mode == "posterior" else self._euler(state, d, rng)
        final = state.next == 0
        return replace(state, x=moved, x0=moved if final else d, step=state.step + 1)

    def _guided(self, prior: Prior) -> bool:
        return self.guidance == "prox" or (self.guidance == "auto" and not is_conditional(prior))

    def _posterior(self, state: IRSDEState, d: Tensor, r: Tensor | float, rng: NoiseSource) -> Tensor:
        s, t = state.here, state.next
        k = (t / s) ** 2
        if t == 0 and not self.dispersion:
            return d
        variance = t**2 * (1 - k) + (1 - k) ** 2 * r**2
        spread = variance.sqrt() if isinstance(variance, Tensor) else math.sqrt(variance)
        return k * state.x + (1 - k) * d + spread * rng.randn_like(d)

    def _euler(self, state: IRSDEState, d: Tensor, rng: NoiseSource) -> Tensor:
        lam, s, t = self.max_sigma, state.here, state.next
        m, m_next = (1 / math.sqrt(1 + (level / lam) ** 2) for level in (s, t))
        h, v = (math.log1p((s / lam) ** 2) - math.log1p((t / lam) ** 2)) / 2, (s * m) ** 2
        pull = (2 if self.mode == "sde" else 1) * lam**2 * h * m / v
        # x - mu = m (u - mu) on both sides of the step
        offset = (1 + h) * m * (state.x - state.mu) - pull * (state.x - d)
        if self.mode == "sde":
            offset = offset - lam * math.sqrt(2 * h) * rng.randn_like(d)
        return state.mu + offset / m_next
