"""DiffPIR: plug-and-play restoration along a diffusion.

Source: Zhu et al. 2023 [diffpir]. With ``d = D(x, s)``, t the next level, ``rho = lam noise^2/s^2``:

    x~ = argmin ||A x - y||^2 + rho ||x - d||^2
    x' = x~ + t ( sqrt(1 - zeta) (x - x~)/s + sqrt(zeta) n )

The last step makes no data step: the result is the last d.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from zsir.errors import BadSpec
from zsir.names.registry import Option, Range
from zsir.problem import Problem
from zsir.protocols import NoiseSource, Prior
from zsir.samplers.base import BaseSampler, Calls, FreshNoise, Levels
from zsir.samplers.chain import Chain, Spacing, check_calls, check_share, ddim, denoise

#: noise counted at least as this, as in the released code
LEAST_NOISE = 0.001


def exact_step(problem: Problem, d: Tensor, s: float, lam: float, least_noise: float = LEAST_NOISE) -> Tensor:
    """DiffPIR's data step argmin ||A x - y||^2 + lam noise^2/s^2 ||x - d||^2, the noise at least ``least_noise``."""
    return problem.operator.prox(d, problem.y, lam * (max(problem.noise_std, least_noise) / s) ** 2)


@dataclass(frozen=True)
class DiffPIR(BaseSampler):
    """Denoise, solve the data step exactly, put noise back.

    x~ = argmin ||A x - y||^2 + lam noise^2/s^2 ||x - d||^2,  x' = x~ + t (sqrt(1 - zeta) (x - x~)/s + sqrt(zeta) n)

    ``lam`` is in consistent units: the published lambda, which mixes [0, 1] and [-1, 1], is four times as large. The
    paper's tasks use 1 to 8 (here 0.25 to 2). Levels are spaced quadratically.
    Source: Zhu et al. 2023 [diffpir]; lam 8 and zeta 0.3 in the released code's units

    Raises:
        BadSpec: An option lies outside its range.
    """

    needs: ClassVar[tuple[str, ...]] = ("prox",)
    spacing: ClassVar[Spacing] = "quadratic"
    draws: ClassVar[str] = "approximate"

    nfe: Calls = 100
    lam: Annotated[float, Option("weight of the prior against the data", tune=Range(0.2, 50, log=True))] = 2.0
    zeta: FreshNoise = 0.3
    sigmas: Levels = None

    def __post_init__(self) -> None:
        check_calls("diffpir", self.nfe, self.sigmas)
        check_share("diffpir:zeta", self.zeta)
        if self.lam <= 0:
            raise BadSpec(f"diffpir:lam={self.lam:g} must be positive.")

    def step(self, problem: Problem, prior: Prior, state: Chain, rng: NoiseSource) -> Chain:
        """Denoise, data step, noise back."""
        x, s, t = state.x, state.here, state.next
        d = denoise(prior, x, s)
        if t == 0:
            return state.moved(d, d)
        x0 = exact_step(problem, d, s, self.lam)
        return state.moved(ddim(x0, (x - x0) / s, t, math.sqrt(self.zeta), rng), d)
