"""The objectives of training: to denoise, or to jump to the end of a denoiser's ODE.

Both work in native units, pictures in [-1, 1]. They differ only in the loss and in the parametrisation of the output.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from zsir.priors.embedded import consistency_of
from zsir.priors.network import NetworkPrior, Parametrisation
from zsir.priors.parametrisations import ConsistencyEstimate, edm_errors, edm_estimate
from zsir.training.batches import Batch

#: errors far below this value no longer count: it is half the error of an even crop and a tenth of that of a photograph
#: (around noise 50 of 255)
LEAST_ERROR = 0.005


class Objective(Protocol):
    """A loss, and the parametrisation that turns the network's output into an estimate."""

    @property
    def kind(self) -> Literal["denoiser", "consistency"]:
        """Kind of the resulting prior."""

    @property
    def parametrise(self) -> Parametrisation:
        """Parametrisation for `NetworkPrior`."""

    def loss(self, net: nn.Module, batch: Batch) -> Tensor:
        """The mean loss of the batch."""


@dataclass(frozen=True)
class Denoising:
    """The EDM-weighted squared error e of the clean estimate: Karras et al. 2022, equation 8, for any levels.

    With ``log`` the loss is the logarithm of each crop's error, as in PSNR. A crop of small error then weighs about as
    much as a textured crop. The estimate is still the posterior mean if a crop's error is the same for all pictures
    that the observation leaves possible. This holds nearly where the error is a sum of many independent errors.
    """

    log: bool = False
    kind: Literal["denoiser"] = "denoiser"
    parametrise: Parametrisation = field(default=edm_estimate, repr=False)

    def loss(self, net: nn.Module, batch: Batch) -> Tensor:
        """``mean e`` or ``mean log(e + 0.005)``, e the mean of ``|F - (x0 - c_skip x)/c_out|^2`` over a crop."""
        each = edm_errors(net, 2 * batch.x0 - 1, batch.noise, 2 * batch.sigma)
        return (each.mean((1, 2, 3)) + LEAST_ERROR).log().mean() if self.log else each.mean()


@dataclass(frozen=True, eq=False)
class Distillation:
    """Consistency distillation: Song et al. 2023, algorithm 2.

    With x_s = x0 + s n and one Heun step of the teacher's ODE ``dx/ds = (x - D(x, s))/s`` from s down to r = q s:

        loss = w rho(f(x_s, s) - stop[f(x_r, r)]) / sqrt(n)        rho(e) = sqrt(|e|^2 + c^2) - c        w = 1/(s - r)

    ``jumps`` equal ratios q lead from ``sigma_max`` to ``sigma_min`` (in [0, 1] units). Song and Dhariwal 2024 proposed
    rho (pseudo-Huber, |e| over the n numbers of a crop, c = 0.00054 sqrt(n)), w, and a target without averaged weights.
    ``teacher`` is a denoiser with EDM preconditioning. The network should begin as its copy.
    """

    teacher: NetworkPrior
    sigma_min: float
    sigma_max: float
    jumps: int = 18
    kind: Literal["consistency"] = "consistency"

    @property
    def parametrise(self) -> ConsistencyEstimate:
        """f(x, s), with the noise level encoded as for the teacher."""
        return consistency_of(self.sigma_min)

    def loss(self, net: nn.Module, batch: Batch) -> Tensor:
        """The formula above."""
        shape = (-1, 1, 1, 1)
        self.teacher.net.to(batch.x0.device)
        lowest = 2 * self.sigma_min
        s = 2 * batch.sigma
        r = (s * (self.sigma_min / self.sigma_max) ** (1 / self.jumps)).clamp_min(lowest)
        s = s.clamp_min(1.001 * lowest)  # a jump of no length has no weight
        x = 2 * batch.x0 - 1 + s.view(shape) * batch.noise
        with torch.no_grad():
            slope = (x - self._clean(x, s)) / s.view(shape)
            end = x + (r - s).view(shape) * slope
            slope = (slope + (end - self._clean(end, r)) / r.view(shape)) / 2
            target = self.parametrise(net, x + (r - s).view(shape) * slope, r, r)
        error = (self.parametrise(net, x, s, s) - target).square().flatten(1).sum(1)
        c = 0.00054 * batch.x0[0].numel() ** 0.5
        value: Tensor = (((error + c**2).sqrt() - c) / (s - r)).mean() / batch.x0[0].numel() ** 0.5
        return value

    def _clean(self, x: Tensor, s: Tensor) -> Tensor:
        return self.teacher.parametrise(self.teacher.net, x, s, s)
