"""CM4IR's noise injection for ordinary diffusion models: DDNM, DiffPIR and DDRM in few calls.

Source: the "and beyond" of Garber and Tirer 2025 [cm4ir]. **Reconstructed**: the paper's body was not at hand and its
code does not hold this part; what is known is that the injection, the negative of the estimated noise, rescues guided
diffusion models when calls are few. With ``d = D(x, (1 + delta) s)`` and t the next level:

    x~ = the method's data step on d, without its own noise
    x' = x~ + t ( eta n + sqrt(1 - eta^2) (d - x)/s )                     (d - x)/s: minus the estimated noise

DDNM's data step is the back-projection, DiffPIR's the prox, DDRM's its weights mode by mode. Noisy data: the result
is d.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from torch import Tensor

from zsir.errors import BadSpec
from zsir.names.registry import Option, Range
from zsir.problem import Problem
from zsir.protocols import NoiseSource, Prior
from zsir.samplers.base import BaseSampler, Calls, FreshNoise
from zsir.samplers.chain import Chain, check_calls, check_share, levels
from zsir.samplers.diffusion.ddnm import back_projected
from zsir.samplers.diffusion.ddrm import trust
from zsir.samplers.diffusion.diffpir import exact_step
from zsir.samplers.few_step.cm4ir import CM4IR, DENOISER
from zsir.samplers.initial import EXACT, ROUNDING, initial_estimate
from zsir.samplers.spectral import Modes, modes_of

UPDATES = {"ddnm": "pinv", "diffpir": "prox", "ddrm": "svd"}


@dataclass(frozen=True)
class InjectedState(Chain):
    """A chain that carries the observation in the singular basis where DDRM's data step needs it."""

    modes: Modes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Injected(BaseSampler):
    """Few calls of an ordinary denoiser: the data step of DDNM, DiffPIR or DDRM, and the noise injection of CM4IR.

    x' = x~ + t (eta n + sqrt(1 - eta^2) (d - x)/s),  d = D(x, (1 + delta) s),  x~ the method's data step on d

    Levels and start are CM4IR's for a denoiser; with one and DiffPIR's step it equals cm4ir with levels by rule, whose
    ridges are DiffPIR's.
    Reconstructed from the paper's abstract, not compared with a recorded run.
    Source: after Garber and Tirer 2025 [cm4ir]

    Raises:
        BadSpec: An option lies outside its range.
    """

    draws: ClassVar[str] = "estimate"

    update: Annotated[str, Option("whose data step", choices=tuple(UPDATES))] = "diffpir"
    nfe: Calls = 4
    eta: FreshNoise = 0.1
    delta: Annotated[float, Option("inflation of the level that the network is told", tune=Range(0, 0.5))] = 0.0

    def __post_init__(self) -> None:
        check_calls("injected", self.nfe, None)
        check_share("injected:eta", self.eta)
        if self.delta <= -1:
            raise BadSpec(
                f"injected:delta={self.delta:g} must lie above -1: the network is told (1 + delta) times the level."
            )
        if self.update not in UPDATES:
            raise BadSpec(f"injected:update={self.update}: choose one of {', '.join(UPDATES)}.")

    @property
    def needs(self) -> tuple[str, ...]:
        """What the data step needs."""
        return (UPDATES[self.update],)

    def init(self, problem: Problem, prior: Prior, rng: NoiseSource) -> InjectedState:
        """x = x_init + sigma_1 n."""
        sigmas = CM4IR(self.nfe).plan(problem, prior.sigma_range[1]).sigmas
        x_init = initial_estimate(problem)
        modes = modes_of(problem) if self.update == "ddrm" else None
        return InjectedState(x_init + sigmas[0] * rng.randn_like(x_init), x_init, (*sigmas, 0.0), modes=modes)

    def step(self, problem: Problem, prior: Prior, state: InjectedState, rng: NoiseSource) -> Chain:
        """Denoise, data step, injection."""
        x, s, t = state.x, state.here, state.next
        d = prior.denoise(x, levels(x, (1 + self.delta) * s))
        if t == 0 and problem.noise_std > EXACT:
            return state.moved(d, d)
        x0 = self._data_step(problem, d, s, state.modes)
        if t == 0:
            return state.moved(x0, x0)
        direction = self.eta * rng.randn_like(x) + math.sqrt(1 - self.eta**2) / s * (d - x)
        return state.moved(x0 + t * direction, x0)

    def _data_step(self, problem: Problem, d: Tensor, s: float, modes: Modes | None) -> Tensor:
        if self.update == "ddnm":
            return back_projected(problem, d)
        if modes is None:
            return exact_step(problem, d, s, DENOISER.ridge, ROUNDING)
        d_i = modes.of(d)
        return modes.put(d, d_i + trust(modes, s) * (modes.data - d_i), d_i)
