"""Consistency-model preconditioning.

Source: Song et al. 2023 [consistency], appendix C, with the released checkpoints' constants: sigma_data = 0.5,
sigma_min = 0.002, and the network told 250 ln(sigma). Native units, pictures in [-1, 1]:

    f(x, s) = c_skip x + c_out F(c_in x, 250 ln s)
    c_skip = d^2/((s - s_min)^2 + d^2)    c_out = (s - s_min) d/sqrt(s^2 + d^2)    c_in = 1/sqrt(s^2 + d^2)

Below s_min, where the model counts a picture as clean, f(x, s) = x.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

SIGMA_DATA = 0.5
SIGMA_MIN = 0.002


@dataclass(frozen=True)
class ConsistencyEstimate:
    """A parametrisation for `NetworkPrior`: f(x, s) above, with constants of one's own, in native units; the network is
    told ``told`` ln(s)."""

    sigma_data: float = SIGMA_DATA
    sigma_min: float = SIGMA_MIN
    told: float = 250

    def __call__(self, net: nn.Module, x: Tensor, s: Tensor, told: Tensor) -> Tensor:
        """f(x, s) with the network told level ``told``; x (batch, c, h, w), levels (batch,) > 0."""
        shape = (-1, 1, 1, 1)
        total = s**2 + self.sigma_data**2
        above = (s - self.sigma_min).clamp_min(0)
        c_skip = self.sigma_data**2 / (above**2 + self.sigma_data**2)
        c_out = above * self.sigma_data / total.sqrt()
        raw: Tensor = net(x / total.sqrt().view(shape), self.told * (told + 1e-44).log())
        return c_out.view(shape) * raw + c_skip.view(shape) * x


def consistency_estimate(net: nn.Module, x: Tensor, s: Tensor, told: Tensor) -> Tensor:
    """f(x, s) with the released checkpoints' constants; x (batch, c, h, w), levels (batch,) > 0, native units."""
    return ConsistencyEstimate()(net, x, s, told)
