"""DDRM: denoising diffusion restoration, mode by mode in the singular basis of the operator.

Source: Kawar et al. 2022 [ddrm], equations 7 and 8, with ``d = D(x, s)``, ``e = (x - d)/s``, t the next level and
``r_i = noise/s_i``, ``ybar_i = U^T y / s_i``:

    s_i = 0      d_i + t ( sqrt(1 - eta^2) e_i + eta n_i )
    t <  r_i     d_i + t ( sqrt(1 - eta^2) (ybar_i - d_i)/r_i + eta n_i )
    t >= r_i     (1 - eta_b) d_i + eta_b ybar_i + sqrt(t^2 - eta_b^2 r_i^2) n_i

and at the start  ybar_i + sqrt(s_1^2 - r_i^2) n_i  where s_1 > r_i.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from zsir.errors import BadSpec
from zsir.names.registry import Option, Range
from zsir.problem import Problem
from zsir.protocols import NoiseSource, Prior
from zsir.samplers.base import BaseSampler, Calls, FreshNoise, Levels
from zsir.samplers.chain import Chain, abar, check_calls, check_share, denoise, ladder
from zsir.samplers.initial import GREY, initial_estimate
from zsir.samplers.spectral import ModeChain, Modes, modes_of


def trust(modes: Modes, t: float, keep: float = 1.0, most: float = 1.0) -> Tensor:
    """DDRM's weight of the data against d, for every mode with noise r: ``most`` where r <= t, else t keep/r."""
    r = modes.noise
    return torch.where(r > t, t * keep / r.clamp_min(torch.finfo(r.dtype).tiny), most)


@dataclass(frozen=True)
class DDRM(BaseSampler):
    """Denoising diffusion restoration: every singular mode follows data or network, whichever knows it better.

    t < noise/s_i: d_i + t (sqrt(1 - eta^2) (y_i/s_i - d_i)/(noise/s_i) + eta n);
    t >= noise/s_i: (1 - eta_b) d_i + eta_b y_i/s_i + sqrt(t^2 - eta_b^2 noise^2/s_i^2) n

    ``recipe=released`` differs from the paper's equations, the default here, in two things: a tie t = noise/s_i counts
    as an unseen mode, so that with noise 0 the last step leaves the data; and the start is divided by the first level
    where sqrt(1 + level^2) would be right (in [-1, 1] units).
    Source: Kawar et al. 2022 [ddrm]; defaults of the released code

    Raises:
        BadSpec: An option lies outside its range.
    """

    needs: ClassVar[tuple[str, ...]] = ("svd",)
    draws: ClassVar[str] = "approximate"

    nfe: Calls = 20
    eta: FreshNoise = 0.85
    eta_b: Annotated[float, Option("trust in data whose noise is below the level", "0..1", tune=Range(0, 1))] = 1.0
    recipe: Annotated[str, Option("the paper's equations or the released code's", choices=("paper", "released"))] = (
        "paper"
    )
    sigmas: Levels = None

    def __post_init__(self) -> None:
        check_calls("ddrm", self.nfe, self.sigmas)
        check_share("ddrm:eta", self.eta)
        check_share("ddrm:eta_b", self.eta_b)
        if self.recipe not in ("paper", "released"):
            raise BadSpec(f"ddrm:recipe={self.recipe}: choose paper or released.")

    def init(self, problem: Problem, prior: Prior, rng: NoiseSource) -> ModeChain:
        """Data plus the noise that is missing to the first level; elsewhere the initial estimate plus noise."""
        sigmas, modes = ladder(self.nfe, self.sigmas, prior), modes_of(problem)
        x_init = initial_estimate(problem)
        n = rng.randn_like(x_init)
        free = x_init + sigmas[0] * n
        spread = (sigmas[0] ** 2 - modes.noise**2).clamp_min(0).sqrt()
        known = torch.where(modes.noise < sigmas[0], modes.data + spread * modes.of(n), modes.of(free))
        x = modes.put(free, known)
        if self.recipe == "released":
            x = GREY + (x - GREY) / math.sqrt(1 - abar(sigmas[0]))
        return ModeChain(x, x_init, sigmas, modes=modes, own=modes.of(x))

    def step(self, problem: Problem, prior: Prior, state: ModeChain, rng: NoiseSource) -> Chain:
        """Denoise, then the three rules."""
        x, s, t, modes = state.x, state.here, state.next, state.modes
        d = denoise(prior, x, s)
        n = rng.randn_like(x)
        keep, blend = math.sqrt(1 - self.eta**2), t * math.sqrt(1 - self.eta**2) / s
        free = torch.lerp(d, x, blend).add(n, alpha=t * self.eta)
        d_i, n_i, r = modes.of(d), modes.of(n), modes.noise
        free_i = torch.lerp(d_i, state.own, blend).add(n_i, alpha=t * self.eta)
        # both rules are d_i + weight (data - d_i) + spread n_i
        spread = torch.where(r > t, t * self.eta, (t**2 - (self.eta_b * r) ** 2).clamp_min(0).sqrt())
        update = torch.lerp(d_i, modes.data, trust(modes, t, keep, self.eta_b)).addcmul(spread, n_i)
        if self.recipe == "released":
            update = torch.where(r == t, free_i, update)
        moved, own = modes.put(free, update, free_i), torch.where(modes.seen, update, free_i)
        return replace(state, x=moved, own=own, x0=moved if t == 0 else d, step=state.step + 1)
