"""EDM preconditioning: the one place where a network's raw output becomes a clean-image estimate.

Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models (2022), table 1:

    D(x, s) = c_skip x + c_out F(c_in x, ln(s)/4)
    c_skip = d^2/(s^2+d^2)    c_out = s d/sqrt(s^2+d^2)    c_in = 1/sqrt(s^2+d^2)    d = sigma_data = 0.5

in native units: pictures in [-1, 1], s the noise standard deviation there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

SIGMA_DATA = 0.5


def coefficients(s: Tensor, sigma_data: float = SIGMA_DATA) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(c_skip, c_out, c_in, c_noise) at native levels ``s`` (batch,); the first three of shape (batch, 1, 1, 1)."""
    total = s**2 + sigma_data**2
    c_skip, c_out, c_in = sigma_data**2 / total, s * sigma_data / total.sqrt(), 1 / total.sqrt()
    shape = (-1, 1, 1, 1)
    return c_skip.view(shape), c_out.view(shape), c_in.view(shape), torch.log(s) / 4


@dataclass(frozen=True)
class EDMEstimate:
    """A parametrisation for `NetworkPrior`: D(x, s) above, in native units.

    ``predicts`` is ``F``, as in the paper, or ``v``, which is -F (networks that learned v in EDM's coordinates).
    """

    sigma_data: float = SIGMA_DATA
    predicts: Literal["F", "v"] = "F"

    def __call__(self, net: nn.Module, x: Tensor, s: Tensor, told: Tensor) -> Tensor:
        """D(x, s), x (batch, c, h, w) and levels (batch,) > 0, with the network told level ``told``."""
        c_skip, c_out, c_in, _ = coefficients(s, self.sigma_data)
        raw: Tensor = net(c_in * x, torch.log(told) / 4)
        return c_skip * x + (c_out if self.predicts == "F" else -c_out) * raw


def edm_estimate(net: nn.Module, x: Tensor, s: Tensor, told: Tensor) -> Tensor:
    """Clean estimate D(x, s), x (batch, c, h, w) and levels (batch,) > 0 in native units, with the network told level
    ``told``; a parametrisation for `NetworkPrior`."""
    return EDMEstimate()(net, x, s, told)


def errors(net: Callable[[Tensor, Tensor], Tensor], x0: Tensor, noise: Tensor, s: Tensor) -> Tensor:
    """Squared error of F, in the shape of x0: the EDM-weighted denoising error ``(D - x0)^2 / c_out^2``."""
    c_skip, c_out, c_in, c_noise = coefficients(s)
    x = x0 + s.view(-1, 1, 1, 1) * noise
    return (net(c_in * x, c_noise) - (x0 - c_skip * x) / c_out).square()
