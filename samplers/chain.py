"""What the diffusion samplers share: a ladder of noise levels, the state that walks down it, and how noise is put back.

States are variance exploding, ``x = x0 + sigma n`` on the [0, 1] scale. For levels s > t and an estimate x0 of the
clean picture the usual moves are

    DDIM        x_t = x0 + t ( sqrt(1 - eta^2) (x - x0)/s + eta n )
    ancestral   x_t = k x + (1 - k) x0 + t sqrt(1 - k) n,    k = (t/s)^2
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from zsir.errors import BadSpec, Incompatible
from zsir.problem import Problem
from zsir.protocols import NoiseSource, Prior
from zsir.samplers.initial import initial_estimate
from zsir.timetables import TimeTable, ddpm_alphas_bar

#: DDPM's table in native units; a level on the [0, 1] scale is half of the native one
DDPM = TimeTable.vp(ddpm_alphas_bar())

Spacing = Literal["uniform", "quadratic"]


@dataclass(frozen=True)
class Chain:
    """``x`` the noisy state at ``sigmas[step]``, ``x0`` the latest estimate, both (batch, c, h, w); ``sigmas`` fall and
    end in 0."""

    x: Tensor = field(repr=False)
    x0: Tensor = field(repr=False)
    sigmas: tuple[float, ...]
    step: int = 0

    @property
    def sigma(self) -> float:
        """Level of the latest denoising."""
        return self.sigmas[max(0, self.step - 1)]

    @property
    def here(self) -> float:
        """Level of ``x``."""
        return self.sigmas[self.step]

    @property
    def next(self) -> float:
        """Level after the next step; 0 after the last one."""
        return self.sigmas[self.step + 1]

    def moved(self, x: Tensor, x0: Tensor) -> Chain:
        """The state one step further down."""
        return replace(self, x=x, x0=x0, step=self.step + 1)


def check_calls(name: str, nfe: int, sigmas: tuple[float, ...] | None) -> None:
    """Raise `BadSpec` for a number of calls or explicit levels that make no ladder."""
    if nfe < 1:
        raise BadSpec(f"nfe={nfe}: at least one network call is needed; write for example nfe=20.")
    if sigmas is None:
        return
    if len(sigmas) != nfe:
        raise BadSpec(f"{name}:sigmas has {len(sigmas)} levels for {nfe} steps; give one level per step, falling.")
    if min(sigmas) <= 0 or any(b > a for a, b in itertools.pairwise(sigmas)):
        raise BadSpec(f"{name}:sigmas must be positive and fall from step to step, or stay, such as 1+0.5+0.1.")


def check_share(name: str, value: float) -> None:
    """Raise `BadSpec` unless ``value`` lies in [0, 1]."""
    if not 0 <= value <= 1:
        raise BadSpec(f"{name}={value:g} must lie in [0, 1].")


def ladder(nfe: int, sigmas: tuple[float, ...] | None, prior: Prior, spacing: Spacing = "uniform") -> tuple[float, ...]:
    """The levels of a run, ending in 0: the given ones, or those of DDPM's table at ``nfe`` times.

    Times are ``uniform`` (0, k, 2k, ... as DDRM, DDNM and DDPG take them) or ``quadratic`` (denser where the noise is
    small, as DiffPIR takes them). For a prior that knows less noise than the table, the times of the part that it knows
    are spread evenly, both ends included. Raises `Incompatible` where given levels go beyond the prior's range.
    """
    top = prior.sigma_range[1]
    if sigmas is not None:
        if sigmas[0] > top * (1 + 1e-6):
            raise Incompatible(
                f"sigmas begins at {sigmas[0]:g}, but {prior!r} is made for noise up to {top:g}; begin there or below, "
                "or use another prior."
            )
        return (*sigmas, 0.0)
    count = max(1, int((DDPM.levels / 2 <= top).sum()))
    times: np.ndarray
    if spacing == "quadratic":
        times = np.floor(np.sqrt(np.linspace(0, count**2, nfe)) + 1e-9) if nfe > 1 else np.zeros(1)
        times[-1] = min(times[-1], count - 1)
        times = count - 1 - times if nfe > 1 else np.full(1, count - 1.0)
    elif count == len(DDPM.levels) and 1 < nfe <= count:
        times = count // nfe * np.arange(nfe - 1.0, -1, -1)
    else:
        times = np.linspace(count - 1, 0, nfe)
    return (*(DDPM.level(torch.from_numpy(times)) / 2).tolist(), 0.0)


def begin(
    problem: Problem,
    prior: Prior,
    rng: NoiseSource,
    nfe: int,
    sigmas: tuple[float, ...] | None,
    spacing: Spacing = "uniform",
) -> Chain:
    """x = x_init + sigma_1 n, with the `ladder` of levels."""
    return begin_at(problem, rng, ladder(nfe, sigmas, prior, spacing))


def begin_at(problem: Problem, rng: NoiseSource, sigmas: tuple[float, ...]) -> Chain:
    """x = x_init + sigma_1 n for levels that end in 0."""
    x_init = initial_estimate(problem)
    return Chain(x_init + sigmas[0] * rng.randn_like(x_init), x_init, sigmas)


def levels(x: Tensor, sigma: float) -> Tensor:
    """One level per picture, (batch,)."""
    return torch.full((x.shape[0],), sigma, dtype=x.dtype, device=x.device)


def denoise(prior: Prior, x: Tensor, sigma: float) -> Tensor:
    """D(x, sigma) for a batch at one level; raises `Incompatible` beyond the prior's range."""
    check_reach(prior, sigma)
    return prior.denoise(x, levels(x, sigma))


def check_reach(prior: Prior, sigma: float) -> None:
    """Raise `Incompatible` where a level lies above the prior's range."""
    top = prior.sigma_range[1]
    if sigma > top * (1 + 1e-6):
        raise Incompatible(
            f"A step at noise level {sigma:.3g} is beyond {prior!r}, which is made for noise up to {top:.3g}; begin "
            "lower (options first, start, sigmas of the sampler), or use another prior."
        )


def ddim(x0: Tensor, e: Tensor, t: float, eta: float, rng: NoiseSource) -> Tensor:
    """x0 + t (sqrt(1 - eta^2) e + eta n), e the estimated noise of unit variance."""
    if t == 0:
        return x0
    return x0 + t * (math.sqrt(1 - eta**2) * e + eta * rng.randn_like(e))


def ancestral(x: Tensor, x0: Tensor, s: float, t: float, rng: NoiseSource) -> Tensor:
    """k x + (1 - k) x0 + t sqrt(1 - k) n with k = (t/s)^2."""
    if t == 0:
        return x0
    k = (t / s) ** 2
    return k * x + (1 - k) * x0 + t * math.sqrt(1 - k) * rng.randn_like(x)


def abar(sigma: float) -> float:
    """abar_t of the VP model at a level on the [0, 1] scale: 1/(1 + (2 sigma)^2)."""
    return 1 / (1 + 4 * sigma**2)
