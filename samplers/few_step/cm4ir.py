"""CM4IR: few-step restoration with good initialisation, back-projection and noise injection.

Source: Garber and Tirer 2025 [cm4ir]. With ``A_r^+ = A^T (A A^T + r I)^-1`` and step k = 1..N:

    x_1     = x_init + sigma_1 n
    d       = D(x_k, sigma_k), the network told (1 + delta_k) sigma_k
    x~      = d - A_r^+ (A d - y)                                        back-projection
    x_{k+1} = x~ + sigma_{k+1} ( eta n + sqrt(1 - eta^2) (d - x_k) / sigma_k )

The direction ``(d - x_k) / sigma_k`` is the negative of the estimated noise, taken before the back-projection. The
result is x~ after the last step; in the paper it is d where y is noisy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from torch import Tensor

from zsir.capabilities import inflated, seen_pixels
from zsir.errors import BadSpec
from zsir.names.registry import Option, Range
from zsir.problem import Problem
from zsir.processes import expected_of, finish_of
from zsir.protocols import NoiseSource, Prior
from zsir.samplers.base import BaseSampler, Calls
from zsir.samplers.chain import check_reach, levels
from zsir.samplers.few_step.published import CM4IR_PRESETS
from zsir.samplers.initial import EXACT, ROUNDING, expected_start, initial_estimate
from zsir.samplers.levels import cm4ir_levels, geometric


@dataclass(frozen=True)
class Rule:
    """Levels and ridges for a task without published settings, from the error e of the initial estimate.

        sigma_1 = over e,  sigma_N = max(share noise_std, least),  ridge_k = ridge (noise_std / sigma_k)^2

    ``eta`` is the share of fresh noise, and ``end`` replaces ``ridge`` in the last step. Without ``end`` the result is
    d where y is noisy.
    """

    over: float
    share: float
    least: float
    ridge: float
    eta: float
    end: float | None


#: Tuned on photographs with the prior ``photo``. The ridge is DPIR's balance of data and prior. The value of eta is
#: that of the released code for all priors. The last estimate is better than its level says, so the last step keeps
#: more of it, which is worth 2 to 2.5 dB for motion and defocus in 8-bit files, and 0.1 to 0.6 dB with noise
DENOISER = Rule(over=1.5, share=0.5, least=0.02, ridge=0.23, eta=0.1, end=2.0)
#: A consistency model draws texture out of fresh noise only. It takes the noise of the data for texture too, unless the
#: back-projection lets less of that noise through and the first level drowns its share in the initial estimate.
CONSISTENCY = Rule(over=2.5, share=1.0, least=0.05, ridge=1.0, eta=0.95, end=None)

#: where an operator shows pixels as they are, no last level has to be above this times the noise: nothing else is wrong
#: with them
SHOWN = 0.75

#: the options of the published levels; PnP-CM has them too
Start = Annotated[
    int | None,
    Option("first level, as an index into the DDPM table of 1000", "0..998", tune=Range(20, 700, log=True)),
]
Gamma = Annotated[float, Option("growth of 1 - (2 sigma)^2 per step; with start", tune=Range(0.01, 1, log=True))]


@dataclass(frozen=True)
class Plan:
    """Noise level and inflation of every step. ``ridges`` begins with the ridge of the initial estimate; the ridges of
    the back-projections follow. ``projected`` says whether the last one of them is made."""

    sigmas: tuple[float, ...]
    deltas: tuple[float, ...]
    ridges: tuple[float, ...]
    projected: bool


@dataclass(frozen=True)
class CM4IRState:
    """``x`` the noisy state (batch, c, h, w), ``x0`` the latest estimate."""

    x: Tensor = field(repr=False)
    x0: Tensor = field(repr=False)
    plan: Plan
    sigma: float
    step: int


@dataclass(frozen=True)
class CM4IR(BaseSampler):
    """Few network calls: initialise, back-project, inject noise. The default for up to 8 calls.

    x_{k+1} = d - A_r^+ (A d - y) + sigma_{k+1} (eta n + sqrt(1 - eta^2) (d - x_k)/sigma_k),  d = D(x_k, sigma_k)

    Without ``start`` a rule sets levels and ridges. Let e be the expected error of the initial estimate: the noise that
    the inverse lets through plus the lost detail, both computed from the operator. The levels between sigma_1 and
    sigma_N have equal ratios.

        denoiser            sigma_1 = 1.5 e,  sigma_N = max(noise_std/2, 0.02),  ridge_k = 0.23 (noise_std/sigma_k)^2
        consistency model   sigma_1 = 2.5 e,  sigma_N = max(noise_std, 0.05),    ridge_k = (noise_std/sigma_k)^2

    ``eta`` is 0.1 for a denoiser and 0.95 for a consistency model. The last back-projection for a denoiser has
    ridge_N = 2 (noise_std/sigma_N)^2; a consistency model's, and that of the published levels, is left out where y is
    noisy.
    With ``start`` and ``gamma`` the levels are the published ones:

        sigma_k = sqrt(1 - a_k)/2,  a_1 = abar[start + 1] of the DDPM table,  a_{k+1} = (1 + gamma) a_k

    Source: Garber and Tirer 2025 [cm4ir], and the code released with it

    Raises:
        BadSpec: An option lies outside its range.
    """

    needs: ClassVar[tuple[str, ...]] = ("pinv",)
    draws: ClassVar[str] = "estimate"

    nfe: Calls = 4
    start: Start = None
    gamma: Gamma = 0.2
    eta: Annotated[
        float | None,
        Option("share of fresh noise; 0 is closest to the data, 1 has most texture", "0..1", tune=Range(0, 1)),
    ] = None
    zeta: Annotated[
        float | None, Option("ridge of the back-projection over noise_std^2", tune=Range(0.1, 30, log=True))
    ] = None
    deltas: Annotated[
        tuple[float, ...] | None, Option("inflation of the level the network is told, per step: 0+0.3+0.1")
    ] = None
    delta_type: Annotated[int, Option("0: delta for the network only, 1: for the scaling around it too")] = 0

    def __post_init__(self) -> None:
        if self.nfe < 1:
            raise BadSpec(f"nfe={self.nfe}: at least one network call is needed; write nfe=4.")
        if self.eta is not None and not 0 <= self.eta <= 1:
            raise BadSpec(f"cm4ir:eta={self.eta:g} must lie in [0, 1]; the published value is 0.1.")
        if self.start is not None and not 0 <= self.start <= 998:
            raise BadSpec(f"cm4ir:start={self.start} must lie in 0..998, an index into the DDPM table.")
        if self.gamma < 0:
            raise BadSpec(f"cm4ir:gamma={self.gamma:g} must not be negative; published values are 0.01 to 0.7.")
        if self.zeta is not None and self.zeta < 0:
            raise BadSpec(f"cm4ir:zeta={self.zeta:g} must not be negative.")
        if self.deltas is not None and len(self.deltas) != self.nfe:
            raise BadSpec(
                f"cm4ir:deltas has {len(self.deltas)} values for nfe={self.nfe}; give one per step, as 0+0.3+0+0.1."
            )
        if self.deltas is not None and min(self.deltas) <= -1:
            raise BadSpec("cm4ir:deltas must lie above -1: the network is told (1 + delta) times the level.")
        if self.delta_type not in (0, 1):
            raise BadSpec(f"cm4ir:delta_type={self.delta_type} must be 0 or 1.")

    def share(self, prior: Prior) -> float:
        """The share eta of fresh noise: the user's, or by the prior's kind; with published levels the paper's.

        Args:
            prior: The prior that the sampler is run with.

        Returns:
            eta, 0 to 1.
        """
        if self.eta is not None:
            return self.eta
        return (_rule(prior.kind) if self.start is None else DENOISER).eta

    def plan(self, problem: Problem, reach: float = math.inf, kind: str = "denoiser") -> Plan:
        """Levels, inflations and ridges for a problem: the published ones, or those of the rule.

        Args:
            problem: The observations, their operator and their noise.
            reach: The prior's largest level on the [0, 1] scale; no level of the rule is above it. By default infinite.
            kind: The prior's kind, ``denoiser`` (the default) or ``consistency``.

        Returns:
            The plan of the run.
        """
        noise = problem.noise_std
        rule = _rule(kind)
        finish = finish_of(problem.operator) if rule is DENOISER else None
        if self.start is not None:
            sigmas = cm4ir_levels(self.nfe, self.start, self.gamma)
        else:
            error = expected_start(problem.operator, noise, problem.y).error
            last = min(finish or max(rule.share * noise, self._least(problem, rule)), reach)
            sigmas = geometric(self.nfe, min(rule.over * error, reach), last)
        # an operator that names its last level has coloured noise: a ridge does not tell its good numbers from the bad
        end = rule.end if finish is None and self.start is None and self.zeta is None else None
        if self.zeta is not None:
            ridges: tuple[float, ...] = (self.zeta * noise**2,) * (self.nfe + 1)
        else:
            first = expected_start(problem.operator, noise, problem.y).ridge
            least = rule.ridge * max(noise, ROUNDING) ** 2
            ridges = (first, *(least / s**2 for s in sigmas[:-1]), max(least, (end or 0) * noise**2) / sigmas[-1] ** 2)
        return Plan(sigmas, self.deltas or (0.0,) * self.nfe, ridges, end is not None or noise <= EXACT)

    def init(self, problem: Problem, prior: Prior, rng: NoiseSource) -> CM4IRState:
        """x_1 = x_init + sigma_1 n."""
        plan = self.plan(problem, prior.sigma_range[1], prior.kind)
        check_reach(prior, plan.sigmas[0])
        x_init = initial_estimate(problem, plan.ridges[0])
        x = x_init + plan.sigmas[0] * rng.randn_like(x_init)
        return CM4IRState(x, x_init, plan, plan.sigmas[0], 0)

    def step(self, problem: Problem, prior: Prior, state: CM4IRState, rng: NoiseSource) -> CM4IRState:
        """Denoise, back-project, inject noise."""
        k, plan, x = state.step, state.plan, state.x
        sigma = plan.sigmas[k]
        d = self._estimate(prior, x, sigma, plan.deltas[k])
        last = k + 1 == self.nfe
        expected = expected_of(problem.operator)
        if expected is not None and prior.kind == "denoiser" and plan.ridges[k + 1] > 0:
            x0 = expected(d, problem.y, plan.ridges[k + 1])
        elif last and not plan.projected:
            return CM4IRState(x, d, plan, sigma, k + 1)
        else:
            x0 = d - problem.operator.pinv(problem.operator.forward(d) - problem.y, plan.ridges[k + 1])
        if last:
            return CM4IRState(x, x0, plan, sigma, k + 1)
        eta = self.share(prior)
        direction = eta * rng.randn_like(x) + math.sqrt(1 - eta**2) / sigma * (d - x)
        return CM4IRState(x0 + plan.sigmas[k + 1] * direction, x0, plan, sigma, k + 1)

    @staticmethod
    def _least(problem: Problem, rule: Rule) -> float:
        """No last level is below this. Pixels that the operator shows as they are hold noise and no other error."""
        if rule is DENOISER and problem.noise_std > EXACT and seen_pixels(problem.operator) is not None:
            return min(rule.least, SHOWN * problem.noise_std)
        return rule.least

    def _estimate(self, prior: Prior, x: Tensor, sigma: float, delta: float) -> Tensor:
        if self.delta_type == 1:
            return prior.denoise(x, levels(x, (1 + delta) * sigma))
        return inflated(prior, 1 + delta).denoise(x, levels(x, sigma))


def _rule(kind: str) -> Rule:
    return CONSISTENCY if kind == "consistency" else DENOISER


def published(
    task: Annotated[str, Option("one of the authors' tasks", choices=tuple(CM4IR_PRESETS))],
    nfe: Annotated[int, Option("network calls; the settings are for 4")] = 4,
) -> CM4IR:
    """CM4IR with its authors' settings for one of their tasks, such as ``bedroom-sr4x-0.05``, converted to [0, 1].

    The name ends in the noise level that the settings are for. They were tuned for consistency models.
    Source: the evaluation script released with Garber and Tirer 2025 [cm4ir]
    """
    if task not in CM4IR_PRESETS:
        raise BadSpec(f"There is no published CM4IR setting '{task}'; known are {', '.join(CM4IR_PRESETS)}.")
    if nfe != 4:
        raise BadSpec(f"nfe={nfe}: the published settings of CM4IR are for 4 network calls; use cm4ir for others.")
    p = CM4IR_PRESETS[task]
    # their ridge is zeta (2 noise_std)^2
    return CM4IR(4, p.start, p.gamma, zeta=4 * p.zeta, deltas=p.deltas, delta_type=p.delta_type)
