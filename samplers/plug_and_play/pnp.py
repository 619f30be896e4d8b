"""Plug-and-play with gradient and splitting steps: PGD, ADMM, and RED's gradient form.

Any denoiser D is a prior; levels m_k fall by DPIR's ladder (hqs.py), ``rho_k = lam noise^2/m_k^2``.

    PGD   x <- D(x - A^T (A x - y)/||A||^2, m_k)                       [pnp-pgd]
    ADMM  v <- prox(x - u, rho_k);  x <- D(v + u, m_k);  u <- u + v - x    [pnp]
    RED   x <- x - ( A^T (A x - y) + rho_k (x - D(x, m_k)) )/(||A||^2 + rho_k)   [red]

The results are x, the last denoised picture, or for RED the last iterate.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

from torch import Tensor

from zsir.errors import BadSpec
from zsir.linalg import norm2
from zsir.problem import Problem
from zsir.protocols import NoiseSource, Prior
from zsir.samplers.base import BaseSampler, Calls
from zsir.samplers.chain import Chain, check_calls, denoise
from zsir.samplers.initial import ROUNDING, initial_estimate
from zsir.samplers.plug_and_play.hqs import First, Last, Weight, dpir_ladder


@dataclass(frozen=True)
class PnPState(Chain):
    """``x`` and ``x0`` the picture; ``u`` ADMM's running sum (batch, c, h, w); ``norm`` the operator's ||A||^2."""

    u: Tensor = field(repr=False, kw_only=True)
    norm: float = 1.0


def _start(problem: Problem, nfe: int, first: float, last: float | None, *, scaled: bool) -> PnPState:
    """The initial estimate; ``scaled`` methods step by 1/||A||^2."""
    x = initial_estimate(problem)
    norm = norm2(problem.operator, problem.y) if scaled else 1.0
    return PnPState(x, x, (*dpir_ladder(problem, nfe, first, last), 0.0), u=x.new_zeros(x.shape), norm=norm)


def _check(name: str, nfe: int, first: float, last: float | None) -> None:
    check_calls(name, nfe, None)
    if not 0 < first <= 1 or (last is not None and not 0 < last <= first):
        raise BadSpec(f"{name}:first={first:g},last={last}: levels must satisfy 0 < last <= first <= 1.")


def _rho(problem: Problem, lam: float, level: float) -> float:
    return lam * (max(problem.noise_std, ROUNDING) / level) ** 2


@dataclass(frozen=True)
class PGD(BaseSampler):
    """Plug-and-play proximal gradient: a gradient step on the data, then the denoiser. Needs no inverse.

    x <- D(x - A^T (A x - y)/||A||^2, m_k)

    Source: Kamilov et al. 2017 [pnp-pgd]; falling levels of [dpir]

    Raises:
        BadSpec: An option lies outside its range.
    """

    needs: ClassVar[tuple[str, ...]] = ("adjoint",)
    draws: ClassVar[str] = "estimate"

    nfe: Calls = 50
    first: First = 49 / 255
    last: Last = None

    def __post_init__(self) -> None:
        _check("pgd", self.nfe, self.first, self.last)

    def init(self, problem: Problem, prior: Prior, rng: NoiseSource) -> PnPState:
        """x is the initial estimate."""
        return _start(problem, self.nfe, self.first, self.last, scaled=True)

    def step(self, problem: Problem, prior: Prior, state: PnPState, rng: NoiseSource) -> Chain:
        """Gradient step, denoiser."""
        op, x = problem.operator, state.x
        x = denoise(prior, x - op.adjoint(op.forward(x) - problem.y) / state.norm, state.here)
        return state.moved(x, x)


@dataclass(frozen=True)
class ADMM(BaseSampler):
    """Plug-and-play ADMM: data step and denoiser in turn, with a running sum of their disagreement.

    v <- argmin ||A v - y||^2 + rho_k ||v - (x - u)||^2;  x <- D(v + u, m_k);  u <- u + v - x

    Source: Venkatakrishnan et al. 2013 [pnp]; falling levels of [dpir]

    Raises:
        BadSpec: An option lies outside its range.
    """

    needs: ClassVar[tuple[str, ...]] = ("prox",)
    draws: ClassVar[str] = "estimate"

    nfe: Calls = 20
    first: First = 49 / 255
    last: Last = None
    lam: Weight = 0.23

    def __post_init__(self) -> None:
        _check("admm", self.nfe, self.first, self.last)
        if self.lam <= 0:
            raise BadSpec(f"admm:lam={self.lam:g} must be positive; the published value is 0.23.")

    def init(self, problem: Problem, prior: Prior, rng: NoiseSource) -> PnPState:
        """x is the initial estimate, u zero."""
        return _start(problem, self.nfe, self.first, self.last, scaled=False)

    def step(self, problem: Problem, prior: Prior, state: PnPState, rng: NoiseSource) -> PnPState:
        """Data step, denoiser, running sum."""
        level = state.here
        v = problem.operator.prox(state.x - state.u, problem.y, _rho(problem, self.lam, level))
        x = denoise(prior, v + state.u, level)
        return replace(state, x=x, x0=x, u=state.u + v - x, step=state.step + 1)


@dataclass(frozen=True)
class RED(BaseSampler):
    """Regularisation by denoising, gradient form: data misfit and denoising residual pull together. Needs no inverse.

    x <- x - ( A^T (A x - y) + rho_k (x - D(x, m_k)) )/(||A||^2 + rho_k),  rho_k = lam noise^2/m_k^2

    Source: Romano et al. 2017 [red]; falling levels and weights of [dpir]

    Raises:
        BadSpec: An option lies outside its range.
    """

    needs: ClassVar[tuple[str, ...]] = ("adjoint",)
    draws: ClassVar[str] = "estimate"

    nfe: Calls = 100
    first: First = 49 / 255
    last: Last = None
    lam: Weight = 0.23

    def __post_init__(self) -> None:
        _check("red", self.nfe, self.first, self.last)
        if self.lam <= 0:
            raise BadSpec(f"red:lam={self.lam:g} must be positive.")

    def init(self, problem: Problem, prior: Prior, rng: NoiseSource) -> PnPState:
        """x is the initial estimate."""
        return _start(problem, self.nfe, self.first, self.last, scaled=True)

    def step(self, problem: Problem, prior: Prior, state: PnPState, rng: NoiseSource) -> Chain:
        """One gradient step on both terms."""
        op, x, level = problem.operator, state.x, state.here
        rho = _rho(problem, self.lam, level)
        slope = op.adjoint(op.forward(x) - problem.y) + rho * (x - denoise(prior, x, level))
        x = x - slope / (state.norm + rho)
        return state.moved(x, x)
