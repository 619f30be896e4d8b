"""MMPS: moment matching posterior sampling, with a transition whose covariance is matched too.

Source: Rozet et al. 2024 [mmps]. Tweedie's formulae give mean and covariance of x0 given x, ``d = D(x, s)`` and
``C = s^2 J`` with J = dD/dx, so that for x0 given x and y

    mean         d + C A^T (A C A^T + noise^2 I)^-1 (y - A d)
    covariance   V = C - C A^T (A C A^T + noise^2 I)^-1 A C

The next state is k x + (1 - k) x0 + t sqrt(1 - k) n with k = (t/s)^2 and x0 drawn from that Gaussian: ``w ~ N(0, C)``
(C^1/2 by Lanczos), ``e ~ N(0, noise^2 I)``, and x0 = d + w + C A^T (A C A^T + noise^2 I)^-1 (y - A (d + w) - e), the
inverse by conjugate gradients. Then every step is exact for a Gaussian prior, however large it is. ``kernel=mean`` is
the published transition, which takes the mean for x0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from zsir.errors import BadSpec
from zsir.linalg import cg_steps, lanczos_sqrt
from zsir.names.registry import Option
from zsir.problem import Problem
from zsir.protocols import NoiseSource, Prior
from zsir.samplers.base import BaseSampler, Levels
from zsir.samplers.chain import Chain, ancestral, check_calls
from zsir.samplers.guidance import denoise_with_vjp
from zsir.samplers.initial import ROUNDING


@dataclass(frozen=True)
class MMPS(BaseSampler):
    """Moment matching posterior sampling: mean and covariance of x0 given x and y from the network's Jacobian.

    x0 ~ N(d + C A^T (A C A^T + noise^2)^-1 (y - A d), V),  C = s^2 J,  V = C - C A^T (A C A^T + noise^2)^-1 A C
    x' = k x + (1 - k) x0 + t sqrt(1 - k) n,  k = (t/s)^2

    Exact for Gaussian priors at any number of steps, from a first level that drowns the picture. Each step costs one
    call and about 2 ``inner`` backward passes (``inner`` with kernel=mean). A backward pass costs about two forwards.
    Noise 0 counts as the rounding of an 8-bit file.
    Source: Rozet et al. 2024 [mmps]; the covariance-matched transition is ours

    Raises:
        BadSpec: An option lies outside its range.
    """

    needs: ClassVar[tuple[str, ...]] = ("adjoint", "gradient")

    nfe: Annotated[int, Option("network calls, each with backward passes")] = 50
    inner: Annotated[int, Option("iterations of conjugate gradients, and of Lanczos")] = 5
    kernel: Annotated[str, Option("transition", choices=("covariance", "mean"))] = "covariance"
    sigmas: Levels = None

    def __post_init__(self) -> None:
        check_calls("mmps", self.nfe, self.sigmas)
        if self.inner < 1:
            raise BadSpec(f"mmps:inner={self.inner}: at least one iteration is needed.")
        if self.kernel not in ("covariance", "mean"):
            raise BadSpec(f"mmps:kernel={self.kernel}: choose covariance or mean.")

    @property
    def draws(self) -> str:
        """``posterior`` for kernel=covariance, see `zsir.protocols.Sampler`. The published transition (kernel=mean) has
        too little variance where steps are few.
        """
        return "limit" if self.kernel == "mean" else "posterior"

    def step(self, problem: Problem, prior: Prior, state: Chain, rng: NoiseSource) -> Chain:
        """Mean or draw of x0 given x and y, then the transition."""
        x, s, t, op = state.x, state.here, state.next, problem.operator
        d, vjp = denoise_with_vjp(prior, x, s)
        noise = max(problem.noise_std, ROUNDING)

        def covariance(v: Tensor) -> Tensor:
            return s**2 * vjp(v)

        y, guess = problem.y, d
        if self.kernel == "covariance":
            guess = d + lanczos_sqrt(covariance, rng.randn_like(d), self.inner)
            y = y - noise * rng.randn_like(y)

        def data_covariance(v: Tensor) -> Tensor:
            return op.forward(covariance(op.adjoint(v))) + noise**2 * v

        u = cg_steps(data_covariance, y - op.forward(guess), self.inner, least_eigenvalue=noise**2)
        x0 = guess + covariance(op.adjoint(u))
        return state.moved(ancestral(x, x0, s, t, rng), x0)
