"""PiGDM: pseudo-inverse guidance.

Source: Song et al. 2023 [pigdm]. With ``d = D(x, s)``, Jacobian J, and x0 given x taken for N(d, r^2 I):

    r^2 = s^2 v/(s^2 + v) v the variance of a pixel; 1/4 on [0, 1], i.e. 1 on [-1, 1]
    x0h = d + s^2 J^T A^T (r^2 A A^T + noise^2 I)^-1 (y - A d)
    x'  = k x + (1 - k) x0h + t sqrt(1 - k) n,    k = (t/s)^2

This is the score form, exact for white Gaussian pictures of variance v; published variants differ in the factor before
the gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from zsir.errors import BadSpec
from zsir.names.registry import Option, Range
from zsir.problem import Problem
from zsir.protocols import NoiseSource, Prior
from zsir.samplers.base import BaseSampler, CallsWithGradient, Levels
from zsir.samplers.chain import Chain, ancestral, check_calls
from zsir.samplers.guidance import denoise_with_vjp


@dataclass(frozen=True)
class PiGDM(BaseSampler):
    """Pseudo-inverse guidance: the data step of a white Gaussian picture, pulled back through the network.

    x0h = d + s^2 J^T A^T (r^2 A A^T + noise^2 I)^-1 (y - A d),  r^2 = s^2 v/(s^2 + v),  then an ancestral step to x0h

    Each call also costs a backward pass, about two more forwards.
    Source: Song et al. 2023 [pigdm]

    Raises:
        BadSpec: An option lies outside its range.
    """

    needs: ClassVar[tuple[str, ...]] = ("pinv", "gradient")
    draws: ClassVar[str] = "approximate"

    nfe: CallsWithGradient = 100
    variance: Annotated[
        float,
        Option(
            "variance of a pixel of a picture; 1/4 is that of the paper", "[0, 1]", tune=Range(0.005, 0.5, log=True)
        ),
    ] = 0.25
    sigmas: Levels = None

    def __post_init__(self) -> None:
        check_calls("pigdm", self.nfe, self.sigmas)
        if self.variance <= 0:
            raise BadSpec(f"pigdm:variance={self.variance:g} must be positive, such as 0.25 or 0.06.")

    def step(self, problem: Problem, prior: Prior, state: Chain, rng: NoiseSource) -> Chain:
        """Guided estimate, ancestral step."""
        x, s, t, op = state.x, state.here, state.next, problem.operator
        d, vjp = denoise_with_vjp(prior, x, s)
        r2 = s**2 * self.variance / (s**2 + self.variance)
        pull = op.pinv(problem.y - op.forward(d), problem.noise_std**2 / r2) / r2
        x0 = d + s**2 * vjp(pull)
        return state.moved(ancestral(x, x0, s, t, rng), x0)
