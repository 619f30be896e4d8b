"""RED-diff: variational inference of one picture by stochastic gradients.

Source: Mardani et al. 2024 [reddiff]. mu starts at the initial estimate and follows Adam along, per step with level s,
``x = mu + s n`` and ``e = (x - D(x, s))/s``,

    grad = A^T (A mu - y)/m  +  lam s_native (e - n)/dim,     s_native = 2 s

with m and dim the numbers observed and those of mu, as the released code averages over both. The result is mu.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

from torch import Tensor

from zsir.errors import BadSpec
from zsir.names.registry import Option, Range
from zsir.problem import Problem
from zsir.protocols import NoiseSource, Prior
from zsir.samplers.base import BaseSampler, Calls, Levels
from zsir.samplers.chain import Chain, check_calls, denoise, ladder
from zsir.samplers.initial import initial_estimate

BETA1, BETA2, TINY = 0.9, 0.99, 1e-8


@dataclass(frozen=True)
class AdamState(Chain):
    """``x`` and ``x0`` are mu; first and second moments of its gradient (batch, c, h, w)."""

    first: Tensor = field(repr=False, kw_only=True)
    second: Tensor = field(repr=False, kw_only=True)


@dataclass(frozen=True)
class REDDiff(BaseSampler):
    """Stochastic gradient descent on data misfit and the diffusion's denoising error, by Adam.

    grad = A^T (A mu - y)/m + 2 lam s (e - n)/dim,  x = mu + s n,  e = (x - D(x, s))/s

    Aims at one picture, not at samples: what variance is left is the scatter of its stochastic gradients. No gradient
    through the network.
    Source: Mardani et al. 2024 [reddiff]; learning rate and weight of the released code

    Raises:
        BadSpec: An option lies outside its range.
    """

    needs: ClassVar[tuple[str, ...]] = ("adjoint",)
    draws: ClassVar[str] = "estimate"

    nfe: Calls = 1000
    lr: Annotated[float, Option("Adam's learning rate, for pictures in [-1, 1]", tune=Range(0.01, 0.5, log=True))] = 0.1
    lam: Annotated[float, Option("weight of the prior against the data", tune=Range(0.02, 3, log=True))] = 0.25
    sigmas: Levels = None

    def __post_init__(self) -> None:
        check_calls("red-diff", self.nfe, self.sigmas)
        if self.lr <= 0 or self.lam < 0:
            raise BadSpec(f"red-diff:lr={self.lr:g},lam={self.lam:g}: lr must be positive, lam not negative.")

    def init(self, problem: Problem, prior: Prior, rng: NoiseSource) -> AdamState:
        """mu is the initial estimate."""
        mu = initial_estimate(problem)
        zero = mu.new_zeros(mu.shape)
        return AdamState(mu, mu, ladder(self.nfe, self.sigmas, prior), first=zero, second=zero)

    def step(self, problem: Problem, prior: Prior, state: AdamState, rng: NoiseSource) -> AdamState:
        """One stochastic gradient, one step of Adam."""
        mu, s, op, count = state.x, state.here, problem.operator, state.step + 1
        n = rng.randn_like(mu)
        x = mu + s * n
        e = (x - denoise(prior, x, s)) / s
        misfit = op.adjoint(op.forward(mu) - problem.y)
        # twice the misfit: the one of pictures in [-1, 1]
        slope = 2 * misfit / problem.operator.measurements + self.lam * 2 * s * (e - n) / mu[0].numel()
        first = BETA1 * state.first + (1 - BETA1) * slope
        second = BETA2 * state.second + (1 - BETA2) * slope**2
        size = (second / (1 - BETA2**count)).sqrt() + TINY
        mu = mu - self.lr / 2 * first / (1 - BETA1**count) / size
        return replace(state, x=mu, x0=mu, first=first, second=second, step=count)
