"""DDPG and IDPG: guidance preconditioned from least squares towards back-projection.

Source: Garber and Tirer 2024 [ddpg]. With ``d = D(x, s)``, t the next level and ``abar(t) = 1/(1 + 4 t^2)``:

    delta = abar(t)^gamma for noisy data, 0 without noise;   w = delta, or 1 without noise
    g     = (1 - delta) A^T (A A^T + reg)^-1 (A d - y) + delta A^T (A d - y)
    x~    = d - mu g,   mu = 1 or (1 - abar(t))/(1 - abar(s))
    x'    = x~ + t ( sqrt(zeta) n + sqrt(1 - zeta) w (x - x~)/s )          IDPG: x' = x~
    reg   = max(1e-4, reg_scale (2 noise)^2)

The result is the last d for noisy data, the last x~ without noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

from zsir.errors import BadSpec
from zsir.names.registry import Option, Range
from zsir.problem import Problem
from zsir.protocols import NoiseSource, Prior
from zsir.samplers.base import BaseSampler, Calls, FreshNoise, Levels
from zsir.samplers.chain import Chain, abar, check_calls, check_share, denoise
from zsir.samplers.initial import EXACT


@dataclass(frozen=True)
class DDPG(BaseSampler):
    """Preconditioned guidance: back-projection while the state is noisy, least squares towards the end.

    x~ = d - mu [(1 - delta) A^T (A A^T + reg)^-1 + delta A^T] (A d - y),  delta = abar(t)^gamma
    x' = x~ + t (sqrt(zeta) n + sqrt(1 - zeta) delta (x - x~)/s);  inject=false (idpg): x' = x~

    ``mode`` 0: mu = 1; 1: mu = (1 - abar(t))/(1 - abar(s)); 2: that factor on the least-squares part only.
    Source: Garber and Tirer 2024 [ddpg]; defaults are those of its deblurring at noise 0.05

    Raises:
        BadSpec: An option lies outside its range.
    """

    needs: ClassVar[tuple[str, ...]] = ("adjoint", "pinv")
    draws: ClassVar[str] = "approximate"

    nfe: Calls = 100
    gamma: Annotated[float, Option("how late least squares take over", tune=Range(1, 50, log=True))] = 8.0
    zeta: FreshNoise = 0.5
    reg_scale: Annotated[
        float, Option("ridge of the back-projection over (2 noise_std)^2", tune=Range(0.05, 10, log=True))
    ] = 0.7
    mode: Annotated[int | None, Option("rule of the step size: 0, 1 or 2; 1 for noisy data, 0 without noise")] = None
    inject: Annotated[bool, Option("put noise back (DDPG) or not (IDPG)")] = True
    sigmas: Levels = None

    def __post_init__(self) -> None:
        check_calls("ddpg", self.nfe, self.sigmas)
        check_share("ddpg:zeta", self.zeta)
        if self.mode not in (None, 0, 1, 2):
            raise BadSpec(f"ddpg:mode={self.mode} must be 0, 1 or 2.")
        if self.gamma < 0 or self.reg_scale < 0:
            raise BadSpec(f"ddpg:gamma={self.gamma:g},reg_scale={self.reg_scale:g} must not be negative.")

    def step(self, problem: Problem, prior: Prior, state: Chain, rng: NoiseSource) -> Chain:
        """Denoise, preconditioned data step, noise back."""
        x, s, t, noise = state.x, state.here, state.next, problem.noise_std
        d = denoise(prior, x, s)
        delta = abar(t) ** self.gamma if noise > EXACT else 0.0
        misfit = problem.operator.forward(d) - problem.y
        factor = (1 - abar(t)) / (1 - abar(s))
        mode = self.mode if self.mode is not None else int(noise > EXACT)
        back = (1 - delta) * (factor if mode == 1 else 1.0)
        least = delta * (1.0 if mode == 0 else factor)
        x0 = d - back * problem.operator.pinv(misfit, max(1e-4, self.reg_scale * (2 * noise) ** 2))
        if least:
            x0 = x0 - least * problem.operator.adjoint(misfit)
        moved = x0
        if t > 0 and self.inject:
            weight = delta if noise > EXACT else 1.0
            e = math.sqrt(1 - self.zeta) * weight / s * (x - x0)
            moved = x0 + t * (math.sqrt(self.zeta) * rng.randn_like(x) + e)
        return state.moved(moved, d if noise > EXACT else x0)
