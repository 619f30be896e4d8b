"""TDS: twisted diffusion sampling, sequential Monte Carlo that is exact for many particles.

Source: Wu et al. 2023 [tds]. Particles walk down the unconditional chain with a guided proposal, and weights repay the
difference. With ``d = D(x, s)``, k = (t/s)^2, var = t^2 (1 - k), and the twist, the likelihood of y as far as x tells
it,

    log l_s(x) = -1/2 (y - A d)^T (r^2 A A^T + noise^2 I)^-1 (y - A d),   r^2 = s^2 v/(s^2 + v)

    proposal  x' ~ q = N(m + (1 - k) s^2 grad log l_s(x), var),    m = k x + (1 - k) d
    weight    w  = N(x'; m, var)/q(x') * l_t(x')/l_s(x)

resampled (systematically) where the effective number of particles falls below half. At the end l is the true
likelihood of d, and one particle is drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from zsir.errors import BadSpec
from zsir.names.registry import Option, Range
from zsir.problem import Problem
from zsir.protocols import NoiseSource, Prior
from zsir.samplers.base import Levels
from zsir.samplers.chain import Chain, check_calls, ladder
from zsir.samplers.guidance import denoise_with_vjp
from zsir.samplers.initial import initial_estimate


@dataclass(frozen=True)
class Swarm(Chain):
    """``x`` holds the particles (batch, particles, c, h, w), ``d`` their estimates, ``pull`` the gradients of their
    twists, ``log_l`` the twists and ``log_w`` the weights (batch, particles)."""

    d: Tensor = field(repr=False, kw_only=True)
    pull: Tensor = field(repr=False, kw_only=True)
    log_l: Tensor = field(repr=False, kw_only=True)
    log_w: Tensor = field(repr=False, kw_only=True)


@dataclass(frozen=True)
class TDS:
    """Twisted diffusion sampler: guided particles, reweighted and resampled; exact as their number grows.

    x' ~ N(k x + (1 - k)(d + s^2 grad log l_s), t^2 (1 - k)),  w = p(x'|x)/q(x'|x) l_t(x')/l_s(x),
    log l_s = -1/2 (y - A d)^T (r^2 A A^T + noise^2)^-1 (y - A d),  r^2 = s^2 v/(s^2 + v)

    ``nfe`` counts the calls of all particles, each with a backward pass (about two forwards more).
    Source: Wu et al. 2023 [tds]; the twist is that of [pigdm]

    Raises:
        BadSpec: An option lies outside its range.
    """

    needs: ClassVar[tuple[str, ...]] = ("pinv", "gradient", "noise")
    draws: ClassVar[str] = "limit"

    nfe: Annotated[int, Option("network calls: levels times particles")] = 1600
    particles: Annotated[int, Option("particles per picture")] = 16
    variance: Annotated[
        float, Option("variance of a pixel of a picture", "[0, 1]", tune=Range(0.005, 0.5, log=True))
    ] = 0.0625
    sigmas: Levels = None

    def __post_init__(self) -> None:
        if self.particles < 1 or self.nfe < self.particles or self.nfe % self.particles:
            raise BadSpec(
                f"nfe={self.nfe} must be a multiple of tds:particles={self.particles}, one call per level and particle."
            )
        check_calls("tds", self.count, self.sigmas)
        if self.sigmas is not None and len(set(self.sigmas)) < len(self.sigmas):
            raise BadSpec("tds:sigmas must fall from step to step: a step to the same level has no kernel.")
        if self.variance <= 0:
            raise BadSpec(f"tds:variance={self.variance:g} must be positive, such as 0.06.")

    @property
    def count(self) -> int:
        """Levels of the ladder; the first is called in `init`."""
        return self.nfe // self.particles

    @property
    def steps(self) -> int:
        """Moves of the swarm, the last of them the draw of one particle."""
        return self.count

    def init(self, problem: Problem, prior: Prior, rng: NoiseSource) -> Swarm:
        """Particles at the first level, all alike in law."""
        sigmas = ladder(self.count, self.sigmas, prior)
        x_init = initial_estimate(problem)
        cloud = x_init[:, None].expand(-1, self.particles, -1, -1, -1)
        x = cloud + sigmas[0] * rng.randn_like(cloud)
        d, pull, log_l = self._look(problem, prior, x, sigmas[0])
        return Swarm(x, x_init, sigmas, d=d, pull=pull, log_l=log_l, log_w=log_l)

    def step(self, problem: Problem, prior: Prior, state: Swarm, rng: NoiseSource) -> Swarm:
        """Resample, propose, weigh; at the end draw one particle."""
        s, t = state.here, state.next
        uniform = torch.special.ndtr(rng.randn_like(state.log_w[:, :1]))
        if t == 0:
            return self._draw(problem, state, s, uniform)
        state = self._resampled(state, uniform)
        k = (t / s) ** 2
        spread = t * math.sqrt(1 - k)
        shift = (1 - k) * s**2 * state.pull
        n = rng.randn_like(state.x)
        x = k * state.x + (1 - k) * state.d + shift + spread * n
        # log N(x'; m, var) - log N(x'; m + shift, var)
        repay = -(shift.square() / 2 + spread * shift * n).flatten(2).sum(2) / spread**2
        d, pull, log_l = self._look(problem, prior, x, t)
        log_w = state.log_w + repay + log_l - state.log_l
        mean = (log_w.softmax(1)[:, :, None, None, None] * d).sum(1)
        return replace(state, x=x, x0=mean, d=d, pull=pull, log_l=log_l, log_w=log_w, step=state.step + 1)

    def _look(self, problem: Problem, prior: Prior, x: Tensor, s: float) -> tuple[Tensor, Tensor, Tensor]:
        """Estimates of all particles, with gradient and logarithm of their twists."""
        d, vjp = denoise_with_vjp(prior, x.flatten(0, 1), s)
        r2 = s**2 * self.variance / (s**2 + self.variance)
        y = problem.y.repeat_interleave(self.particles, dim=0)
        misfit = y - problem.operator.forward(d)
        log_l, back = self._likelihood(problem, misfit, r2)
        pull = vjp(back)
        return d.view_as(x), pull.view_as(x), log_l.view(x.shape[:2])

    def _likelihood(self, problem: Problem, misfit: Tensor, r2: float) -> tuple[Tensor, Tensor]:
        """-1/2 m^T (r^2 A A^T + noise^2)^-1 m, and A^T (r^2 A A^T + noise^2)^-1 m."""
        variance = problem.noise_std**2
        back = problem.operator.pinv(misfit, variance / r2) / r2
        # Woodbury: (r^2 A A^T + n^2)^-1 m = (m - r^2 A back)/n^2
        solved = (misfit - r2 * problem.operator.forward(back)) / variance
        return -0.5 * (misfit * solved).flatten(1).sum(1), back

    def _resampled(self, state: Swarm, uniform: Tensor) -> Swarm:
        """Systematic resampling of the pictures whose effective number of particles is below half."""
        w = state.log_w.softmax(1)
        poor = 1 / w.square().sum(1) < self.particles / 2
        points = (torch.arange(self.particles, device=w.device) + uniform) / self.particles
        chosen = torch.searchsorted(w.cumsum(1).contiguous(), points.to(w).contiguous()).clamp_max(self.particles - 1)
        same = torch.arange(self.particles, device=w.device).expand_as(chosen)
        index = torch.where(poor[:, None], chosen, same)
        rows = torch.arange(len(index), device=w.device)[:, None]
        log_w = torch.where(poor[:, None], 0.0, state.log_w)
        return replace(
            state,
            x=state.x[rows, index],
            d=state.d[rows, index],
            pull=state.pull[rows, index],
            log_l=state.log_l[rows, index],
            log_w=log_w,
        )

    def _draw(self, problem: Problem, state: Swarm, s: float, uniform: Tensor) -> Swarm:
        """One particle, weighed with the likelihood of its estimate instead of the last twist."""
        batch = problem.y.shape[0]
        y = problem.y.repeat_interleave(self.particles, dim=0)
        misfit = y - problem.operator.forward(state.d.flatten(0, 1))
        exact = -0.5 * misfit.flatten(1).square().sum(1).view(batch, -1) / problem.noise_std**2
        w = (state.log_w + exact - state.log_l).softmax(1)
        chosen = torch.searchsorted(w.cumsum(1).contiguous(), uniform.contiguous()).clamp_max(self.particles - 1)
        x0 = state.d[torch.arange(batch, device=w.device), chosen[:, 0]]
        return replace(state, x0=x0, step=state.step + 1)
