"""Plug-and-play half-quadratic splitting.

Source: Zhang et al. 2022 [dpir]. For levels sigma_1 > ... > sigma_N and ``rho_k = lam * noise_std^2 / sigma_k^2``:

    x_k = argmin_x ||A x - y||^2 + rho_k ||x - z_{k-1}||^2        data
    z_k = D(x_k, sigma_k)                                         prior

The result is the last z.

Where the errors of y are far from normal, as those of coarse quantisation, the denoiser comes first, and the noise that
it finds is put back, with the opposite sign as in CM4IR [cm4ir], because a network knows white noise and no other:

    z_k = D(x_k, sigma_k),  x~_k = E(z_k, y, 1.5 rho_k),  x_{k+1} = x~_k + 1.1 sigma_{k+1}/sigma_k (z_k - x_k)

with ``x_1 = x_init + sigma_1 n``, and E the expected picture behind y (`zsir.processes.Expects`). The result is the
last x~.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from zsir.errors import BadSpec
from zsir.extent import reduction
from zsir.names.registry import Option, Range
from zsir.problem import Problem
from zsir.processes import expected_of, finish_of
from zsir.protocols import NoiseSource, Prior
from zsir.samplers.base import BaseSampler, Calls
from zsir.samplers.chain import denoise
from zsir.samplers.initial import ROUNDING, initial_estimate
from zsir.samplers.levels import geometric

#: where noise is put back: how much of what was found, and how many times ``lam`` an estimate weighs there. Tuned with
#: `photo` on nine crops, qualities 10 and 30; from 1.05 to 1.15 and from 1.3 to 1.8 results differ by 0.02 dB
MORE, HEAVIER = 1.1, 1.5
#: noise is put back where the error of y is more than this many times the level that the ladder ends at: below, as in
#: files of quality 75 and more, it is nearly white, and results of the plain steps were up to 0.15 dB better
COARSE = 2.5
#: what the samplers on DPIR's ladder share
First = Annotated[float, Option("first noise level", "[0, 1]", tune=Range(0.02, 1, log=True))]
Last = Annotated[float | None, Option("last noise level", "[0, 1]", tune=Range(0.004, 0.3, log=True))]
Weight = Annotated[float, Option("weight of the prior against the data", tune=Range(0.02, 2, log=True))]


def dpir_ladder(
    problem: Problem, nfe: int, first: float = 49 / 255, last: float | None = None, *, rising: bool = False
) -> tuple[float, ...]:
    """DPIR's levels: geometric from ``first``, by default down to the noise of y, or to one grey value of 255 per unit
    of reduction. Where that is above ``first`` they stay there, or rise as in the released code if ``rising``. An
    operator whose noise is not white, such as that of a JPEG file, names a last level of its own."""
    if last is None:
        last = finish_of(problem.operator) or max(problem.noise_std, reduction(problem.operator) / 255)
    if rising and last > first and nfe > 1:
        return tuple(reversed(geometric(nfe, last, first)))
    return geometric(nfe, max(first, last), last)


def turned(x: Tensor, k: int) -> Tensor:
    """One of the eight flips and rotations of a picture; k = 0 leaves it."""
    x = torch.rot90(x, k % 4, (2, 3))
    return x.flip(3) if k % 8 >= 4 else x


def turned_back(x: Tensor, k: int) -> Tensor:
    """The inverse of `turned`."""
    x = x.flip(3) if k % 8 >= 4 else x
    return torch.rot90(x, -(k % 4), (2, 3))


@dataclass(frozen=True)
class HQSState:
    """``x0`` the latest denoised picture z (batch, c, h, w), or x~; ``noise`` what is put back, of unit variance."""

    x0: Tensor = field(repr=False)
    sigmas: tuple[float, ...]
    sigma: float
    step: int
    noise: Tensor | None = field(default=None, repr=False)


@dataclass(frozen=True)
class HQS(BaseSampler):
    """Plug-and-play half-quadratic splitting (DPIR): data step and denoiser in turn, noise level falling.

    x_k = argmin ||A x - y||^2 + rho_k ||x - z_{k-1}||^2,  z_k = D(x_k, sigma_k),  rho_k = lam noise_std^2/sigma_k^2

    sigma_k falls geometrically from ``first`` to ``last``; the picture is turned before every denoising, so that what a
    network adds to its own output does not build up. The default for more than 8 calls; no randomness, but for
    coarse JPEG files and a network: there noise is put back before every denoising, and the codes say in which
    intervals the coefficients lie.
    Source: Zhang et al. 2022 [dpir], and its released defaults: 49/255, lam 0.23; last = noise_std for deblurring
    (8 calls), max(factor/255, noise_std) for super-resolution (24 calls)

    Raises:
        BadSpec: An option lies outside its range.
    """

    needs: ClassVar[tuple[str, ...]] = ("prox",)
    draws: ClassVar[str] = "estimate"
    #: share of a JPEG file's error that counts as noise behind a blur or a reduction, because the last denoiser has the
    #: full level of the noise. With all of it, results were 0.1 to 1 dB worse
    of_coding: ClassVar[float] = 0.7

    nfe: Calls = 8
    first: First = 49 / 255
    last: Last = None
    lam: Weight = 0.23
    turns: Annotated[bool, Option("give the prior another flip or rotation at every step")] = True
    inject: Annotated[bool | None, Option("put estimated noise back; by default for coarse JPEG files")] = None

    def __post_init__(self) -> None:
        if self.nfe < 1:
            raise BadSpec(f"nfe={self.nfe}: at least one network call is needed; write nfe=8.")
        if not (0 < self.first <= 1 and self.lam > 0):
            raise BadSpec(f"hqs:first={self.first:g},lam={self.lam:g}: first must lie in (0, 1], lam be positive.")
        if self.last is not None and not 0 < self.last <= self.first:
            raise BadSpec(f"hqs:last={self.last:g} must lie in (0, first={self.first:g}].")

    def init(self, problem: Problem, prior: Prior, rng: NoiseSource) -> HQSState:
        """z_0 is the initial estimate."""
        sigmas = dpir_ladder(problem, self.nfe, self.first, self.last)
        x_init = initial_estimate(problem, self._rho(problem, sigmas[0]))
        noise = rng.randn_like(x_init) if self._injects(problem, prior) else None
        return HQSState(x_init, sigmas, sigmas[0], 0, noise)

    def step(self, problem: Problem, prior: Prior, state: HQSState, rng: NoiseSource) -> HQSState:
        """Data step, then denoiser; with ``inject`` denoiser, then data step."""
        sigma, turn = state.sigmas[state.step], state.step if self.turns else 0
        rho = self._rho(problem, sigma)
        if state.noise is None:
            x = problem.operator.prox(state.x0, problem.y, rho)
            z = turned_back(denoise(prior, turned(x, turn), sigma), turn)
            return HQSState(z, state.sigmas, sigma, state.step + 1)
        x = state.x0 + sigma * state.noise
        z = turned_back(denoise(prior, turned(x, turn), sigma), turn)
        x0 = (expected_of(problem.operator) or problem.operator.prox)(z, problem.y, HEAVIER * rho)
        return HQSState(x0, state.sigmas, sigma, state.step + 1, MORE * (z - x) / sigma)

    def _injects(self, problem: Problem, prior: Prior) -> bool:
        """By default for coarse codes, and priors with weights: non-local means would keep the noise."""
        if self.inject is not None:
            return self.inject
        known, finish = expected_of(problem.operator) is not None, finish_of(problem.operator)
        return known and bool(prior.fingerprint and finish) and problem.noise_std > COARSE * (finish or 0.0)

    def _rho(self, problem: Problem, sigma: float) -> float:
        return self.lam * max(problem.noise_std, ROUNDING) ** 2 / sigma**2
